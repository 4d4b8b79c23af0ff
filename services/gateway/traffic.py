"""What a server's traffic adds up to, period by period."""

from collections.abc import Sequence
from datetime import date
from typing import Annotated
from uuid import UUID

from litestar import Controller, get, post, put
from litestar.params import FromPath, JSONBody, Parameter

from services.gateway import errors
from services.gateway.guard import ACTION, AuthedRequest, done, owned
from services.gateway.runtime import UseRuntime
from services.gateway.store import fleet
from services.gateway.store import traffic as store
from services.gateway.traffic_schemas import (
    Traffic,
    TrafficCorrection,
    TrafficCorrectionCreate,
    TrafficMonth,
    TrafficSettings,
)
from services.kit import database
from services.kit.access import Action

MAX_MONTHS = 36


class TrafficController(Controller):
    path = "/vps/{vps_id:uuid}/traffic"
    tags = ("Traffic",)

    @get(
        operation_id="traffic",
        summary="Traffic of the last periods",
        opt={ACTION: Action.TRAFFIC_READ},
    )
    async def read(
        self,
        request: AuthedRequest,
        vps_id: FromPath[UUID],
        runtime: UseRuntime,
        months: Annotated[int, Parameter(ge=1, le=MAX_MONTHS)] = 3,
    ) -> Traffic:
        async with database.transaction(runtime.pool) as connection:
            owned(request, await fleet.get(connection, vps_id=vps_id))
            settings = await store.settings(connection, vps_id=vps_id)
            periods = await store.periods(connection, vps_id=vps_id, limit=months)
            corrections = await store.corrections(
                connection, vps_id=vps_id, months=[period.month for period in periods]
            )
        return Traffic(
            _settings(settings),
            [month(period, settings, corrections) for period in periods],
            [_correction(entry) for entry in corrections],
        )

    @get(
        "/settings",
        operation_id="trafficSettings",
        summary="How a server's traffic is counted",
        opt={ACTION: Action.TRAFFIC_READ},
    )
    async def settings(
        self, request: AuthedRequest, vps_id: FromPath[UUID], runtime: UseRuntime
    ) -> TrafficSettings:
        async with database.transaction(runtime.pool) as connection:
            owned(request, await fleet.get(connection, vps_id=vps_id))
            return _settings(await store.settings(connection, vps_id=vps_id))

    @put(
        "/settings",
        operation_id="putTrafficSettings",
        summary="Set how a server's traffic is counted; periods are divided anew",
        opt={ACTION: Action.TRAFFIC_UPDATE},
    )
    async def put_settings(
        self,
        request: AuthedRequest,
        vps_id: FromPath[UUID],
        data: JSONBody[TrafficSettings],
        runtime: UseRuntime,
    ) -> TrafficSettings:
        wanted = store.Settings(data.reset_day, data.time_zone, data.counted, data.allowance)
        async with database.transaction(runtime.pool) as connection:
            # Locked: the rollup opens periods by the settings it sees.
            owned(request, await fleet.lock(connection, vps_id=vps_id))
            if not await store.knows_zone(connection, name=data.time_zone):
                raise errors.invalid("There is no such time zone.")
            before = await store.settings(connection, vps_id=vps_id)
            await store.put_settings(connection, vps_id=vps_id, wanted=wanted)
            if (before.reset_day, before.time_zone) != (wanted.reset_day, wanted.time_zone):
                await store.divide_anew(connection, vps_id=vps_id)
        done(request, f"vps:{vps_id}")
        return data

    @post(
        "/corrections",
        operation_id="correctTraffic",
        summary="Add an entry by hand to a period's totals",
        opt={ACTION: Action.TRAFFIC_CORRECT},
    )
    async def correct(
        self,
        request: AuthedRequest,
        vps_id: FromPath[UUID],
        data: JSONBody[TrafficCorrectionCreate],
        runtime: UseRuntime,
    ) -> TrafficCorrection:
        if data.rx == data.tx == 0:
            raise errors.invalid("The correction changes nothing.")
        async with database.transaction(runtime.pool) as connection:
            owned(request, await fleet.get(connection, vps_id=vps_id))
            entry = await store.correct(
                connection,
                vps_id=vps_id,
                month=date.fromisoformat(f"{data.month}-01"),
                rx=data.rx,
                tx=data.tx,
                reason=data.reason,
                author_id=request.user.id,
                author=request.user.username,
            )
        if entry is None:
            raise errors.invalid("There is no period that starts in that month.")
        done(request, f"vps:{vps_id}", str(entry.id))
        return _correction(entry)


def month(
    period: store.Period, settings: store.Settings, corrections: Sequence[store.Correction]
) -> TrafficMonth:
    own = [entry for entry in corrections if entry.month == period.month]
    corrected_rx, corrected_tx = sum(entry.rx for entry in own), sum(entry.tx for entry in own)
    counted = count(
        settings.counted, period.total_rx + corrected_rx, period.total_tx + corrected_tx
    )
    passed = (period.counted_until - period.starts_at).total_seconds()
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
        coverage=round(min(100 * period.covered_seconds / passed, 100), 2) if passed > 0 else None,
        rx_p95=period.rx_p95,
        tx_p95=period.tx_p95,
    )


def count(direction: str, rx: int, tx: int) -> int:
    """Bytes that count; corrections cannot make them less than none."""
    rx, tx = max(rx, 0), max(tx, 0)
    return {"in": rx, "out": tx, "both": rx + tx, "max": max(rx, tx)}[direction]


def _settings(settings: store.Settings) -> TrafficSettings:
    return TrafficSettings(
        settings.reset_day,
        settings.time_zone,
        settings.counted,  # type: ignore[arg-type]  # the table's check has the same four
        settings.allowance,
    )


def _correction(entry: store.Correction) -> TrafficCorrection:
    return TrafficCorrection(
        entry.id,
        _name(entry.month),
        entry.rx,
        entry.tx,
        entry.reason,
        entry.author,
        entry.created_at,
    )


def _name(month: date) -> str:
    return month.strftime("%Y-%m")
