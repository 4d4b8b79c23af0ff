"""Queries for terminal sessions and their recordings. Functions never commit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row, scalar_row

from services.gateway.accounts.actor_store import SHARES
from services.gateway.api import pagination
from services.gateway.servers.visibility import VISIBLE, Visibility


@dataclass(frozen=True, slots=True)
class Session:
    id: str
    vps_id: UUID
    organisation_id: UUID
    """Organisation of the server."""
    shares: dict[str, str]
    tags: list[str]
    user_id: UUID | None
    """User who opened the terminal; None if that user was deleted."""
    username: str
    container: str | None
    started_at: datetime
    ended_at: datetime | None
    end_reason: str | None
    exit_code: int | None
    viewers: int
    bytes: int
    recorded: bool
    duration_seconds: float


_SESSION: LiteralString = (
    f"t.id, vps_id, organisation_id, {SHARES}, tags, t.user_id, username, container, started_at, ended_at, end_reason,"
    # Earlier versions stored the number of the signal that ended the shell, as a negative code.
    " CASE WHEN exit_code >= 0 THEN exit_code END AS exit_code, viewers, bytes, recorded,"
    " extract(epoch FROM coalesce(ended_at, now()) - started_at)::float8 AS duration_seconds"
)

_SOURCE = "FROM shell_sessions t JOIN vps ON vps.id = t.vps_id"


async def get(connection: AsyncConnection, *, session_id: str) -> Session | None:
    async with connection.cursor(row_factory=class_row(Session)) as cursor:
        await cursor.execute(f"SELECT {_SESSION} {_SOURCE} WHERE t.id = %(id)s", {"id": session_id})
        return await cursor.fetchone()


async def count_open(connection: AsyncConnection, *, user_id: UUID) -> int:
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "SELECT count(*) FROM shell_sessions WHERE user_id = %s AND ended_at IS NULL",
            [user_id],
        )
        number: int = await cursor.fetchone() or 0
        return number


async def page(
    connection: AsyncConnection,
    *,
    user_id: UUID,
    visibility: Visibility,
    overseen: Sequence[UUID],
    vps_id: UUID | None,
    limit: int,
    offset: int,
) -> tuple[list[Session], int]:
    """Return a page of sessions and the total number. Running sessions come first, then newer ones.

    They are those of the user on visible servers, and those of everybody on servers of the overseen
    organisations. If `vps_id` is None, the page includes all these servers.
    """
    return await pagination.page(
        connection,
        Session,
        columns=_SESSION,
        source=f"{_SOURCE} WHERE {VISIBLE}"
        " AND (t.user_id = %(user_id)s OR organisation_id = ANY(%(overseen)s))"
        " AND (%(vps_id)s::uuid IS NULL OR vps_id = %(vps_id)s)",
        order="ended_at IS NOT NULL, started_at DESC, t.id",
        parameters={
            **visibility,
            "user_id": user_id,
            "overseen": list(overseen),
            "vps_id": vps_id,
        },
        limit=limit,
        offset=offset,
    )


async def recording_part(
    connection: AsyncConnection, *, session_id: str, part: int
) -> bytes | None:
    """Return one part of a recording: lines of asciicast v2, compressed with zlib."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "SELECT data FROM shell_recordings WHERE session_id = %(id)s AND part = %(part)s",
            {"id": session_id, "part": part},
        )
        data: bytes | None = await cursor.fetchone()
        return data
