"""`flotilla audit`: verifies and exports the audit log."""

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import psycopg
from psycopg.rows import dict_row

from services.cli.database import explained
from services.gateway.audit import chain
from services.kit.bus.audit import escaped
from services.kit.errors import SettingsError
from services.kit.settings import DatabaseSettings, load

CONNECT_TIMEOUT = 5  # seconds
UNITS = {"m": "minutes", "h": "hours", "d": "days"}
FETCHED = 2_000  # entries per round trip

T = TypeVar("T")


def verify(arguments: argparse.Namespace) -> int:
    """Print what was checked, and the first entry that is not as it was stored.

    Return 1 if there is one.
    """
    since = None if arguments.since is None else _time(arguments.since)
    expected = None if arguments.expect is None else _link(arguments.expect)

    async def check(connection: psycopg.AsyncConnection) -> chain.Verification:
        return await chain.verify(connection, since=since, expected=expected)

    result = _with_database(check)
    checked = f"{result.entries} entries checked, after entry {result.start.seq}"
    if result.broken is not None:
        print(f"BROKEN at entry {result.broken.seq}: {escaped(result.broken.reason)}.")
        print(f"{checked}; they are intact up to {result.head}.")
        return 1
    print(f"{checked}; the chain is intact up to {result.head}.")
    return 0


def export(arguments: argparse.Namespace) -> int:
    """Print entries, oldest first, one JSON object per line."""
    since = None if arguments.since is None else _time(arguments.since)

    async def print_all(connection: psycopg.AsyncConnection) -> None:
        async with (
            connection.transaction(),
            connection.cursor("audit_export", row_factory=dict_row) as cursor,
        ):
            cursor.itersize = FETCHED
            await cursor.execute(
                "SELECT seq, id, time, stored_at, actor, action, object, detail, allowed, reason,"
                " peer, encode(hash, 'hex') AS hash FROM audit_entries"
                " WHERE %(since)s::timestamptz IS NULL OR stored_at >= %(since)s ORDER BY seq",
                {"since": since},
            )
            async for entry in cursor:
                print(json.dumps(entry, default=_text))

    _with_database(print_all)
    return 0


def _with_database(work: Callable[[psycopg.AsyncConnection], Awaitable[T]]) -> T:
    url = load(DatabaseSettings).database_url.get_secret_value()

    async def run() -> T:
        connecting = psycopg.AsyncConnection.connect(
            url, connect_timeout=CONNECT_TIMEOUT, autocommit=True, options="-c timezone=UTC"
        )
        async with await connecting as connection:
            return await work(connection)

    with explained(url):
        return asyncio.run(run())


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _time(text: str) -> datetime:
    """Return a time, or the time that lies a duration such as "7d" ago.

    Raises:
        SettingsError: the text is neither.
    """
    number, unit = text[:-1], text[-1:]
    try:
        if unit in UNITS and number.isdecimal():
            return datetime.now(UTC) - timedelta(**{UNITS[unit]: int(number)})
        time = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise SettingsError(
            f"--since {text!r} is neither a time, such as 2026-03-01 or 2026-03-01T08:00:00Z, nor"
            " a duration, such as 90m, 24h or 7d."
        ) from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


def _link(text: str) -> chain.Link:
    try:
        return chain.Link.parse(text)
    except ValueError:
        raise SettingsError(
            f"--expect {text!r} is not a link. It has the form NUMBER:HASH, as `flotilla audit"
            " verify` and the log line `audit_head` print it."
        ) from None
