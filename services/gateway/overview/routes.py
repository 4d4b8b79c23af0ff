"""The fleet at a glance: the last hour and the traffic of many servers, in one request."""

from datetime import UTC, datetime, timedelta

from litestar import get
from litestar.di import Provide

from services.gateway.accounts.authentication import AuthedRequest
from services.gateway.api.compression import COMPRESSED
from services.gateway.api.pagination import Limit, Offset
from services.gateway.api.rules import ACTION
from services.gateway.api.transaction import UseConnection, open_snapshot
from services.gateway.metrics.store import states
from services.gateway.overview import store
from services.gateway.overview.schemas import FleetOverview, PeriodTraffic, ServerOverview
from services.gateway.servers.visibility import visible_to
from services.gateway.traffic.routes import count
from services.kit.access import Action
from services.kit.metrics.tiers import MINUTE, floor

MINUTES = 60


@get(
    "/fleet/overview",
    operation_id="fleetOverview",
    summary="Get the last hour and the current traffic of many servers",
    tags=["Servers"],
    dependencies={"db": Provide(open_snapshot)},
    opt={ACTION: Action.FLEET_READ},
    middleware=COMPRESSED,
)
async def overview(
    *, request: AuthedRequest, db: UseConnection, limit: Limit = 1_000, offset: Offset = 0
) -> FleetOverview:
    vps_ids, total = await store.servers(
        db, visibility=visible_to(request.user, Action.VPS_READ), limit=limit, offset=offset
    )
    start = floor(datetime.now(UTC), MINUTE.width) - timedelta(minutes=MINUTES - 1)
    cpu = await store.cpu_by_minute(
        db,
        vps_ids=vps_ids,
        since=start,
        rolled_until=(await states(db))[MINUTE.name].rolled_until,
    )
    periods = await store.current_periods(db, vps_ids=vps_ids)
    return FleetOverview(
        start,
        [
            ServerOverview(vps_id, _line(cpu.get(vps_id, {})), _traffic(periods.get(vps_id)))
            for vps_id in vps_ids
        ],
        total,
    )


def _line(minutes: dict[int, float]) -> list[float | None]:
    """Return a value for each minute; nothing at all for a server without data."""
    if not minutes:
        return []
    return [
        None if (value := minutes.get(minute)) is None else round(value, 1)
        for minute in range(MINUTES)
    ]


def _traffic(period: store.Period | None) -> PeriodTraffic | None:
    if period is None:
        return None
    counted = count(
        period.counted_direction,
        period.rx + period.corrected_rx,
        period.tx + period.corrected_tx,
    )
    return PeriodTraffic(
        starts_at=period.starts_at,
        ends_at=period.ends_at,
        time_zone=period.time_zone,
        counted=counted,
        allowance=period.allowance,
        allowance_used=round(100 * counted / period.allowance, 2) if period.allowance else None,
    )
