"""Periodic deletion of old entries. Every gateway does it; doing it twice changes nothing."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

from services.gateway.audit import store as audit_store
from services.gateway.audit.chain import Link
from services.gateway.runs import store as run_store
from services.kit.database import pool as database
from services.kit.errors import TransientError

log = structlog.get_logger(__name__)
audit = structlog.get_logger("audit")

INTERVAL = 30.0  # seconds
AUDIT_STEP = 1_000  # rows per transaction
RUNS_STEP = 10  # runs per transaction; each may have hundreds of thousands of lines
HEAD_INTERVAL = 3_600.0  # seconds between log lines with the head of the audit log
KEEP_AUDIT = timedelta(days=400)
KEEP_RUNS = timedelta(days=90)


async def keep_running(pool: database.Pool) -> None:
    """Delete old entries at intervals, until cancelled."""
    noted, noted_at = Link(0, b""), -HEAD_INTERVAL
    while True:
        try:
            if time.monotonic() - noted_at >= HEAD_INTERVAL:
                noted, noted_at = await _note_head(pool, noted), time.monotonic()
            await _delete_old(pool, audit_store.delete_old, KEEP_AUDIT, AUDIT_STEP)
            await _delete_old(pool, run_store.delete_old, KEEP_RUNS, RUNS_STEP)
        except TransientError as error:
            log.warning("maintenance_postponed", error=str(error))
        await asyncio.sleep(INTERVAL)


async def _note_head(pool: database.Pool, noted: Link) -> Link:
    """Log the newest link of the audit log if it is new.

    Whoever changes the database cannot change this line if the log is shipped elsewhere.
    """
    async with database.transaction(pool) as connection:
        head = await audit_store.head(connection)
    if head.seq and head != noted:
        audit.info("audit_head", link=str(head))
    return head


async def _delete_old(
    pool: database.Pool, delete: Callable[..., Awaitable[int]], keep: timedelta, step: int
) -> None:
    deleted = step
    while deleted == step:
        async with database.transaction(pool) as connection:
            deleted = await delete(connection, keep=keep, limit=step)
