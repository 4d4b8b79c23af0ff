"""The tiers equal values computed from the samples, in whatever order the samples arrived."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import AsyncMock
from uuid import UUID

import pytest
import pytest_asyncio

from services.ingest import compression, traffic
from services.ingest.rollup import StandbyError
from services.ingest.store import rollup_columns, series
from services.kit.database import pool as database
from services.kit.errors import TransientError
from services.kit.metrics.tiers import COARSE, COUNTERS, GAUGES, MINUTE, TIERS, TOTALS
from tests.fixtures.rollup_database import Rig, ago, difference, put, rig, rolled, sample

NOW = datetime.now(UTC)


@pytest_asyncio.fixture(loop_scope="session")
async def rolling(database_url: str) -> AsyncIterator[Rig]:
    async with rig(database_url) as made:
        yield made


def measured(
    vps_id: UUID, start: datetime, span: timedelta, *, every: float = 20, seed: int = 1
) -> list[dict[str, Any]]:
    """Return complete samples in which every metric changes."""
    dice = random.Random(f"{vps_id}{seed}")
    rows = []
    for number in range(int(span.total_seconds() // every)):
        time = start + timedelta(seconds=number * every + dice.uniform(0, 0.9))
        values = {name: dice.uniform(0, 100) for name in GAUGES}
        whole = {name: int(values[name] * 1e6) for name in ("mem_used", "mem_cached", "swap_used")}
        whole |= {"disk_used": int(values["disk_used"] * 1e9)}
        whole |= {n: int(values[n]) for n in ("tcp_connections", "udp_connections", "processes")}
        whole |= dict.fromkeys(TOTALS, 1000000000)
        whole |= dict.fromkeys(COUNTERS, 1000 * number)
        rows.append(sample(vps_id, time, **values | whole))
    return rows


async def wrong(rolling: Rig, samples: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return the differences between the tiers and the samples, by tier."""
    found = {
        tier.name: difference(await rolling.table(tier.table), rolled(samples, tier))
        for tier in TIERS
    }
    return {name: what for name, what in found.items() if what}


async def contents(rolling: Rig) -> list[Any]:
    tables = [await rolling.table(tier.table) for tier in TIERS]
    months = await rolling.sql("SELECT * FROM vps_monthly_traffic ORDER BY vps_id, month")
    return [*tables, await rolling.table("traffic_facts"), months]


async def test_columns_of_the_tiers_are_those_of_the_table_of_metrics(rolling: Rig) -> None:
    for tier in TIERS:
        found = await rolling.sql(
            "SELECT column_name FROM information_schema.columns WHERE table_name = %(name)s",
            name=tier.table,
        )
        assert {name for (name,) in found} == {"vps_id", "time", *rollup_columns.columns(tier)}


async def test_every_tier_says_what_the_samples_say_in_whatever_order_they_come(
    rolling: Rig,
) -> None:
    first, second = await rolling.vps(2)
    start = ago(NOW, hours=6)
    samples = measured(first, start, timedelta(hours=5))
    samples += measured(second, start, timedelta(hours=5), every=7)
    samples = [row for row in samples if not 30 < (row["time"] - start).total_seconds() / 60 < 95]
    for row in samples:
        if row["vps_id"] == second:
            row.update(swap_used=None, temperature=None)
    shuffled = list(samples)
    random.Random(2).shuffle(shuffled)
    for part in range(5):
        await rolling.store(shuffled[part::5])
        await rolling.rollup.catch_up()
    assert await wrong(rolling, samples) == {}


async def test_a_second_delivery_and_a_second_run_change_nothing(rolling: Rig) -> None:
    (vps_id,) = await rolling.vps()
    samples = measured(vps_id, ago(NOW, hours=4), timedelta(hours=3))
    await rolling.store(samples)
    await rolling.rollup.catch_up()
    before = await contents(rolling)
    assert await rolling.store(samples) == 0
    await rolling.rollup.catch_up()
    assert await contents(rolling) == before
    assert await wrong(rolling, samples) == {}


