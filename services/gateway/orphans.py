"""Scripts whose gateway is gone: any other, or the same when it is back, goes on with them."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from functools import partial

import structlog
from prometheus_client import Counter

from flotilla.v1.command_pb2 import Command, CommandRequest
from services.gateway import following
from services.gateway.following import Ended, Printed, Running
from services.gateway.runtime import Runtime
from services.gateway.store import commands as store
from services.kit import bus, database
from services.kit.errors import PoisonError, TransientError

log = structlog.get_logger(__name__)

BEAT = 5.0  # seconds
SILENCE = timedelta(seconds=20)  # without a beat: its gateway is gone
AT_ONCE = 50  # of this gateway; the others wait for their turn
LOST = "the console was stopped while it ran, and whether it finished is not known"

ADOPTED = Counter("flotilla_gateway_adopted_total", "Scripts of gateways that are gone")


async def keep_following(runtime: Runtime) -> None:
    """Say which scripts are followed here, take over those that nobody follows, until cancelled."""
    while True:
        try:
            await _look(runtime)
        except TransientError as error:
            log.warning("beat_missed", error=str(error))
        await asyncio.sleep(BEAT)


async def let_go(runtime: Runtime) -> None:
    """Nobody needs to wait until this gateway's silence is noticed."""
    with suppress(TransientError):
        async with database.transaction(runtime.pool) as connection:
            await store.let_go(connection, ids=list(runtime.followed))


async def _look(runtime: Runtime) -> None:
    room = runtime.work.room("adopted", AT_ONCE) if runtime.bus.connected else 0
    patience = following.RETURN_PATIENCE + following.KEEP_GRACE
    async with database.transaction(runtime.pool) as connection:
        await store.beat(connection, ids=list(runtime.followed))
        orphans = await store.adopt(
            connection, silence=SILENCE, lost_after=timedelta(seconds=patience), limit=room
        )
    for orphan in orphans:
        ADOPTED.inc()
        log.info("script_adopted", command_id=str(orphan.id))
        _ = runtime.work.start("adopted", AT_ONCE, partial(_adopt, runtime, orphan))


async def _adopt(runtime: Runtime, orphan: store.Orphan) -> None:
    try:
        request = bus.decode(orphan.request, CommandRequest)
        command = bus.decode(request.command, Command)
    except PoisonError as error:
        log.warning("script_unreadable", command_id=str(orphan.id), error=str(error))
        return
    actor = "console" if orphan.user_id is None else f"user:{orphan.user_id}"
    running, printed = Running(request, command, actor, ""), Printed()
    with runtime.followed.also(orphan.id):
        ended = await following.follow(
            *(runtime, running, printed, lambda *_: None),
            seconds=orphan.lost_in.total_seconds() - following.KEEP_GRACE,
            began=True,
        )
        if ended.status == "refused":
            # By now it has expired, and what the agent knows of it may be forgotten.
            ended = Ended("lost", reason=f"{LOST} ({ended.reason})")
        await following.end(runtime, running, ended, printed)
