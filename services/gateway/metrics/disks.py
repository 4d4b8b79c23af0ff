"""History of the use of each mount.

It is read from the details of samples, which are kept for as long as the samples.
"""

import asyncio
from collections.abc import Sequence

from litestar import get

from flotilla.v1.metrics_pb2 import PerformanceSnapshot
from services.gateway.api.compression import COMPRESSED
from services.gateway.api.rules import ACTION
from services.gateway.api.time_range import MAX_POINTS, UsePoints
from services.gateway.api.transaction import UseConnection
from services.gateway.metrics import store
from services.gateway.metrics.schemas import DiskHistory, MountHistory
from services.gateway.servers.access import IN_TRANSACTION, OwnedServer
from services.kit.access import Action
from services.kit.metrics.fields import rfc3339


@get(
    "/vps/{vps_id:uuid}/disks/historical",
    operation_id="diskHistory",
    summary="Get the use of each mount over a time range, as far back as samples are kept",
    tags=["Metrics"],
    dependencies=IN_TRANSACTION,
    opt={ACTION: Action.METRICS_READ},
    middleware=COMPRESSED,
)
async def historical(server: OwnedServer, db: UseConnection, points: UsePoints) -> DiskHistory:
    found = await store.newest_details(
        db,
        vps_id=server.id,
        start=points.range.since,
        end=points.range.until,
        width=points.width,
        limit=MAX_POINTS,
    )
    # In a thread: decoding 1,000 details of a server with many mounts would block other requests.
    mounts = await asyncio.to_thread(decode, [detail for _, detail in found])
    return DiskHistory(points.granularity, [rfc3339(time) for time, _ in found], mounts)


def decode(details: Sequence[bytes]) -> list[MountHistory]:
    """Return the mounts sorted by mount point; each column has a value per item of `details`."""
    mounts: dict[str, MountHistory] = {}
    for index, detail in enumerate(details):
        for disk in PerformanceSnapshot.FromString(detail).disks:
            mount = mounts.get(disk.mount_point)
            if mount is None:
                empty: list[int | None] = [None] * len(details)
                mount = MountHistory(disk.mount_point, empty, [*empty])
                mounts[disk.mount_point] = mount
            mount.used[index], mount.total[index] = disk.used_bytes, disk.total_bytes
    return sorted(mounts.values(), key=lambda mount: mount.mount_point)
