"""Terminal sessions and their recordings. Functions never commit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from psycopg import AsyncConnection

PARTS_AT_ONCE = 200  # of 64 KiB at most
SESSIONS_AT_ONCE = 500
RESTARTED = "the relay was restarted"


@dataclass(frozen=True, slots=True)
class Beat:
    id: str
    viewers: int
    bytes: int


async def insert(
    connection: AsyncConnection,
    *,
    session_id: str,
    vps_id: str,
    user_id: str,
    username: str,
    container: str,
    instance: str,
    limit: int,
) -> bool:
    """Whether the user had fewer than `limit` open on that server."""
    # Two that open at once count each other.
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(%(pair)s, 14))",
        {"pair": f"{user_id} {vps_id}"},
    )
    cursor = await connection.execute(
        "INSERT INTO shell_sessions (id, vps_id, user_id, username, container, instance)"
        " SELECT %(id)s, %(vps_id)s, %(user_id)s, %(username)s, nullif(%(container)s, ''),"
        " %(instance)s WHERE %(limit)s > (SELECT count(*) FROM shell_sessions"
        " WHERE user_id = %(user_id)s AND vps_id = %(vps_id)s AND ended_at IS NULL)",
        {
            "id": session_id,
            "vps_id": vps_id,
            "user_id": user_id,
            "username": username,
            "container": container,
            "instance": instance,
            "limit": limit,
        },
    )
    return cursor.rowcount == 1


async def delete(connection: AsyncConnection, *, session_id: str) -> None:
    """One that never began."""
    await connection.execute("DELETE FROM shell_sessions WHERE id = %(id)s", {"id": session_id})


async def beat(connection: AsyncConnection, *, instance: str, beats: Sequence[Beat]) -> None:
    """These live, even if another instance took their silence for `RESTARTED`."""
    await connection.execute(
        "UPDATE shell_sessions s SET heartbeat_at = now(), viewers = b.viewers, bytes = b.bytes,"
        " ended_at = NULL, end_reason = NULL"
        " FROM unnest(%(ids)s::text[], %(viewers)s::integer[], %(bytes)s::bigint[])"
        " AS b (id, viewers, bytes) WHERE s.id = b.id AND s.instance = %(instance)s"
        " AND (s.ended_at IS NULL OR s.end_reason = %(restarted)s)",
        {
            "instance": instance,
            "restarted": RESTARTED,
            "ids": [beat.id for beat in beats],
            "viewers": [beat.viewers for beat in beats],
            "bytes": [beat.bytes for beat in beats],
        },
    )


async def end(
    connection: AsyncConnection,
    *,
    session_id: str,
    reason: str,
    exit_code: int | None,
    sent_bytes: int,
) -> None:
    await connection.execute(
        "UPDATE shell_sessions SET ended_at = now(), end_reason = %(reason)s,"
        " exit_code = %(exit_code)s, bytes = %(bytes)s, viewers = 0 WHERE id = %(id)s",
        {"id": session_id, "reason": reason, "exit_code": exit_code, "bytes": sent_bytes},
    )


async def end_silent(connection: AsyncConnection, *, silence: timedelta) -> list[str]:
    """End those whose instance has not spoken of them for so long; their ids."""
    cursor = await connection.execute(
        "UPDATE shell_sessions SET ended_at = now(), end_reason = %(reason)s, viewers = 0"
        " WHERE ended_at IS NULL AND heartbeat_at < now() - %(silence)s RETURNING id",
        {"silence": silence, "reason": RESTARTED},
    )
    return [session_id for (session_id,) in await cursor.fetchall()]


async def insert_part(
    connection: AsyncConnection, *, session_id: str, part: int, data: bytes
) -> None:
    await connection.execute(
        "WITH kept AS (UPDATE shell_sessions SET recorded = true WHERE id = %(id)s RETURNING id)"
        " INSERT INTO shell_recordings (session_id, part, data)"
        " SELECT id, %(part)s, %(data)s FROM kept ON CONFLICT DO NOTHING",
        {"id": session_id, "part": part, "data": data},
    )


async def drop_old(connection: AsyncConnection, *, keep: timedelta) -> int:
    """Some of the recordings, then of the sessions, that ended before; how many rows."""
    parameters = {"keep": keep, "parts": PARTS_AT_ONCE, "sessions": SESSIONS_AT_ONCE}
    cursor = await connection.execute(
        "DELETE FROM shell_recordings WHERE (session_id, part) IN (SELECT session_id, part"
        " FROM shell_recordings r JOIN shell_sessions s ON s.id = r.session_id"
        " WHERE s.ended_at < now() - %(keep)s LIMIT %(parts)s FOR UPDATE OF r SKIP LOCKED)",
        parameters,
    )
    if cursor.rowcount:
        return cursor.rowcount
    cursor = await connection.execute(
        "DELETE FROM shell_sessions WHERE id IN (SELECT id FROM shell_sessions"
        " WHERE ended_at < now() - %(keep)s LIMIT %(sessions)s FOR UPDATE SKIP LOCKED)",
        parameters,
    )
    return cursor.rowcount
