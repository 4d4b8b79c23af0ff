"""The audit log. Functions never commit."""

import re
from collections.abc import Collection, Sequence
from dataclasses import asdict, astuple, dataclass
from datetime import datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

from psycopg import AsyncConnection, sql
from psycopg.rows import class_row, scalar_row

from services.gateway.audit.chain import Link


@dataclass(frozen=True, slots=True)
class Entry:
    id: UUID
    time: datetime
    actor: str
    action: str
    object: str
    detail: str
    allowed: bool
    reason: str
    peer: str


@dataclass(frozen=True, slots=True)
class StoredEntry(Entry):
    seq: int
    stored_at: datetime
    hash: bytes


@dataclass(frozen=True, slots=True)
class Filters:
    """Conditions on entries. An empty text, or None, does not limit the selection."""

    actor: str = ""
    """Actor, or the name of a user."""
    object: str = ""
    """Object, or the name of a server or user."""
    actions: Sequence[str] = ()
    """Actions, or their kinds: "file" selects "file.delete" too."""
    allowed: bool | None = None
    since: datetime | None = None
    until: datetime | None = None
    text: str = ""
    """Text in the action, the detail, the reason or the address; case does not matter."""


COUNTED = 100_000  # entries; counting more takes too long
_ENTRY = "id, time, actor, action, object, detail, allowed, reason, peer"
# Each condition is used only if its filter is set, so that the planner knows which index to use.
_CONDITIONS: dict[str, LiteralString] = {
    "actor": "actor = ANY(ARRAY(SELECT %(actor)s UNION ALL"
    " SELECT 'user:' || id FROM users WHERE username = lower(%(actor)s)))",
    "object": "object = ANY(ARRAY(SELECT %(object)s UNION ALL"
    " SELECT 'vps:' || id FROM vps WHERE name = %(object)s UNION ALL"
    " SELECT 'user:' || id FROM users WHERE username = lower(%(object)s)))",
    "actions": "(action = ANY(%(actions)s) OR action LIKE ANY(%(kinds)s))",
    "allowed": "allowed = %(allowed)s",
    "since": "time >= %(since)s",
    "until": "time < %(until)s",
    "text": "(action ILIKE %(pattern)s OR detail ILIKE %(pattern)s"
    " OR reason ILIKE %(pattern)s OR peer ILIKE %(pattern)s)",
}


async def insert(connection: AsyncConnection, *, entries: Sequence[Entry]) -> None:
    """Add entries to the chain. An entry whose id is already stored does not change."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            f"INSERT INTO audit_entries ({_ENTRY}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [astuple(entry) for entry in entries],
        )


async def page(
    connection: AsyncConnection, filters: Filters, *, before: int, limit: int, offset: int
) -> tuple[list[StoredEntry], int]:
    """Return entries with numbers below `before`, newest first, and how many match the filters.

    The count stops at `COUNTED`.
    """
    where, parameters = _where(filters)
    cursor = await connection.execute(
        f"SELECT count(*) FROM (SELECT 1 FROM audit_entries {where} LIMIT %(counted)s) AS counted",
        {**parameters, "counted": COUNTED},
    )
    (total,) = await cursor.fetchone() or (0,)
    return await listed(connection, filters, before=before, limit=limit, offset=offset), total


async def listed(
    connection: AsyncConnection, filters: Filters, *, before: int, limit: int, offset: int = 0
) -> list[StoredEntry]:
    """Return entries with numbers below `before`, newest first."""
    where, parameters = _where(filters, before)
    async with connection.cursor(row_factory=class_row(StoredEntry)) as cursor:
        await cursor.execute(
            f"SELECT {_ENTRY}, seq, stored_at, hash FROM audit_entries {where}"
            " ORDER BY seq DESC LIMIT %(limit)s OFFSET %(offset)s",
            {**parameters, "limit": limit, "offset": offset},
        )
        return await cursor.fetchall()


def _where(filters: Filters, before: int | None = None) -> tuple[LiteralString, dict[str, Any]]:
    """Return the WHERE clause of the filters, and its parameters."""
    parameters = asdict(filters) | {
        "actions": list(filters.actions),
        "kinds": [f"{_escaped(action)}.%" for action in filters.actions],
        "pattern": f"%{_escaped(filters.text)}%",
        "before": before,
    }
    conditions = [
        condition
        for name, condition in _CONDITIONS.items()
        if not (parameters[name] is None or parameters[name] in ("", []))
    ]
    if before is not None:
        conditions.append("seq < %(before)s")
    return (f"WHERE {' AND '.join(conditions)}" if conditions else ""), parameters


def _escaped(text: str) -> str:
    """Return text that LIKE takes literally."""
    return re.sub(r"([\\%_])", r"\\\1", text)


async def names(connection: AsyncConnection, ids: Collection[str]) -> dict[str, str]:
    """Return the names of the users and servers among `ids` that still exist.

    An id is "user:<id>" or "vps:<id>". Others are ignored.
    """
    found: dict[str, str] = {}
    for kind, table, column in (("user:", "users", "username"), ("vps:", "vps", "name")):
        wanted = {_uuid(text.removeprefix(kind)) for text in ids if text.startswith(kind)} - {None}
        if wanted:
            query = sql.SQL("SELECT id, {} FROM {} WHERE id = ANY(%s)")
            cursor = await connection.execute(
                query.format(sql.Identifier(column), sql.Identifier(table)), [list(wanted)]
            )
            found |= {f"{kind}{row[0]}": row[1] for row in await cursor.fetchall()}
    return found


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


async def head(connection: AsyncConnection) -> Link:
    """Return the newest link of the chain; number 0 if there never was an entry."""
    cursor = await connection.execute("SELECT head_seq, head_hash FROM audit_chain")
    seq, digest = await cursor.fetchone() or (0, bytes(32))
    return Link(seq, bytes(digest))


async def delete_old(connection: AsyncConnection, *, keep: timedelta, limit: int) -> int:
    """Delete the oldest entries that were stored more than `keep` ago; return how many.

    Only the beginning of the chain is deleted. The chain keeps the link to it. The database refuses to
    delete entries that are younger than a year.
    """
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute("SELECT delete_old_audit_entries(%s, %s)", [keep, limit])
        deleted: int | None = await cursor.fetchone()
    assert deleted is not None
    return deleted
