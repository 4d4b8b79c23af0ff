"""Who did what. Functions never commit."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import datetime, timedelta
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row, scalar_row


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
class NamedEntry(Entry):
    username: str | None


COUNTED = 100_000  # entries; finding out how many more there are takes too long
_ENTRY = "id, time, actor, action, object, detail, allowed, reason, peer"


async def insert(connection: AsyncConnection, *, entries: Sequence[Entry]) -> None:
    """What is there already stays as it is."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            f"INSERT INTO audit_entries ({_ENTRY})"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (id) DO NOTHING",
            [astuple(entry) for entry in entries],
        )


async def page(
    connection: AsyncConnection, *, actor: str, object_id: str, limit: int, offset: int
) -> tuple[list[NamedEntry], int]:
    """Newest first, and how many there are, up to `COUNTED`; of any actor or object where that is empty."""
    where = (
        " FROM audit_entries e WHERE (%(actor)s = '' OR actor = %(actor)s)"
        " AND (%(object)s = '' OR object = %(object)s)"
    )
    parameters = {"actor": actor, "object": object_id, "limit": limit, "offset": offset}
    async with connection.cursor(row_factory=scalar_row) as counter:
        await counter.execute(
            f"SELECT count(*) FROM (SELECT 1{where} LIMIT {COUNTED}) AS counted", parameters
        )
        total: int = await counter.fetchone() or 0
    async with connection.cursor(row_factory=class_row(NamedEntry)) as cursor:
        await cursor.execute(
            f"SELECT {_ENTRY},"
            " (SELECT username FROM users u WHERE e.actor = 'user:' || u.id) AS username"
            f"{where} ORDER BY time DESC, id LIMIT %(limit)s OFFSET %(offset)s",
            parameters,
        )
        return await cursor.fetchall(), total


async def delete_old(connection: AsyncConnection, *, keep: timedelta, limit: int) -> int:
    """The oldest that are older than that; how many went."""
    cursor = await connection.execute(
        "DELETE FROM audit_entries WHERE id IN (SELECT id FROM audit_entries"
        " WHERE time < now() - %(keep)s ORDER BY time LIMIT %(limit)s)",
        {"keep": keep, "limit": limit},
    )
    return cursor.rowcount
