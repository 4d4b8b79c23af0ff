"""Queries of the gateway that drives a run: claim, write, release. Functions never commit.

Each run has at most one follower: the gateway whose id is in its row. Every write checks this id,
so two gateways never write the same output.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row

from services.gateway.api.problem_types import ProblemType
from services.gateway.runs import store
from services.gateway.runs.output import Text
from services.gateway.runs.states import Status
from services.gateway.runs.store import Line

LINE_COST = 64  # bytes that each line adds to the size of the output, besides its text


@dataclass(frozen=True, slots=True)
class FollowedServer:
    run_id: UUID
    vps_id: UUID
    status: Status
    request: bytes | None
    cancelled_by: str | None
    stdout_read: int
    stderr_read: int
    started_for: timedelta | None
    left: timedelta | None
    """Time left until the gateway stops asking the agent for the answer."""


@dataclass(slots=True)
class FollowedRun:
    id: UUID
    user_id: UUID | None
    username: str
    peer: str
    script: str
    timeout_seconds: int
    unfollowed_for: timedelta
    servers: list[FollowedServer] = field(default_factory=list)
    """Servers that have not ended."""


@dataclass(frozen=True, slots=True)
class Begin:
    request: bytes
    patience: timedelta


@dataclass(frozen=True, slots=True)
class End:
    status: Status
    exit_code: int | None = None
    reason: str = ""
    problem: ProblemType | None = None


@dataclass(slots=True)
class Change:
    """New states and output of one server, not stored yet."""

    vps_id: UUID
    begin: Begin | None = None
    texts: list[Text] = field(default_factory=list)
    truncated: bool = False
    end: End | None = None


@dataclass(frozen=True, slots=True)
class Written:
    next_position: int
    begun: frozenset[UUID]
    """Servers that changed from queued to running."""
    ended: frozenset[UUID]
    dropped: int
    """Bytes of output beyond the limit of the run."""


async def take_over(
    connection: AsyncConnection, *, follower: UUID, silence: timedelta, limit: int
) -> list[FollowedRun]:
    """Claim the oldest runs that have no follower, or whose follower sent no heartbeat lately."""
    async with connection.cursor(row_factory=class_row(FollowedRun)) as cursor:
        await cursor.execute(
            "WITH free AS (SELECT id, now() - followed_at AS unfollowed_for FROM runs"
            " WHERE status IN ('queued', 'running')"
            " AND (follower IS NULL OR followed_at < now() - %(silence)s)"
            " ORDER BY created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)"
            " UPDATE runs r SET follower = %(follower)s, followed_at = now()"
            " FROM free WHERE r.id = free.id RETURNING r.id, r.user_id, r.username, r.peer,"
            " r.script, r.timeout_seconds, free.unfollowed_for",
            {"follower": follower, "silence": silence, "limit": limit},
        )
        runs = {run.id: run for run in await cursor.fetchall()}
    async with connection.cursor(row_factory=class_row(FollowedServer)) as servers:
        await servers.execute(
            "SELECT s.run_id, s.vps_id, s.status, s.request, s.cancelled_by, s.stdout_read,"
            " s.stderr_read, now() - s.started_at AS started_for, s.deadline_at - now() AS left"
            " FROM run_servers s JOIN vps v ON v.id = s.vps_id"
            " WHERE s.run_id = ANY(%(ids)s) AND s.status IN ('queued', 'running')"
            " ORDER BY s.status DESC, v.name, v.id",
            {"ids": list(runs)},
        )
        async for server in servers:
            runs[server.run_id].servers.append(server)
    return list(runs.values())


async def renew(
    connection: AsyncConnection, *, follower: UUID, run_ids: Sequence[UUID]
) -> set[UUID]:
    """Renew the claim on these runs; return the ones that ended or were taken over."""
    cursor = await connection.execute(
        "UPDATE runs SET followed_at = now()"
        " WHERE id = ANY(%(ids)s) AND follower = %(follower)s RETURNING id",
        {"ids": list(run_ids), "follower": follower},
    )
    return set(run_ids) - {run_id for (run_id,) in await cursor.fetchall()}


async def release(connection: AsyncConnection, *, follower: UUID) -> None:
    """Release all runs of this follower, so that another gateway can claim them at once."""
    await connection.execute(
        "UPDATE runs SET follower = NULL, followed_at = now()"
        " WHERE follower = %(follower)s AND status IN ('queued', 'running')",
        {"follower": follower},
    )


async def cancel_requests(
    connection: AsyncConnection, *, run_ids: Sequence[UUID]
) -> list[tuple[UUID, UUID, str]]:
    """Return run id, server id and username for each running server that must be cancelled."""
    cursor = await connection.execute(
        "SELECT run_id, vps_id, cancelled_by FROM run_servers WHERE run_id = ANY(%(ids)s)"
        " AND status = 'running' AND cancelled_by IS NOT NULL",
        {"ids": list(run_ids)},
    )
    return await cursor.fetchall()


async def write(
    connection: AsyncConnection,
    *,
    run_id: UUID,
    follower: UUID,
    changes: Sequence[Change],
    most: int,
) -> Written | None:
    """Store these changes; return None if the run was deleted or has another follower.

    Writing the same changes twice stores them once. `most` limits the output of the run, in bytes.
    """
    cursor = await connection.execute(
        "SELECT next_position, output_size FROM runs"
        " WHERE id = %(id)s AND follower = %(follower)s FOR UPDATE",
        {"id": run_id, "follower": follower},
    )
    locked = await cursor.fetchone()
    if locked is None:
        return None
    position, size = locked
    batch = Batch(position, most - size)
    servers = await _lock_servers(connection, run_id, [change.vps_id for change in changes])
    for change in changes:
        # A server that was removed has no row.
        if (server := servers.get(change.vps_id)) is not None:
            batch.add(change, server)
    await store.insert_lines(connection, run_id=run_id, lines=batch.lines)
    for update in batch.updates:
        await connection.execute(_UPDATE_SERVER, {"id": run_id, **update})
    position += len(batch.lines)
    await connection.execute(
        "UPDATE runs SET next_position = %(next)s, output_size = %(size)s WHERE id = %(id)s",
        {"id": run_id, "next": position, "size": most - batch.room},
    )
    if batch.begun or batch.ended:
        await store.settle(connection, run_id=run_id, next_position=position)
    return Written(position, frozenset(batch.begun), frozenset(batch.ended), batch.dropped)


async def settle(connection: AsyncConnection, *, run_id: UUID, follower: UUID) -> None:
    """End a run if its last unfinished servers were removed."""
    cursor = await connection.execute(
        "SELECT next_position FROM runs WHERE id = %(id)s AND follower = %(follower)s FOR UPDATE",
        {"id": run_id, "follower": follower},
    )
    locked = await cursor.fetchone()
    if locked is not None:
        await store.settle(connection, run_id=run_id, next_position=locked[0])


_UPDATE_SERVER = (
    "UPDATE run_servers SET status = %(status)s, exit_code = %(exit_code)s, reason = %(reason)s,"
    " problem = %(problem)s, truncated = %(truncated)s, stdout_read = %(stdout)s, stderr_read = %(stderr)s,"
    " request = CASE %(status)s WHEN 'running' THEN coalesce(%(request)s, request) END,"
    " started_at = CASE WHEN %(begins)s THEN now() ELSE started_at END,"
    " deadline_at = coalesce(now() + %(patience)s, deadline_at),"
    " finished_at = CASE WHEN %(ends)s THEN now() END"
    " WHERE run_id = %(id)s AND vps_id = %(vps_id)s"
)


@dataclass(frozen=True, slots=True)
class StoredServer:
    vps_id: UUID
    status: Status
    request: bytes | None
    truncated: bool
    stdout_read: int
    stderr_read: int


async def _lock_servers(
    connection: AsyncConnection, run_id: UUID, vps_ids: Sequence[UUID]
) -> dict[UUID, StoredServer]:
    async with connection.cursor(row_factory=class_row(StoredServer)) as cursor:
        await cursor.execute(
            "SELECT vps_id, status, request, truncated, stdout_read, stderr_read FROM run_servers"
            " WHERE run_id = %(id)s AND vps_id = ANY(%(servers)s) ORDER BY vps_id FOR UPDATE",
            {"id": run_id, "servers": list(vps_ids)},
        )
        return {server.vps_id: server for server in await cursor.fetchall()}


class Batch:
    """Rows that store a list of changes."""

    def __init__(self, position: int, room: int) -> None:
        self.lines: list[Line] = []
        self.updates: list[dict[str, object]] = []
        self.begun: set[UUID] = set()
        self.ended: set[UUID] = set()
        self.room = room  # bytes
        self.dropped = 0  # bytes
        self._position = position

    def add(self, change: Change, server: StoredServer) -> None:
        begin = change.begin if server.status == "queued" else None
        # These lines are already stored: the connection broke after the commit.
        if change.begin is not None and change.begin.request == server.request:
            self.begun.add(server.vps_id)
        if change.end is not None and change.end.status == server.status:
            self.ended.add(server.vps_id)
        if server.status != "running" and begin is None:
            return
        status: Status = "running"
        if begin is not None:
            self.begun.add(server.vps_id)
            self._line(server.vps_id, "status", store.status_data("running"))
        read, cut = self._texts(change, server)
        truncated = server.truncated or change.truncated or cut
        end = change.end or End("running")
        if change.end is not None:
            status = change.end.status
            self.ended.add(server.vps_id)
            data = store.status_data(
                status,
                exit_code=end.exit_code,
                truncated=truncated,
                reason=end.reason,
                problem=end.problem,
            )
            self._line(server.vps_id, "status", data)
        self.updates.append(
            {
                "vps_id": server.vps_id,
                "status": status,
                "exit_code": end.exit_code,
                "reason": end.reason,
                "problem": end.problem,
                "truncated": truncated,
                "stdout": read["stdout"],
                "stderr": read["stderr"],
                "request": None if begin is None else begin.request,
                "begins": begin is not None,
                "patience": None if begin is None else begin.patience,
                "ends": change.end is not None,
            }
        )

    def _texts(self, change: Change, server: StoredServer) -> tuple[dict[str, int], bool]:
        """Add the lines that are not stored yet; return the bytes read and a truncation flag."""
        read: dict[str, int] = {"stdout": server.stdout_read, "stderr": server.stderr_read}
        cut = False
        for text in change.texts:
            if text.read <= read[text.stream]:
                continue
            read[text.stream] = text.read
            size = len(text.data.encode())
            # Output after a gap would be misleading, so all of it is dropped.
            if cut or server.truncated or size + LINE_COST > self.room:
                cut = True
                self.dropped += size
                continue
            self.room -= size + LINE_COST
            self._line(server.vps_id, text.stream, text.data)
        return read, cut

    def _line(self, vps_id: UUID, stream: str, data: str) -> None:
        self.lines.append(Line(self._position + len(self.lines), vps_id, stream, data))
