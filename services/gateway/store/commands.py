"""Scripts run on servers, and what came of them. Functions never commit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row, scalar_row


@dataclass(frozen=True, slots=True)
class Command:
    id: UUID
    vps_id: UUID
    username: str
    script: str
    timeout_seconds: int
    status: str
    exit_code: int | None
    truncated: bool
    reason: str
    started_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Result(Command):
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Orphan:
    """A script that nobody follows."""

    id: UUID
    user_id: UUID | None
    request: bytes
    lost_in: timedelta


# How long after its start a script is asked for again, however often its gateways stop.
ASKED_FOR = timedelta(days=1)

_COMMAND = (
    "id, vps_id, username, script, timeout_seconds, status, exit_code, truncated, reason,"
    " started_at, finished_at"
)
_RESULT = f"{_COMMAND}, stdout, stderr"


async def insert(
    connection: AsyncConnection,
    *,
    command_id: UUID,
    vps_id: UUID,
    user_id: UUID,
    username: str,
    script: str,
    request: bytes,
    timeout_seconds: int,
    lost_after: timedelta,
) -> None:
    await connection.execute(
        "INSERT INTO commands"
        " (id, vps_id, user_id, username, script, request, timeout_seconds, lost_at)"
        " VALUES (%(id)s, %(vps_id)s, %(user_id)s, %(username)s, %(script)s, %(request)s,"
        " %(timeout)s, now() + %(lost_after)s)",
        {
            "id": command_id,
            "vps_id": vps_id,
            "user_id": user_id,
            "username": username,
            "script": script,
            "request": request,
            "timeout": timeout_seconds,
            "lost_after": lost_after,
        },
    )


async def finish(
    connection: AsyncConnection,
    *,
    command_id: UUID,
    status: str,
    exit_code: int | None,
    stdout: str,
    stderr: str,
    truncated: bool,
    reason: str,
) -> Result | None:
    """Write its end, once; None when it has one, or its server was removed."""
    async with connection.cursor(row_factory=class_row(Result)) as cursor:
        await cursor.execute(
            "UPDATE commands SET status = %(status)s, exit_code = %(exit_code)s,"
            " stdout = %(stdout)s, stderr = %(stderr)s, truncated = %(truncated)s,"
            " reason = %(reason)s, finished_at = now(), request = NULL"
            f" WHERE id = %(id)s AND status IN ('running', 'lost') RETURNING {_RESULT}",
            {
                "id": command_id,
                "status": status,
                "exit_code": exit_code,
                "stdout": stdout,
                "stderr": stderr,
                "truncated": truncated,
                "reason": reason,
            },
        )
        return await cursor.fetchone()


async def page(
    connection: AsyncConnection, *, vps_id: UUID, limit: int, offset: int
) -> tuple[list[Command], int]:
    """Newest first, and how many there are."""
    parameters = {"vps_id": vps_id, "limit": limit, "offset": offset}
    async with connection.cursor(row_factory=scalar_row) as counter:
        await counter.execute("SELECT count(*) FROM commands WHERE vps_id = %(vps_id)s", parameters)
        total: int = await counter.fetchone() or 0
    async with connection.cursor(row_factory=class_row(Command)) as cursor:
        await cursor.execute(
            f"SELECT {_COMMAND} FROM commands WHERE vps_id = %(vps_id)s"
            " ORDER BY started_at DESC, id LIMIT %(limit)s OFFSET %(offset)s",
            parameters,
        )
        return await cursor.fetchall(), total


async def get(connection: AsyncConnection, *, vps_id: UUID, command_id: UUID) -> Result | None:
    async with connection.cursor(row_factory=class_row(Result)) as cursor:
        await cursor.execute(
            f"SELECT {_RESULT} FROM commands WHERE id = %(id)s AND vps_id = %(vps_id)s",
            {"id": command_id, "vps_id": vps_id},
        )
        return await cursor.fetchone()


async def beat(connection: AsyncConnection, *, ids: Sequence[UUID]) -> None:
    """These are followed."""
    await connection.execute(
        "UPDATE commands SET followed_at = now() WHERE id = ANY(%(ids)s) AND status = 'running'",
        {"ids": ids},
    )


async def let_go(connection: AsyncConnection, *, ids: Sequence[UUID]) -> None:
    """These are followed no more."""
    await connection.execute(
        "UPDATE commands SET followed_at = '-infinity'"
        " WHERE id = ANY(%(ids)s) AND status = 'running'",
        {"ids": ids},
    )


async def adopt(
    connection: AsyncConnection, *, silence: timedelta, lost_after: timedelta, limit: int
) -> list[Orphan]:
    """Some that nobody has followed for so long; from now on they are, for `lost_after` at least."""
    async with connection.cursor(row_factory=class_row(Orphan)) as cursor:
        await cursor.execute(
            "UPDATE commands SET followed_at = now(),"
            " lost_at = greatest(lost_at, now() + %(lost_after)s)"
            " WHERE id IN (SELECT id FROM commands WHERE status = 'running'"
            " AND followed_at < now() - %(silence)s AND request IS NOT NULL"
            " AND started_at > now() - %(asked_for)s"
            " ORDER BY started_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)"
            " RETURNING id, user_id, request, lost_at - now() AS lost_in",
            {
                "silence": silence,
                "lost_after": lost_after,
                "asked_for": ASKED_FOR,
                "limit": limit,
            },
        )
        return await cursor.fetchall()


async def give_up(connection: AsyncConnection, *, reason: str) -> int:
    """Call lost what nobody has written the end of in time, nor will ask for; how many."""
    cursor = await connection.execute(
        "UPDATE commands SET status = 'lost', reason = %(reason)s, finished_at = now(),"
        " request = NULL WHERE status = 'running' AND lost_at < now()"
        " AND (request IS NULL OR started_at < now() - %(asked_for)s)",
        {"reason": reason, "asked_for": ASKED_FOR},
    )
    return cursor.rowcount


async def delete_old(connection: AsyncConnection, *, keep: timedelta, limit: int) -> int:
    """The oldest that are older than that; how many went."""
    cursor = await connection.execute(
        "DELETE FROM commands WHERE id IN (SELECT id FROM commands"
        " WHERE started_at < now() - %(keep)s ORDER BY started_at LIMIT %(limit)s)",
        {"keep": keep, "limit": limit},
    )
    return cursor.rowcount
