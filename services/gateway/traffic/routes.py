"""Monthly traffic of a server: billing periods, their settings and corrections."""

from collections.abc import Sequence
from datetime import date
from typing import Annotated

from litestar import Controller, get, post, put
from litestar.params import JSONBody, Parameter

from services.gateway.accounts.authentication import AuthedRequest
from services.gateway.api import errors
from services.gateway.api.request_audit import UseAudit
from services.gateway.api.rules import ACTION
from services.gateway.api.transaction import UseConnection
from services.gateway.servers.access import IN_TRANSACTION, LOCKED, OwnedServer, object_id
from services.gateway.traffic import store
from services.gateway.traffic.schemas import (
    MONTH_PATTERN,
    Traffic,
    TrafficCorrection,
    TrafficCorrectionCreate,
    TrafficDay,
    TrafficDayPage,
    TrafficMonth,
    TrafficSettings,
)
from services.kit.access import Action

MAX_MONTHS = 36


class TrafficController(Controller):
    path = "/vps/{vps_id:uuid}/traffic"
    tags = ("Traffic",)
    dependencies = IN_TRANSACTION

    @get(
        operation_id="traffic",
        summary="Get the traffic of the last periods",
        opt={ACTION: Action.TRAFFIC_READ},
    )
    async def read(
        self,
        server: OwnedServer,
        db: UseConnection,
        months: Annotated[int, Parameter(ge=1, le=MAX_MONTHS)] = 3,
    ) -> Traffic:
        settings = await store.settings(db, vps_id=server.id)
        periods = await store.periods(db, vps_id=server.id, limit=months)
        corrections = await store.corrections(
            db, vps_id=server.id, months=[period.month for period in periods]
        )
        return Traffic(
            _settings(settings),
            [month(period, settings, corrections) for period in periods],
            [_correction(correction) for correction in corrections],
        )

    @get(
        "/days",
        operation_id="trafficDays",
        summary="Get the measured traffic of each day of a period",
        description="Only days whose traffic records are still kept are listed.",
        opt={ACTION: Action.TRAFFIC_READ},
    )
    async def days(
        self,
        server: OwnedServer,
        db: UseConnection,
        month: Annotated[
            str | None,
            Parameter(
                pattern=MONTH_PATTERN,
                description="Year and month in which the period starts, such as `2026-03`;"
                " default: the newest period",
            ),
        ] = None,
    ) -> TrafficDayPage:
        first = None if month is None else date.fromisoformat(f"{month}-01")
        found = await store.days(db, vps_id=server.id, month=first)
        items = [TrafficDay(day.day, day.rx, day.tx) for day in found]
        return TrafficDayPage(items, len(items))

    @get(
        "/settings",
        operation_id="trafficSettings",
        summary="Get the traffic settings of a server",
        opt={ACTION: Action.TRAFFIC_READ},
    )
    async def settings(self, server: OwnedServer, db: UseConnection) -> TrafficSettings:
        return _settings(await store.settings(db, vps_id=server.id))

    @put(
        "/settings",
        operation_id="putTrafficSettings",
        summary="Set the traffic settings of a server",
        description="Another reset day or time zone also applies to past periods, as far back as"
        " traffic records are kept: they are divided and counted again.",
        # Rollup creates periods from the settings that it reads. The lock makes it wait.
        dependencies=LOCKED,
        opt={ACTION: Action.TRAFFIC_UPDATE},
    )
    async def put_settings(
        self,
        server: OwnedServer,
        data: JSONBody[TrafficSettings],
        db: UseConnection,
        audit: UseAudit,
    ) -> TrafficSettings:
        settings = store.Settings(data.reset_day, data.time_zone, data.counted, data.allowance)
        if not await store.is_time_zone(db, name=data.time_zone):
            raise errors.invalid(
                f"`{data.time_zone}` is not a time zone. Send an IANA name, such as `Europe/Berlin`.",
                "time_zone",
            )
        previous = await store.settings(db, vps_id=server.id)
        await store.save_settings(db, vps_id=server.id, settings=settings)
        if (previous.reset_day, previous.time_zone) != (settings.reset_day, settings.time_zone):
            await store.rebuild_periods(db, vps_id=server.id)
        audit.done(object_id(server))
        return data

    @post(
        "/corrections",
        operation_id="correctTraffic",
        summary="Add a correction to the totals of a period",
        opt={ACTION: Action.TRAFFIC_CORRECT},
    )
    async def correct(
        self,
        request: AuthedRequest,
        server: OwnedServer,
        data: JSONBody[TrafficCorrectionCreate],
        db: UseConnection,
        audit: UseAudit,
    ) -> TrafficCorrection:
        if data.rx == data.tx == 0:
            raise errors.invalid(
                "The correction changes nothing: `rx` and `tx` are both 0. Set one of them.",
                "rx",
                "tx",
            )
        correction = await store.insert_correction(
            db,
            vps_id=server.id,
            month=date.fromisoformat(f"{data.month}-01"),
            rx=data.rx,
            tx=data.tx,
            reason=data.reason,
            author_id=request.user.id,
            author=request.user.username,
        )
        audit.done(object_id(server), str(correction.id))
        return _correction(correction)


def month(
    period: store.Period, settings: store.Settings, corrections: Sequence[store.Correction]
) -> TrafficMonth:
    """Add up a period: measured bytes, corrections, and the share of the allowance."""
    own = [correction for correction in corrections if correction.month == period.month]
    corrected_rx = sum(correction.rx for correction in own)
    corrected_tx = sum(correction.tx for correction in own)
    counted = count(
        settings.counted, period.total_rx + corrected_rx, period.total_tx + corrected_tx
    )
    elapsed = (period.counted_until - period.starts_at).total_seconds()
    return TrafficMonth(
        month=_name(period.month),
        starts_at=period.starts_at,
        ends_at=period.ends_at,
        counted_until=period.counted_until,
        total_rx=period.total_rx,
        total_tx=period.total_tx,
        corrected_rx=corrected_rx,
        corrected_tx=corrected_tx,
        counted=counted,
        allowance_used=(
            round(100 * counted / settings.allowance, 2) if settings.allowance else None
        ),
        coverage=round(min(100 * period.covered_seconds / elapsed, 100), 2)
        if elapsed > 0
        else None,
        rx_p95=period.rx_p95,
        tx_p95=period.tx_p95,
    )


def count(direction: str, rx: int, tx: int) -> int:
    """Return the bytes that count; they are never negative, whatever the corrections."""
    rx, tx = max(rx, 0), max(tx, 0)
    return {"in": rx, "out": tx, "both": rx + tx, "max": max(rx, tx)}[direction]


def _settings(settings: store.Settings) -> TrafficSettings:
    return TrafficSettings(
        settings.reset_day,
        settings.time_zone,
        settings.counted,  # type: ignore[arg-type]  # the CHECK of the table
        settings.allowance,
    )


def _correction(correction: store.Correction) -> TrafficCorrection:
    return TrafficCorrection(
        correction.id,
        _name(correction.month),
        correction.rx,
        correction.tx,
        correction.reason,
        correction.author,
        correction.created_at,
    )


def _name(month: date) -> str:
    return month.strftime("%Y-%m")
