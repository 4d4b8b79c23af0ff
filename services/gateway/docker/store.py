"""Containers as their agents report them. Functions never commit."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row, scalar_row


@dataclass(frozen=True, slots=True)
class ReportedContainer:
    """A container as its agent last reported it; metrics are None if that report had none."""

    container_id: str
    names: list[str]
    image: str
    state: str
    status: str
    created_at: datetime | None
    facts: dict[str, Any]
    seen_at: datetime
    cpu_usage: float | None
    mem_usage: int | None
    mem_limit: int | None
    net_rx: float | None
    net_tx: float | None
    block_read: float | None
    block_write: float | None

    def metrics(self) -> dict[str, float | None]:
        """Return the metrics by their names in the API."""
        return {
            "cpu_usage_percent": self.cpu_usage,
            "memory_usage_bytes": self.mem_usage,
            "memory_limit_bytes": self.mem_limit,
            "network_receive_bytes_per_second": self.net_rx,
            "network_transmit_bytes_per_second": self.net_tx,
            "block_read_bytes_per_second": self.block_read,
            "block_write_bytes_per_second": self.block_write,
        }


@dataclass(frozen=True, slots=True)
class Point:
    time: datetime
    cpu_usage: float | None
    mem_usage: float | None
    mem_limit: float | None
    net_rx: float | None
    net_tx: float | None
    block_read: float | None
    block_write: float | None


_METRICS = ("cpu_usage", "mem_usage", "mem_limit", "net_rx", "net_tx", "block_read", "block_write")


async def reported_containers(
    connection: AsyncConnection, *, vps_id: UUID
) -> list[ReportedContainer]:
    """Return the containers of a server's latest report."""
    async with connection.cursor(row_factory=class_row(ReportedContainer)) as cursor:
        await cursor.execute(
            "SELECT c.container_id, c.names, c.image, c.state, c.status, c.created_at, c.facts,"
            f" c.seen_at, {', '.join(f'm.{name}' for name in _METRICS)}"
            " FROM docker_containers c LEFT JOIN LATERAL (SELECT * FROM docker_metrics m"
            " WHERE m.container_db_id = c.id AND m.time = c.seen_at) m ON true"
            " WHERE c.vps_id = %(vps_id)s AND c.gone_at IS NULL ORDER BY c.names, c.container_id",
            {"vps_id": vps_id},
        )
        return await cursor.fetchall()


async def last_report(connection: AsyncConnection, *, vps_id: UUID) -> datetime | None:
    """Return the time of the newest report of containers; None if there is none."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "SELECT max(greatest(seen_at, gone_at)) FROM docker_containers WHERE vps_id = %s",
            [vps_id],
        )
        return await cursor.fetchone()


async def points(
    connection: AsyncConnection,
    *,
    vps_id: UUID,
    container_id: str,
    start: datetime,
    end: datetime,
    width: timedelta,
    limit: int,
) -> list[Point]:
    """Return averages over `width`, oldest first.

    `container_id` may be the beginning of an id; the container that was seen last is used.
    """
    averages = ", ".join(f"avg({name})::float8 AS {name}" for name in _METRICS)
    async with connection.cursor(row_factory=class_row(Point)) as cursor:
        await cursor.execute(
            f"SELECT time_bucket(%(width)s, time) AS time, {averages} FROM docker_metrics"
            " WHERE container_db_id = (SELECT id FROM docker_containers WHERE vps_id = %(vps_id)s"
            " AND container_id LIKE %(container_id)s || '%%' ORDER BY seen_at DESC LIMIT 1)"
            " AND time >= %(start)s AND time < %(end)s GROUP BY 1 ORDER BY 1 LIMIT %(limit)s",
            {
                "vps_id": vps_id,
                "container_id": container_id,
                "start": start,
                "end": end,
                "width": width,
                "limit": limit,
            },
        )
        return await cursor.fetchall()
