"""Custom series, measured by collectors of the server's owner."""

from litestar import Controller, get
from litestar.params import FromPath

from services.gateway.api import errors
from services.gateway.api.rules import ACTION
from services.gateway.api.time_range import MAX_POINTS, UsePoints
from services.gateway.api.transaction import UseConnection
from services.gateway.metrics import store
from services.gateway.metrics.schemas import Series, SeriesHistory, SeriesPage
from services.gateway.servers.access import IN_TRANSACTION, OwnedServer
from services.kit.access import Action
from services.kit.metrics.fields import rfc3339

MAX_SERIES = 500  # a server cannot have more


class SeriesController(Controller):
    path = "/vps/{vps_id:uuid}/series"
    tags = ("Metrics",)
    dependencies = IN_TRANSACTION

    @get(
        operation_id="listSeries",
        summary="List custom series, each with its newest point",
        opt={ACTION: Action.METRICS_READ},
    )
    async def list(self, server: OwnedServer, db: UseConnection) -> SeriesPage:
        found = await store.list_series(db, vps_id=server.id, limit=MAX_SERIES)
        items = [Series(s.id, s.name, s.labels, s.last_time, s.last_value) for s in found]
        return SeriesPage(items, len(items))

    @get(
        "/{series_id:int}/historical",
        operation_id="seriesHistory",
        summary="Get a custom series over a time range",
        opt={ACTION: Action.METRICS_READ},
    )
    async def historical(
        self, server: OwnedServer, series_id: FromPath[int], db: UseConnection, points: UsePoints
    ) -> SeriesHistory:
        if not await store.has_series(db, vps_id=server.id, series_id=series_id):
            raise errors.not_found()
        buckets = await store.series_buckets(
            db,
            series_id=series_id,
            start=points.range.since,
            end=points.range.until,
            width=points.width,
            limit=MAX_POINTS,
        )
        return SeriesHistory(
            granularity=points.granularity,
            time=[rfc3339(bucket.time) for bucket in buckets],
            value=[bucket.value for bucket in buckets],
            min=[bucket.min for bucket in buckets],
            max=[bucket.max for bucket in buckets],
        )
