"""Bytes per snapshot: as a message, on the wire, on the bus and in the database."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import nats
import psutil
import psycopg
from nats.aio.client import Client
from nats.aio.msg import Msg
from psycopg.rows import args_row

from deploy.local.settings import Settings
from flotilla.v1.metrics_pb2 import PerformanceSnapshot, PerformanceSnapshotBatch
from services.ingest.store import performance, rows
from services.kit.bus import subjects

MARK_SECONDS = 30.0
# Time after a snapshot until all its messages have been exchanged, in seconds.
QUIET = 0.5
SEGMENT_HEADERS = 52  # bytes: IPv4 and TCP with time stamps
SERVERS = 50
ROWS = 100_000
TRANSACTION = 500  # rows, as the writer takes messages at most
INTERVAL_MS = 2_000


@dataclass(slots=True)
class Tap:
    """Messages on the bus from one server's agent."""

    client: Client
    snapshots: list[PerformanceSnapshot] = field(default_factory=list)
    batches: int = 0
    bytes: int = 0  # subjects, headers and payloads
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, message: Msg) -> None:
        self.snapshots.extend(PerformanceSnapshotBatch.FromString(message.data).snapshots)
        self.batches += 1
        headers = sum(
            len(f"{name}: {value}\r\n") for name, value in (message.headers or {}).items()
        )
        self.bytes += len(message.subject) + headers + len(message.data)
        self.arrived.set()


@dataclass(frozen=True, slots=True)
class Mark:
    """Values of the counters at a moment between two snapshots."""

    snapshots: int
    batches: int
    bus_bytes: int
    wire: Wire


@dataclass(frozen=True, slots=True)
class Wire:
    """The agent's end of its connection."""

    port: int
    sent: int
    received: int
    segments: int


@dataclass(frozen=True, slots=True)
class OnTheWay:
    """Bytes per snapshot."""

    snapshots: int
    batches: int
    message: float
    wire_up: float | None
    """TCP payload, including TLS records; None if the connection was replaced in that time."""
    wire_down: float | None
    wire_with_headers: float | None
    bus: float


@dataclass(frozen=True, slots=True)
class Stored:
    """Bytes per row, over all chunks."""

    rows: int
    table: float
    index: float
    toast: float
    total: float


@asynccontextmanager
async def tapped(settings: Settings, vps_id: str) -> AsyncIterator[Tap]:
    client = await nats.connect(
        settings.values["FLOTILLA_NATS_URL"],
        user=subjects.User.OPERATOR,
        password=settings.values["FLOTILLA_NATS_OPERATOR_PASSWORD"],
        inbox_prefix=b"_INBOX_operator",
    )
    try:
        tap = Tap(client)
        await client.subscribe(subjects.performance(vps_id), cb=tap.take)
        yield tap
    finally:
        await client.close()


async def mark(tap: Tap, agent: int, edge_port: int) -> Mark:
    tap.arrived.clear()
    async with asyncio.timeout(MARK_SECONDS):
        await tap.arrived.wait()
    await asyncio.sleep(QUIET)
    return Mark(len(tap.snapshots), tap.batches, tap.bytes, _wire(agent, edge_port))


def between(first: Mark, last: Mark, snapshots: Sequence[PerformanceSnapshot]) -> OnTheWay:
    count = last.snapshots - first.snapshots
    passed = snapshots[first.snapshots : last.snapshots]
    same = first.wire.port == last.wire.port
    up = last.wire.sent - first.wire.sent
    down = last.wire.received - first.wire.received
    segments = last.wire.segments - first.wire.segments
    return OnTheWay(
        snapshots=count,
        batches=last.batches - first.batches,
        message=sum(snapshot.ByteSize() for snapshot in passed) / count,
        wire_up=up / count if same else None,
        wire_down=down / count if same else None,
        wire_with_headers=(up + down + SEGMENT_HEADERS * segments) / count if same else None,
        bus=(last.bus_bytes - first.bus_bytes) / count,
    )


async def stored(url: str, snapshots: Sequence[PerformanceSnapshot]) -> Stored:
    """Fill the table with the writer's own insert statement; the measured snapshots are repeated.

    Fifty servers report in turn, as in a fleet. An index that is filled in its own order would be
    smaller.
    """
    async with await psycopg.AsyncConnection.connect(url) as connection:
        fleet = await _add_servers(connection)
        await connection.commit()
        every = _repeated(fleet, snapshots)
        while chunk := list(itertools.islice(every, TRANSACTION)):
            await performance.insert_performance(connection, chunk)
            await connection.commit()
        cursor = connection.cursor(row_factory=args_row(_per_row))
        await cursor.execute(
            "SELECT (SELECT count(*) FROM performance_metrics),"
            " sum(pg_table_size(chunk) - toast)::bigint, sum(pg_indexes_size(chunk))::bigint,"
            " sum(toast)::bigint"
            " FROM show_chunks('performance_metrics') AS chunk"
            " JOIN pg_class ON pg_class.oid = chunk,"
            " LATERAL (SELECT coalesce(pg_total_relation_size(nullif(reltoastrelid, 0)), 0))"
            " AS of_toast (toast)"
        )
        found = await cursor.fetchone()
    assert found is not None
    return found


def _per_row(count: int, table: int, index: int, toast: int) -> Stored:
    total = table + index + toast
    return Stored(count, table / count, index / count, toast / count, total / count)


async def _add_servers(connection: psycopg.AsyncConnection) -> list[UUID]:
    cursor = await connection.execute(
        "INSERT INTO vps (user_id, name)"
        " SELECT id, 'bench ' || n FROM users, generate_series(1, %(count)s) AS n"
        " WHERE username = 'admin' RETURNING id",
        {"count": SERVERS},
    )
    return [row[0] for row in await cursor.fetchall()]


def _repeated(
    fleet: Sequence[UUID], snapshots: Sequence[PerformanceSnapshot]
) -> Iterator[rows.Row]:
    start = snapshots[-1].time_unix_ms
    source = itertools.cycle(snapshots)
    for turn in range(1, ROWS // len(fleet) + 1):
        batch = PerformanceSnapshotBatch(snapshots=[next(source)])
        batch.snapshots[0].time_unix_ms = start + turn * INTERVAL_MS
        for vps_id in fleet:
            yield from rows.performance_rows(vps_id, batch)


def _wire(agent: int, edge_port: int) -> Wire:
    """Return the kernel's counters of the agent's socket. A relay would change the figures."""
    ports = [
        connection.laddr.port
        for connection in psutil.Process(agent).net_connections("tcp")
        if connection.status == psutil.CONN_ESTABLISHED and connection.raddr.port == edge_port
    ]
    if len(ports) != 1:
        raise RuntimeError(f"the agent has {len(ports)} connections to the edge")
    told = subprocess.run(
        ["ss", "--tcp", "--info", "--numeric", "--no-header", "--oneline", f"sport = :{ports[0]}"],
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    )
    fields = dict(word.split(":", 1) for word in told.stdout.split() if word.count(":") == 1)
    return Wire(
        ports[0],
        int(fields["bytes_sent"]),
        int(fields["bytes_received"]),
        int(fields["segs_out"]) + int(fields["segs_in"]),
    )
