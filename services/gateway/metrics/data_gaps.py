"""Data gaps: measurements that an agent discarded, and the reasons."""

from litestar import get
from litestar.di import Provide

from services.gateway.api.rules import ACTION
from services.gateway.api.time_range import UseTimeRange, provide_day
from services.gateway.api.transaction import UseConnection
from services.gateway.metrics import store
from services.gateway.metrics.schemas import Gap, GapPage
from services.gateway.servers.access import IN_TRANSACTION, OwnedServer
from services.kit.access import Action

MAX_GAPS = 500


@get(
    "/vps/{vps_id:uuid}/gaps",
    operation_id="listGaps",
    summary="List data gaps: measurements that the agent discarded",
    tags=["Metrics"],
    dependencies={**IN_TRANSACTION, "time_range": Provide(provide_day, sync_to_thread=False)},
    opt={ACTION: Action.METRICS_READ},
)
async def gaps(server: OwnedServer, db: UseConnection, time_range: UseTimeRange) -> GapPage:
    found = await store.gaps_in(
        db, vps_id=server.id, start=time_range.since, end=time_range.until, limit=MAX_GAPS
    )
    items = [Gap(g.kind, g.reason, g.count, g.first_at, g.last_at) for g in found]
    return GapPage(items, len(items))
