"""How full each mount was, from the parts of samples; those stay as long as the samples do."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from litestar import get
from litestar.params import FromPath, Parameter

from flotilla.v1.metrics_pb2 import PerformanceSnapshot
from services.gateway.guard import ACTION, AuthedRequest, owned
from services.gateway.history import MAX_POINTS, WIDTHS, finest_for, window
from services.gateway.history_schemas import DiskHistory, MountHistory
from services.gateway.runtime import UseRuntime
from services.gateway.schemas import Granularity
from services.gateway.store import disks as store
from services.gateway.store import fleet
from services.kit import database
from services.kit.access import Action
from services.kit.sample import rfc3339


@get(
    "/vps/{vps_id:uuid}/disks/historical",
    operation_id="diskHistory",
    summary="Use of each mount over a window, as long as samples are kept",
    tags=["Metrics"],
    opt={ACTION: Action.VPS_READ},
)
async def historical(
    *,
    request: AuthedRequest,
    vps_id: FromPath[UUID],
    runtime: UseRuntime,
    start: Annotated[
        datetime | None, Parameter(description="Default: an hour before `end`")
    ] = None,
    end: Annotated[datetime | None, Parameter(description="Default: now")] = None,
    granularity: Annotated[
        Literal["auto"] | Granularity,
        Parameter(
            description="Width of a point; `auto` for the finest that gives at most 1,000 points"
        ),
    ] = "auto",
) -> DiskHistory:
    since, until = window(start, end)
    best = finest_for(granularity, since, until)
    name = best if granularity == "auto" else granularity
    async with database.transaction(runtime.pool) as connection:
        owned(request, await fleet.get(connection, vps_id=vps_id))
        found = await store.parts(
            connection,
            vps_id=vps_id,
            start=since,
            end=until,
            width=WIDTHS[name],
            limit=MAX_POINTS,
        )
    # A thousand of a host with many mounts take longer than others should wait.
    mounts = await asyncio.to_thread(decode, [stored for _, stored in found])
    return DiskHistory(name, [rfc3339(time) for time, _ in found], mounts)


def decode(stored: Sequence[bytes]) -> list[MountHistory]:
    """By mount point; a column has an entry for each of `stored`."""
    mounts: dict[str, MountHistory] = {}
    for at, parts in enumerate(stored):
        for disk in PerformanceSnapshot.FromString(parts).disks:
            mount = mounts.get(disk.mount_point)
            if mount is None:
                empty: list[int | None] = [None] * len(stored)
                mount = MountHistory(disk.mount_point, empty, [*empty])
                mounts[disk.mount_point] = mount
            mount.used[at], mount.total[at] = disk.used_bytes, disk.total_bytes
    return sorted(mounts.values(), key=lambda mount: mount.mount_point)
