"""What a server's owner measures with collectors of their own."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from litestar import Controller, get
from litestar.params import FromPath, Parameter

from services.gateway import errors
from services.gateway.guard import ACTION, AuthedRequest, owned
from services.gateway.history import MAX_POINTS, WIDTHS, finest_for, window
from services.gateway.history_schemas import Series, SeriesHistory, SeriesPage
from services.gateway.runtime import UseRuntime
from services.gateway.schemas import Granularity
from services.gateway.store import fleet
from services.gateway.store import series as store
from services.kit import database
from services.kit.access import Action
from services.kit.sample import rfc3339

LIMIT = 500  # a server has no more


class SeriesController(Controller):
    path = "/vps/{vps_id:uuid}/series"
    tags = ("Metrics",)

    @get(
        operation_id="listSeries",
        summary="Series of the owner's own, each with its newest point",
        opt={ACTION: Action.VPS_READ},
    )
    async def list(
        self, request: AuthedRequest, vps_id: FromPath[UUID], runtime: UseRuntime
    ) -> SeriesPage:
        async with database.transaction(runtime.pool) as connection:
            owned(request, await fleet.get(connection, vps_id=vps_id))
            found = await store.listed(connection, vps_id=vps_id, limit=LIMIT)
        items = [Series(s.id, s.name, s.labels, s.last_time, s.last_value) for s in found]
        return SeriesPage(items, len(items))

    @get(
        "/{series_id:int}/historical",
        operation_id="seriesHistory",
        summary="A series over a window",
        opt={ACTION: Action.VPS_READ},
    )
    async def historical(
        self,
        *,
        request: AuthedRequest,
        vps_id: FromPath[UUID],
        series_id: FromPath[int],
        runtime: UseRuntime,
        start: Annotated[
            datetime | None, Parameter(description="Default: an hour before `end`")
        ] = None,
        end: Annotated[datetime | None, Parameter(description="Default: now")] = None,
        granularity: Annotated[
            Literal["auto"] | Granularity,
            Parameter(
                description="Width of a point; `auto` for the finest that gives at most"
                " 1,000 points"
            ),
        ] = "auto",
    ) -> SeriesHistory:
        since, until = window(start, end)
        best = finest_for(granularity, since, until)
        name = best if granularity == "auto" else granularity
        async with database.transaction(runtime.pool) as connection:
            owned(request, await fleet.get(connection, vps_id=vps_id))
            if not await store.belongs(connection, vps_id=vps_id, series_id=series_id):
                raise errors.not_found()
            buckets = await store.buckets(
                connection,
                series_id=series_id,
                start=since,
                end=until,
                width=WIDTHS[name],
                limit=MAX_POINTS,
            )
        return SeriesHistory(
            granularity=name,
            time=[rfc3339(bucket.time) for bucket in buckets],
            value=[bucket.value for bucket in buckets],
            min=[bucket.min for bucket in buckets],
            max=[bucket.max for bucket in buckets],
        )
