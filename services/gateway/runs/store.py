"""Queries that start, list, read and cancel runs. Functions never commit.

Every change locks the row of the run first, so line numbers follow the order of the commits: a
reader that has seen a line has seen every line before it. `visibility` limits the results to servers
of that user; None includes the servers of all users.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import LiteralString
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row, scalar_row

from services.gateway.api import pagination
from services.gateway.api.problem_types import ProblemType
from services.gateway.runs import states
from services.gateway.runs.states import Status
from services.gateway.servers.visibility import VISIBLE, Visibility

LINES_AT_ONCE = 64
COUNT_LIMIT = 100_000

_RUN = (
    "r.id, r.username, r.source, r.script, r.timeout_seconds, r.status, r.created_at,"
    " r.started_at, r.finished_at"
)
_SERVER = (
    "s.vps_id, s.status, s.exit_code, s.reason, s.problem, s.truncated,"
    " s.status = 'running' AND s.cancelled_by IS NOT NULL AS cancelling,"
    " s.started_at, s.finished_at"
)
_VISIBLE: LiteralString = f"FROM run_servers s JOIN vps ON vps.id = s.vps_id WHERE {VISIBLE}"


@dataclass(frozen=True, slots=True)
class Server:
    vps_id: UUID
    status: Status
    exit_code: int | None
    reason: str
    problem: str | None
    truncated: bool
    cancelling: bool
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(slots=True)
class Run:
    id: UUID
    username: str
    source: str
    script: str
    timeout_seconds: int
    status: Status
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    servers: list[Server] = field(default_factory=list)


@dataclass(slots=True)
class Output:
    """The first lines of a server's output."""

    pieces: list[tuple[str, str]] = field(default_factory=list)
    """Pairs of stream and text, in the order of their arrival."""
    omitted: bool = False
    """True if more lines are stored."""


@dataclass(frozen=True, slots=True)
class Line:
    position: int
    vps_id: UUID
    stream: str
    data: str
    time: datetime | None = None
    """Set by the database."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of a run's output and the state of the run when they were read."""

    items: list[Line]
    next_position: int
    status: Status
    ended: bool
    """True if the run has ended and these are its last lines."""


async def waiting(connection: AsyncConnection) -> int:
    """Count the runs that wait for a gateway with room."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "SELECT count(*) FROM runs WHERE status IN ('queued', 'running') AND follower IS NULL"
        )
        number: int = await cursor.fetchone() or 0
        return number


async def unfinished(connection: AsyncConnection, *, user_id: UUID) -> int:
    """Count the runs of a user that have not ended."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "SELECT count(*) FROM runs WHERE status IN ('queued', 'running') AND user_id = %s",
            [user_id],
        )
        number: int = await cursor.fetchone() or 0
        return number


async def insert(
    connection: AsyncConnection,
    *,
    run_id: UUID,
    user_id: UUID,
    username: str,
    peer: str,
    script: str,
    timeout_seconds: int,
    vps_ids: Sequence[UUID],
) -> None:
    """Queue a run. Any gateway may claim it."""
    await connection.execute(
        "INSERT INTO runs"
        " (id, user_id, username, peer, script, timeout_seconds, next_position)"
        " VALUES (%(id)s, %(user)s, %(username)s, %(peer)s, %(script)s, %(timeout)s, %(next)s)",
        {
            "id": run_id,
            "user": user_id,
            "username": username,
            "peer": peer,
            "script": script,
            "timeout": timeout_seconds,
            "next": len(vps_ids),
        },
    )
    await connection.execute(
        "INSERT INTO run_servers (run_id, vps_id) SELECT %(id)s, unnest(%(servers)s::uuid[])",
        {"id": run_id, "servers": list(vps_ids)},
    )
    await insert_lines(
        connection,
        run_id=run_id,
        lines=[
            Line(position, vps_id, "status", status_data("queued"))
            for position, vps_id in enumerate(vps_ids)
        ],
    )


async def insert_lines(connection: AsyncConnection, *, run_id: UUID, lines: Sequence[Line]) -> None:
    if not lines:
        return
    await connection.execute(
        "INSERT INTO run_output (run_id, position, vps_id, stream, data)"
        " SELECT %(id)s, * FROM unnest(%(positions)s::bigint[], %(servers)s::uuid[],"
        " %(streams)s::text[], %(data)s::text[])",
        {
            "id": run_id,
            "positions": [line.position for line in lines],
            "servers": [line.vps_id for line in lines],
            "streams": [line.stream for line in lines],
            "data": [line.data for line in lines],
        },
    )


