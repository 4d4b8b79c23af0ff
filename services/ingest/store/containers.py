"""SQL of containers and their metrics. Functions take the connection and never commit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from flotilla.v1.docker_pb2 import DockerContainerInfo, DockerSnapshot

_UPSERT = """
INSERT INTO docker_containers AS known
    (vps_id, container_id, names, image, state, status, created_at, facts, seen_at)
SELECT %(vps_id)s, %(container_id)s, %(names)s, %(image)s, %(state)s, %(status)s, %(created_at)s,
    %(facts)s, %(seen_at)s
WHERE EXISTS (SELECT FROM vps WHERE id = %(vps_id)s)
ON CONFLICT (vps_id, container_id) DO UPDATE SET
    names = excluded.names, image = excluded.image, state = excluded.state,
    status = excluded.status, facts = excluded.facts, seen_at = excluded.seen_at, gone_at = NULL
WHERE known.seen_at < excluded.seen_at
"""
_GONE = """
UPDATE docker_containers SET gone_at = %(seen_at)s
WHERE vps_id = %(vps_id)s AND gone_at IS NULL AND seen_at < %(seen_at)s
    AND container_id <> ALL(%(present)s)
"""
_METRICS = """
INSERT INTO docker_metrics (time, container_db_id, mem_usage, mem_limit, cpu_usage,
    net_rx, net_tx, block_read, block_write)
SELECT %(time)s, id, %(mem_usage)s, %(mem_limit)s, %(cpu_usage)s,
    %(net_rx)s, %(net_tx)s, %(block_read)s, %(block_write)s
FROM docker_containers WHERE vps_id = %(vps_id)s AND container_id = %(container_id)s
ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Listing:
    """All containers of a server at one moment."""

    vps_id: UUID
    snapshot: DockerSnapshot

    @property
    def time(self) -> datetime:
        return datetime.fromtimestamp(self.snapshot.time_unix_ms / 1000, UTC)


async def insert_listings(connection: AsyncConnection, listings: Sequence[Listing]) -> int:
    """Update the containers and insert their metrics; return how many points were new."""
    # All writers use the same order, so that two of them cannot deadlock.
    ordered = sorted(listings, key=lambda listing: (listing.vps_id, listing.time))
    newest = {listing.vps_id: listing for listing in ordered}
    cursor = connection.cursor()
    facts = [
        _facts(listing, container)
        for listing in ordered
        # Use every listing, not only the newest, because a container may be in an older one only.
        for container in sorted(listing.snapshot.containers, key=lambda c: c.id)
    ]
    if facts:
        await cursor.executemany(_UPSERT, facts)
    for listing in newest.values():
        if listing.snapshot.containers_left_out:
            continue  # a container that is not listed may be one of those
        present = [container.id for container in listing.snapshot.containers]
        await cursor.execute(
            _GONE, {"vps_id": listing.vps_id, "seen_at": listing.time, "present": present}
        )
    points = [
        _point(listing, container)
        for listing in ordered
        for container in listing.snapshot.containers
    ]
    if not points:
        return 0
    await cursor.executemany(_METRICS, points)
    return cursor.rowcount


async def drop_old(connection: AsyncConnection, *, before: datetime, limit: int) -> bool:
    """Drop old chunks of metrics, then gone containers without any metrics.

    Return True if there may be more to drop.
    """
    cursor = await connection.execute("SELECT drop_chunks_before('docker_metrics', %s)", [before])
    (dropped,) = await cursor.fetchone() or (0,)
    cursor = await connection.execute(
        "DELETE FROM docker_containers WHERE id IN (SELECT id FROM docker_containers c"
        " WHERE gone_at < %(before)s"
        " AND NOT EXISTS (SELECT FROM docker_metrics WHERE container_db_id = c.id)"
        " LIMIT %(limit)s)",
        {"before": before, "limit": limit},
    )
    return dropped > 0 or cursor.rowcount == limit


def _facts(listing: Listing, container: DockerContainerInfo) -> dict[str, Any]:
    created = container.created_at_unix_ms
    return {
        "vps_id": listing.vps_id,
        "container_id": container.id,
        "names": list(container.names),
        "image": container.image,
        "state": container.state,
        "status": container.status,
        "created_at": datetime.fromtimestamp(created / 1000, UTC) if created else None,
        "facts": Jsonb(
            {
                "labels": dict(container.labels),
                "ports": [
                    {
                        "host_ip": port.host_ip,
                        "host_port": port.host_port,
                        "container_port": port.container_port,
                        "protocol": port.protocol,
                    }
                    for port in container.ports
                ],
                "mounts": [
                    {
                        "type": mount.type,
                        "source": mount.source,
                        "destination": mount.destination,
                        "read_only": mount.read_only,
                    }
                    for mount in container.mounts
                ],
            }
        ),
        "seen_at": listing.time,
    }


def _point(listing: Listing, container: DockerContainerInfo) -> dict[str, Any]:
    def value(name: str) -> float | int | None:
        return getattr(container, name) if container.HasField(name) else None  # type: ignore[arg-type]

    return {
        "time": listing.time,
        "vps_id": listing.vps_id,
        "container_id": container.id,
        "mem_usage": value("memory_usage_bytes"),
        "mem_limit": value("memory_limit_bytes"),
        "cpu_usage": value("cpu_usage_percent"),
        "net_rx": value("network_receive_bytes_per_second"),
        "net_tx": value("network_transmit_bytes_per_second"),
        "block_read": value("block_read_bytes_per_second"),
        "block_write": value("block_write_bytes_per_second"),
    }