async def test_late_samples_correct_every_tier(rolling: Rig) -> None:
    (vps_id,) = await rolling.vps()
    samples = measured(vps_id, ago(NOW, hours=26), timedelta(hours=25))
    late = [row for row in samples if 3 <= (row["time"] - samples[0]["time"]).seconds // 3600 < 9]
    late += samples[::7]
    on_time = [row for row in samples if row not in late]
    await rolling.store(on_time)
    await rolling.rollup.catch_up()
    assert await wrong(rolling, on_time) == {}
    await rolling.store(late)
    await rolling.rollup.catch_up()
    assert await wrong(rolling, samples) == {}


async def test_what_comes_after_the_samples_are_gone_is_added_once(rolling: Rig) -> None:
    (vps_id,) = await rolling.vps()
    samples = measured(vps_id, ago(NOW, days=5), timedelta(hours=4))
    # Complete minutes, parts of minutes, and minutes that had no samples before.
    late = [row for n, row in enumerate(samples) if n % 5 == 0 or 60 < n < 200]
    on_time = [row for row in samples if row not in late]
    await rolling.store([*on_time, *measured(vps_id, ago(NOW, hours=3), timedelta(minutes=1))])
    dropping = rolling.keeping(keep_raw_hours=48)
    await dropping.catch_up()
    assert await rolling.sql(
        "SELECT count(*) FROM performance_metrics WHERE time < now() - interval '4 days'"
    ) == [(0,)]

    for part in (late[::2], [*on_time, *late[::2]], late[1::2]):
        await rolling.store(part)
        await dropping.catch_up()
    recent = measured(vps_id, ago(NOW, hours=3), timedelta(minutes=1))
    assert await wrong(rolling, [*samples, *recent]) == {}

    before = await contents(rolling)
    again = rolling.keeping(keep_raw_hours=48)
    await again.catch_up()  # drops the late samples
    assert await rolling.store(samples) == len(samples)
    await again.catch_up()
    assert await contents(rolling) == before


async def test_what_comes_after_the_minutes_are_gone_changes_nothing(rolling: Rig) -> None:
    (vps_id,) = await rolling.vps()
    samples = measured(vps_id, ago(NOW, days=20), timedelta(hours=4))
    await rolling.store(samples[::2])
    dropping = rolling.keeping(keep_raw_hours=48, keep_1m_days=8)
    await dropping.catch_up()
    assert await rolling.table(MINUTE.table) == []
    before = [await rolling.table(tier.table) for tier in COARSE]
    await rolling.store(samples)
    await dropping.catch_up()
    assert [await rolling.table(tier.table) for tier in COARSE] == before
    assert await rolling.sql("SELECT * FROM late_minutes") == []


@pytest.mark.parametrize(
    ("stretches", "mean"),
    [
        # Length in minutes, seconds between samples, and the value of all samples.
        ([(5, 1, 0.0), (5, 60, 90.0)], 45.0),
        ([(5, 60, 90.0), (5, 1, 0.0)], 45.0),
        ([(2, 2, 100.0), (8, 30, 0.0)], 20.0),
        ([(5, 1, 0.0), (5, 300, 90.0)], 45.0),
        ([(5, 300, 90.0), (5, 5, 10.0)], 50.0),
        # A minute has two samples within two seconds. Then the host is away.
        ([(5, 20, 10.0), (0.05, 1, 90.0)], 10.8),
    ],
)
async def test_an_average_weighs_by_time_where_the_interval_changes(
    rolling: Rig, stretches: list[tuple[float, int, float]], mean: float
) -> None:
    (vps_id,) = await rolling.vps()
    time = ago(NOW, hours=6)
    samples = []
    for minutes, every, value in stretches:
        count = round(60 * minutes / every)
        samples += [
            sample(vps_id, time + timedelta(seconds=every * n), cpu_usage=value, load_5=value)
            for n in range(count)
        ]
        time += timedelta(minutes=minutes)
    await rolling.store(samples)
    await rolling.rollup.catch_up()
    (bucket,) = await rolling.table(COARSE[0].table)
    assert (bucket["cpu_usage"], bucket["load_5"]) == pytest.approx((mean, mean), rel=0.02)
    assert await wrong(rolling, samples) == {}


async def test_containers_are_forgotten_with_the_last_of_their_figures(rolling: Rig) -> None:
    (vps_id,) = await rolling.vps()
    for name, days_gone in (("old", 20), ("just-gone", 1), ("here", None)):
        await rolling.sql(
            "WITH made AS (INSERT INTO docker_containers"
            " (vps_id, container_id, names, image, state, status, seen_at, gone_at)"
            " VALUES (%(vps)s, %(name)s, '{}', '', '', '', now(),"
            " now() - %(days)s * interval '1 day') RETURNING id)"
            " INSERT INTO docker_metrics (time, container_db_id, cpu_usage)"
            " SELECT now() - days * interval '1 day', id, days FROM made,"
            " generate_series(0, 30, 3) AS days WHERE days >= coalesce(%(days)s, 0)",
            vps=vps_id,
            name=name,
            days=days_gone,
        )

    await rolling.keeping(keep_docker_days=8).catch_up()

    kept = await rolling.sql(
        "SELECT c.container_id, array_agg(m.cpu_usage::int ORDER BY m.time DESC)"
        " FROM docker_containers c LEFT JOIN docker_metrics m ON m.container_db_id = c.id"
        " GROUP BY c.container_id ORDER BY c.container_id"
    )
    assert kept == [("here", [0, 3, 6]), ("just-gone", [3, 6])]


async def points(
    rolling: Rig, vps_id: UUID, names: Iterable[str], time: datetime, *, made: datetime
) -> series.Stored:
    async with database.transaction(rolling.pool) as connection:
        stored = await series.insert_points(
            connection, [series.Point(vps_id, name, (("q", "a"),), time, 1.0) for name in names]
        )
        await connection.execute(
            "UPDATE generic_series SET created_at = least(created_at, %s)", [made]
        )
        return stored


async def test_series_are_forgotten_with_their_last_point_and_make_room(rolling: Rig) -> None:
    vps_id, other = await rolling.vps(2)
    names = [f"s{n}" for n in range(series.SERIES_LIMIT)]
    old, made = NOW - timedelta(days=40), NOW - timedelta(days=50)
    await points(rolling, vps_id, names, old, made=made)
    await points(rolling, vps_id, names[:2], NOW - timedelta(days=20), made=made)
    await points(rolling, other, ["theirs"], old, made=made)
    full = await points(rolling, vps_id, ["one-more", "s1"], NOW, made=made)
    assert full == series.Stored(new=1, dropped=1)

    await rolling.keeping(keep_generic_days=30).catch_up()

    left = await rolling.sql(
        "SELECT s.name, count(*) FROM generic_series s JOIN generic_metrics m ON m.series_id = s.id"
        " GROUP BY s.name ORDER BY s.name"
    )
    assert left == [("s0", 1), ("s1", 2)]
    assert await rolling.sql("SELECT count(*) FROM generic_series") == [(2,)]
    assert await rolling.sql("SELECT count(*) FROM generic_metrics") == [(3,)]
    assert (await points(rolling, vps_id, ["one-more"], NOW, made=made)).new == 1


async def test_a_series_that_goes_on_while_it_is_forgotten_loses_no_point(rolling: Rig) -> None:
    (vps_id,) = await rolling.vps()
    old, made = NOW - timedelta(days=40), NOW - timedelta(days=50)
    await points(rolling, vps_id, ["again"], old, made=made)
    forgetting = rolling.keeping(keep_generic_days=30)
    async with database.transaction(rolling.pool) as connection:
        again = [series.Point(vps_id, "again", (("q", "a"),), NOW, 1.0)]
        assert (await series.insert_points(connection, again)).new == 1
        with pytest.raises(TransientError):
            await forgetting.catch_up()
    await forgetting.catch_up()
    found = "SELECT s.name FROM generic_series s JOIN generic_metrics m ON m.series_id = s.id"
    assert await rolling.sql(found) == [("again",)]


async def test_a_long_stop_is_caught_up_with_step_by_step(rolling: Rig) -> None:
    (vps_id,) = await rolling.vps()
    samples = measured(vps_id, ago(NOW, days=9), timedelta(hours=3))
    samples += measured(vps_id, ago(NOW, days=3), timedelta(hours=3))
    await rolling.store(samples)
    rounds = 0
    while await rolling.rollup.round():
        rounds += 1
    assert rounds > 1
    assert await wrong(rolling, samples) == {}


async def test_two_instances_take_turns(rolling: Rig) -> None:
    vps = await rolling.vps(3)
    samples = [r for v in vps for r in measured(v, ago(NOW, hours=10), timedelta(hours=3))]
    await rolling.store(samples[::2])
    turns = {"taken": 0, "stood by": 0}

    async def work() -> None:
        instance = rolling.keeping()
        idle = 0
        while idle < 3:
            try:
                idle = 0 if await instance.round() else idle + 1
                turns["taken"] += 1
            except StandbyError:
                turns["stood by"] += 1
                await asyncio.sleep(0.001)

    await asyncio.gather(work(), work(), rolling.store(samples[1::2]))
    assert turns["stood by"] > 0
    assert await wrong(rolling, samples) == {}


async def test_a_sample_that_is_being_stored_while_its_minute_is_rolled_is_not_missed(
    rolling: Rig,
) -> None:
    (vps_id,) = await rolling.vps()
    samples = measured(vps_id, ago(NOW, hours=3), timedelta(minutes=10))
    await rolling.store(samples[1:])
    async with database.transaction(rolling.pool) as connection:
        await put(connection, samples[:1])
        # Rollup cannot move the boundary while a transaction may store samples before it.
        with pytest.raises(TransientError):
            await rolling.rollup.catch_up()
    await rolling.rollup.catch_up()
    assert await wrong(rolling, samples) == {}


async def test_chunks_are_kept_until_all_is_made_from_them(rolling: Rig) -> None:
    (vps_id,) = await rolling.vps()
    samples = measured(vps_id, ago(NOW, days=5), timedelta(hours=1))
    await rolling.store(samples)
    dropping = rolling.keeping(keep_raw_hours=48)
    await dropping._step(dropping._drop_old)
    assert len(await rolling.table("performance_metrics")) == len(samples)
    await rolling.keeping(keep_raw_hours=48).catch_up()
    late = measured(vps_id, ago(NOW, days=5) + timedelta(hours=1), timedelta(hours=1), seed=2)
    await rolling.store(late)
    dropping = rolling.keeping(keep_raw_hours=48)
    await dropping._step(dropping._drop_old)
    assert len(await rolling.table("performance_metrics")) == len(late)
    await dropping.catch_up()
    assert await wrong(rolling, [*samples, *late]) == {}


async def test_each_tier_is_kept_as_long_as_is_said(rolling: Rig) -> None:
    (vps_id,) = await rolling.vps()
    for days in (120, 40, 20, 3):
        await rolling.store(measured(vps_id, ago(NOW, days=days, hours=3), timedelta(hours=2)))
    dropping = rolling.keeping(keep_raw_hours=48, keep_1m_days=30, keep_10m_days=90)
    await dropping.catch_up()
    days_left = {
        tier.name: {(NOW - row["time"]).days for row in await rolling.table(tier.table)}
        for tier in TIERS
    }
    assert days_left == {"1m": {20, 3}, "10m": {40, 20, 3}, "2h": {120, 40, 20, 3}}
    assert await rolling.table("performance_metrics") == []


async def test_numbers_next_to_none_and_next_to_endless_are_rolled_up(rolling: Rig) -> None:
    (vps_id,) = await rolling.vps()
    samples = [
        sample(vps_id, start + timedelta(seconds=step * n), **dict.fromkeys(GAUGES, value))
        for value, start in ((1.4e-45, ago(NOW, days=5)), (3.4e38, ago(NOW, days=4)))
        for step in (7, 61)
        for n in range(40)
    ]
    for row in samples[1::2]:
        row.update(dict.fromkeys(("cpu_usage", "load_1", "load_5"), 0.0))
    counts = ("tcp_connections", "udp_connections", "processes")
    for row in samples:
        row.update(dict.fromkeys(("mem_used", "mem_cached", "swap_used", "disk_used", *counts), 0))
    for part in (samples[::3], samples[1::3], samples[2::3]):
        await rolling.store(part)
        at_work = rolling.keeping(keep_raw_hours=48)
        await at_work.catch_up()
        assert at_work.failing == set()
    assert {row["cpu_usage"] > 1 for row in await rolling.table(MINUTE.table)} == {True, False}


async def test_a_kind_of_step_that_fails_holds_up_no_other(
    rolling: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    (vps_id,) = await rolling.vps()
    old = measured(vps_id, ago(NOW, days=40), timedelta(hours=1))
    samples = measured(vps_id, ago(NOW, hours=4), timedelta(hours=3))
    await rolling.store([*old, *samples])
    at_work = rolling.keeping(keep_1m_days=30)

    with monkeypatch.context() as patch:
        for step in ("roll", "count"):
            patch.setattr(traffic, step, AsyncMock(side_effect=ZeroDivisionError))
        await at_work.catch_up()
        assert at_work.failing == {"traffic"}
    minutes = await rolling.table(MINUTE.table)
    assert {row["time"] > ago(NOW, days=1) for row in minutes} == {True}
    assert await rolling.table("traffic_facts") == []

    await at_work.catch_up()
    assert at_work.failing == set()
    assert len(await rolling.table("traffic_facts")) > 0


async def test_a_removed_server_leaves_nothing_to_roll_up(rolling: Rig) -> None:
    (vps_id,) = await rolling.vps()
    await rolling.store(measured(vps_id, ago(NOW, hours=3), timedelta(hours=1)))
    await rolling.sql("DELETE FROM vps")
    await rolling.rollup.catch_up()
    assert [await rolling.table(tier.table) for tier in TIERS] == [[], [], []]


async def test_compression_is_left_off_in_the_apache_edition(rolling: Rig) -> None:
    async with database.transaction(rolling.pool) as connection:
        assert not await compression.is_available(connection)
        assert await compression.enable(connection) == []
        for table in compression.COMPRESS_AFTER:
            by = compression.SEGMENTS.get(table, "vps_id")
            names = await rolling.sql(
                "SELECT column_name FROM information_schema.columns WHERE table_name = %(table)s",
                table=table,
            )
            assert {(by,), ("time",)} <= set(names)