def status_data(
    status: Status,
    *,
    exit_code: int | None = None,
    truncated: bool = False,
    reason: str = "",
    problem: ProblemType | None = None,
) -> str:
    """Encode a change of a server's state as the data of a line."""
    return json.dumps(
        {
            "status": status,
            "exit_code": exit_code,
            "truncated": truncated,
            "reason": reason,
            "problem": problem,
        }
    )


async def page(
    connection: AsyncConnection,
    *,
    visibility: Visibility,
    vps_id: UUID | None,
    status: Status | None,
    limit: int,
    offset: int,
) -> tuple[list[Run], int]:
    """List runs, newest first, and count them up to `COUNT_LIMIT`."""
    where: LiteralString = (
        f"FROM runs r WHERE r.id IN (SELECT s.run_id {_VISIBLE}"
        " AND (%(vps)s::uuid IS NULL OR s.vps_id = %(vps)s))"
        " AND (%(status)s::text IS NULL OR r.status = %(status)s)"
    )
    parameters = {
        **visibility,
        "vps": vps_id,
        "status": status,
    }
    runs, total = await pagination.page(
        connection,
        Run,
        columns=_RUN,
        source=where,
        order="r.created_at DESC, r.id",
        parameters=parameters,
        limit=limit,
        offset=offset,
        max_total=COUNT_LIMIT,
    )
    await _add_servers(connection, runs, visibility=visibility)
    return runs, total


async def get(connection: AsyncConnection, *, run_id: UUID, visibility: Visibility) -> Run | None:
    """Find a run with its servers; return None if none of them is visible."""
    async with connection.cursor(row_factory=class_row(Run)) as cursor:
        await cursor.execute(f"SELECT {_RUN} FROM runs r WHERE r.id = %(id)s", {"id": run_id})
        run = await cursor.fetchone()
    if run is None:
        return None
    await _add_servers(connection, [run], visibility=visibility)
    return run if run.servers else None


async def _add_servers(
    connection: AsyncConnection, runs: Sequence[Run], *, visibility: Visibility
) -> None:
    by_id = {run.id: run for run in runs}
    cursor = await connection.execute(
        f"SELECT s.run_id, {_SERVER} {_VISIBLE} AND s.run_id = ANY(%(ids)s) ORDER BY vps.name, vps.id",
        {"ids": list(by_id), **visibility},
    )
    for run_id, *fields in await cursor.fetchall():
        by_id[run_id].servers.append(Server(*fields))


async def output(
    connection: AsyncConnection, *, run_id: UUID, vps_ids: Sequence[UUID], most: int
) -> dict[UUID, Output]:
    """Read the output of these servers; each result ends with the line that exceeds `most` bytes."""
    found = {vps_id: Output() for vps_id in vps_ids}
    cursor = await connection.execute(
        "SELECT vps_id, stream, data, whole > before + size FROM ("
        "SELECT position, vps_id, stream, data, octet_length(data) AS size,"
        " sum(octet_length(data)) OVER (PARTITION BY vps_id) AS whole,"
        " sum(octet_length(data)) OVER (PARTITION BY vps_id ORDER BY position)"
        " - octet_length(data) AS before FROM run_output"
        " WHERE run_id = %(id)s AND vps_id = ANY(%(servers)s) AND stream <> 'status'"
        ") lines WHERE before < %(most)s ORDER BY position",
        {"id": run_id, "servers": list(vps_ids), "most": most},
    )
    for vps_id, stream, data, goes_on in await cursor.fetchall():
        found[vps_id].pieces.append((stream, data))
        found[vps_id].omitted = goes_on
    return found


