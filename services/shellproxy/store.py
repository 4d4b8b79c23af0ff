"""SQL of terminal sessions and their recordings. Functions never commit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from psycopg import AsyncConnection

PARTS_AT_ONCE = 200  # of at most 64 KiB each
SESSIONS_AT_ONCE = 500
RESTARTED = "the terminal service was restarted"


@dataclass(frozen=True, slots=True)
class Heartbeat:
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
    """Insert a session; return False if the user has `limit` open on this server already."""
    # The lock serialises inserts of one user and server, so that each counts the others.
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
    """Delete a session that was never started."""
    await connection.execute("DELETE FROM shell_sessions WHERE id = %(id)s", {"id": session_id})


async def record_heartbeats(
    connection: AsyncConnection, *, instance: str, heartbeats: Sequence[Heartbeat]
) -> None:
    """Record that these sessions are alive.

    A session that another instance has ended as `RESTARTED` is opened again.
    """
    await connection.execute(
        "UPDATE shell_sessions s SET heartbeat_at = now(), viewers = b.viewers, bytes = b.bytes,"
        " ended_at = NULL, end_reason = NULL"
        " FROM unnest(%(ids)s::text[], %(viewers)s::integer[], %(bytes)s::bigint[])"
        " AS b (id, viewers, bytes) WHERE s.id = b.id AND s.instance = %(instance)s"
        " AND (s.ended_at IS NULL OR s.end_reason = %(restarted)s)",
        {
            "instance": instance,
            "restarted": RESTARTED,
            "ids": [heartbeat.id for heartbeat in heartbeats],
            "viewers": [heartbeat.viewers for heartbeat in heartbeats],
            "bytes": [heartbeat.bytes for heartbeat in heartbeats],
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


async def end_abandoned(connection: AsyncConnection, *, timeout: timedelta) -> list[str]:
    """End the sessions without a heartbeat for `timeout`; return their ids."""
    cursor = await connection.execute(
        "UPDATE shell_sessions SET ended_at = now(), end_reason = %(reason)s, viewers = 0"
        " WHERE ended_at IS NULL AND heartbeat_at < now() - %(timeout)s RETURNING id",
        {"timeout": timeout, "reason": RESTARTED},
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
    """Delete some old recordings, or else some old sessions; return the number of rows."""
    parameters = {"keep": keep, "parts": PARTS_AT_ONCE, "sessions": SESSIONS_AT_ONCE}
    cursor = await connection.execute(
        "DELETE FROM shell_recordings WHERE (session_id, part) IN (SELECT session_id, part"
        " FROM shell_recordings r JOIN shell_sessions s ON s.id = r.session_id"
        " WHERE s.ended_at < now() - %(keep)s LIMIT %(parts)s FOR UPDATE OF s SKIP LOCKED)",
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
