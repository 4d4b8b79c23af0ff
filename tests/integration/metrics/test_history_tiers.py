"""History reads each moment once, from the right tier, in at most a thousand points."""

import random
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from services.gateway.api.time_range import MAX_POINTS, WIDTHS
from services.gateway.metrics import store
from services.gateway.metrics.history import plan
from services.kit.database import pool as database
from services.kit.metrics.fields import METRICS
from services.kit.metrics.tiers import GAUGES, MINUTE, SPIKY, Aggregate, column, floor
from tests.fixtures.rollup_database import Rig, ago, percentile, rig, sample
from tests.fixtures.world import World

NOW = datetime.now(UTC)
EVERYTHING = store.Selection(METRICS, list(Aggregate))


@pytest_asyncio.fixture(loop_scope="session")
async def rolling(database_url: str) -> AsyncIterator[Rig]:
    async with rig(database_url) as made:
        yield made


def measured(vps_id: UUID, start: datetime, until: datetime) -> list[dict[str, Any]]:
    dice = random.Random(5)
    rows = []
    at = start
    while at < until:
        rows.append(
            sample(
                vps_id,
                at,
                cpu_usage=dice.uniform(0, 100),
                mem_used=dice.randrange(10**9),
                mem_total=10**9,
                net_rx_total=int((at - start).total_seconds()) * 1000,
            )
        )
        at += timedelta(seconds=30)
    return rows


async def asked(
    rolling: Rig, vps_id: UUID, start: datetime, end: datetime, width: timedelta
) -> dict[datetime, dict[str, Any]]:
    async with database.transaction(rolling.pool) as connection:
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        states = await store.states(connection)
        rows = await store.buckets(
            connection,
            vps_id=vps_id,
            parts=plan(start, end, width, states),
            width=width,
            selection=EVERYTHING,
            limit=MAX_POINTS,
        )
    names = EVERYTHING.columns()
    return {time: dict(zip(names, values, strict=True)) for time, *values in rows}


def by_hand(
    samples: Sequence[dict[str, Any]], start: datetime, end: datetime, width: timedelta
) -> dict[datetime, list[dict[str, Any]]]:
    found: dict[datetime, list[dict[str, Any]]] = defaultdict(list)
    for row in samples:
        if start <= row["time"] < end:
            found[floor(row["time"], width)].append(row)
    return found


def averages(rows: Sequence[dict[str, Any]]) -> list[float]:
    """Return the average of each minute."""
    end = rows[-1]["time"] + MINUTE.width
    minutes = by_hand(rows, rows[0]["time"], end, MINUTE.width).values()
    return [sum(row["cpu_usage"] for row in part) / len(part) for part in minutes]


@pytest.mark.parametrize("rolled", ["not at all", "minutes", "all"])
async def test_the_seam_has_no_hole_and_counts_nothing_twice(rolling: Rig, rolled: str) -> None:
    (vps_id,) = await rolling.vps()
    # Only whole minutes, because a row of a tier has the weight of its whole width.
    now = floor(datetime.now(UTC), timedelta(minutes=1))
    start = floor(now - timedelta(hours=5), timedelta(hours=2))
    samples = measured(vps_id, start, now)
    await rolling.store(samples)
    if rolled != "not at all":
        await rolling.rollup.catch_up()
    if rolled == "minutes":
        await rolling.sql(
            "UPDATE rollup_state SET rolled_until = %(seven)s WHERE tier = '10m'",
            seven=start + timedelta(hours=2, minutes=70),
        )
        await rolling.sql("UPDATE rollup_state SET rolled_until = 'epoch' WHERE tier = '2h'")
    end = now + timedelta(seconds=1)
    for name in ("30s", "1m", "5m", "10m", "1h", "2h", "6h"):
        width = WIDTHS[name]
        found = await asked(rolling, vps_id, start, end, width)
        assert_same(found, by_hand(samples, start, end, width))


def assert_same(
    found: dict[datetime, dict[str, Any]], expected: dict[datetime, list[dict[str, Any]]]
) -> None:
    assert found.keys() == expected.keys()
    for time, rows in expected.items():
        cpu = [row["cpu_usage"] for row in rows]
        answer = found[time]
        assert answer["cpu_usage"] == pytest.approx(sum(cpu) / len(cpu), rel=1e-5)
        lowest = min(averages(rows))  # the minimum of a minute is its average once it is rolled up
        assert min(cpu) - 1e-3 <= answer["cpu_usage_min"] <= lowest + 1e-3
        assert answer["cpu_usage_max"] == pytest.approx(max(cpu), rel=1e-5)
        assert min(cpu) - 1e-3 <= answer["cpu_usage_p95"] <= max(cpu) + 1e-3
        used = [row["mem_used"] for row in rows]
        assert answer["mem_used"] == pytest.approx(sum(used) / len(used), rel=1e-5)
        assert answer["net_rx_total"] == max(row["net_rx_total"] for row in rows)
        assert answer["mem_total"] == 1e9
        assert answer["swap_used"] is None


async def test_a_percentile_is_of_the_minutes_averages(rolling: Rig) -> None:
    (vps_id,) = await rolling.vps()
    start = ago(NOW, hours=9)
    samples = measured(vps_id, start, start + timedelta(hours=4))
    await rolling.store(samples)
    await rolling.rollup.catch_up()
    for name in ("5m", "10m", "2h"):
        found = await asked(rolling, vps_id, start, start + timedelta(hours=4), WIDTHS[name])
        for time, rows in by_hand(samples, start, NOW, WIDTHS[name]).items():
            expected = averages(rows)
            assert found[time]["cpu_usage_p95"] == pytest.approx(percentile(expected), rel=1e-5)
            assert found[time]["cpu_usage_min"] == pytest.approx(min(expected), rel=1e-5)


async def test_columns_are_added_when_asked_for(world: World) -> None:
    user = await world.user("member")
    vps_id = (await user.post("/vps", json={"name": "h"})).json()["id"]
    await world.sql(
        "INSERT INTO performance_metrics (time, vps_id, cpu_usage, mem_used)"
        " SELECT now() - n * interval '1 minute', %(id)s, n, n FROM generate_series(1, 30) n",
        id=vps_id,
    )
    path = f"/vps/{vps_id}/metrics/historical"
    plain = (await user.get(path)).json()
    assert not [name for name in plain if name.endswith(("_min", "_max", "_p95"))]
    asked = {"aggregates": "max,p95", "granularity": "2h"}
    more = (await user.get(path, params=asked)).json()
    assert {name for name in more if name.endswith("_max")} == {
        column(name, Aggregate.MAX) for name in GAUGES
    }
    assert {name for name in more if name.endswith("_p95")} == {
        column(name, Aggregate.P95) for name in SPIKY
    }
    assert not [name for name in more if name.endswith("_min")]
    assert max(more["cpu_usage_max"]) == 30
    refused = await user.get(path, params={"aggregates": "median"})
    assert refused.status_code in {400, 422}