async def lines(
    connection: AsyncConnection, *, run_id: UUID, visibility: Visibility, offset: int
) -> Lines | None:
    """Read the next lines of a run; return None if none of its servers is visible.

    An `offset` beyond the end of the output starts at the end.
    """
    cursor = await connection.execute(
        "SELECT r.next_position, r.status FROM runs r WHERE r.id = %(id)s"
        f" AND EXISTS (SELECT 1 {_VISIBLE} AND s.run_id = r.id)",
        {"id": run_id, **visibility},
    )
    found = await cursor.fetchone()
    if found is None:
        return None
    end, status = found
    async with connection.cursor(row_factory=class_row(Line)) as rows:
        await rows.execute(
            "SELECT o.position, o.vps_id, o.stream, o.data, o.time FROM run_output o"
            " JOIN vps ON vps.id = o.vps_id WHERE o.run_id = %(id)s AND o.position >= %(offset)s"
            f" AND o.position < %(end)s AND {VISIBLE}"
            " ORDER BY o.position LIMIT %(limit)s",
            {
                "id": run_id,
                **visibility,
                "offset": offset,
                "end": end,
                "limit": LINES_AT_ONCE,
            },
        )
        items = await rows.fetchall()
    if len(items) == LINES_AT_ONCE:
        return Lines(items, items[-1].position + 1, status, ended=False)
    return Lines(items, end, status, ended=status not in states.UNFINISHED)


async def cancel(
    connection: AsyncConnection, *, run_id: UUID, vps_ids: Sequence[UUID], username: str
) -> list[UUID]:
    """Cancel queued servers and request the cancellation of running ones; return all of them."""
    cursor = await connection.execute(
        "SELECT next_position FROM runs WHERE id = %(id)s FOR UPDATE", {"id": run_id}
    )
    locked = await cursor.fetchone()
    if locked is None:
        return []
    (position,) = locked
    reason = f"Cancelled by {username}."
    cursor = await connection.execute(
        "UPDATE run_servers SET cancelled_by = coalesce(cancelled_by, %(username)s),"
        " finished_at = CASE status WHEN 'queued' THEN now() END,"
        " reason = CASE status WHEN 'queued' THEN %(reason)s ELSE reason END,"
        " status = CASE status WHEN 'queued' THEN 'cancelled' ELSE status END"
        " WHERE run_id = %(id)s AND vps_id = ANY(%(servers)s) AND status IN ('queued', 'running')"
        " RETURNING vps_id, status",
        {"id": run_id, "servers": list(vps_ids), "username": username, "reason": reason},
    )
    changed: list[tuple[UUID, Status]] = await cursor.fetchall()
    ended = [vps_id for vps_id, status in changed if status == "cancelled"]
    data = status_data("cancelled", reason=reason)
    await insert_lines(
        connection,
        run_id=run_id,
        lines=[
            Line(number, vps_id, "status", data) for number, vps_id in enumerate(ended, position)
        ],
    )
    await settle(connection, run_id=run_id, next_position=position + len(ended))
    return [vps_id for vps_id, _ in changed]


async def settle(connection: AsyncConnection, *, run_id: UUID, next_position: int) -> None:
    """Derive the state of a locked run from its servers."""
    cursor = await connection.execute(
        "SELECT status, count(*) FROM run_servers WHERE run_id = %(id)s GROUP BY status",
        {"id": run_id},
    )
    counts: dict[Status, int] = dict(await cursor.fetchall())
    status = states.of_run(counts)
    await connection.execute(
        "UPDATE runs SET status = %(status)s, next_position = %(next)s,"
        " started_at = (SELECT min(s.started_at) FROM run_servers s WHERE s.run_id = id),"
        " finished_at = CASE WHEN %(ended)s THEN coalesce(finished_at, now()) END,"
        " follower = CASE WHEN %(ended)s THEN NULL ELSE follower END WHERE id = %(id)s",
        {
            "id": run_id,
            "status": status,
            "next": next_position,
            "ended": status not in states.UNFINISHED,
        },
    )


async def delete_old(connection: AsyncConnection, *, keep: timedelta, limit: int) -> int:
    """Delete ended runs older than `keep`, oldest first; return the number of deleted runs."""
    cursor = await connection.execute(
        "WITH gone AS (DELETE FROM runs WHERE id IN (SELECT id FROM runs"
        " WHERE created_at < now() - %(keep)s AND status NOT IN ('queued', 'running')"
        " ORDER BY created_at LIMIT %(limit)s) RETURNING id),"
        " copied AS (DELETE FROM commands USING gone WHERE commands.id = gone.id)"
        " SELECT id FROM gone",
        {"keep": keep, "limit": limit},
    )
    return cursor.rowcount
