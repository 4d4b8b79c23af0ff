"""The traffic records equal totals that are computed from the samples."""

import itertools
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from tests.fixtures.rollup_database import Rig, ago, rig
from tests.fixtures.traffic_hosts import Host, measured, periods, reading, wrong

NOW = datetime.now(UTC)


@pytest_asyncio.fixture(loop_scope="session")
async def rolling(database_url: str) -> AsyncIterator[Rig]:
    async with rig(database_url) as made:
        yield made


async def test_totals_are_right_across_reboots_wraps_and_outages(rolling: Rig) -> None:
    first, second = await rolling.vps(2)
    start = ago(NOW, hours=30)
    samples = measured(first, start, timedelta(hours=28))
    samples += measured(second, start, timedelta(hours=28), every=60, seed=2)
    away = start + timedelta(hours=9)
    samples = [row for row in samples if not away <= row["time"] < away + timedelta(hours=2)]
    shuffled = list(samples)
    random.Random(3).shuffle(shuffled)
    for part in range(4):
        await rolling.store(shuffled[part::4])
        await rolling.store(shuffled[part::4])
        await rolling.rollup.catch_up()
    assert await wrong(rolling, samples) == []
    assert all(rx > 0 and tx > 0 for *_, rx, tx in await periods(rolling))


async def test_totals_are_the_interfaces_counters_through_all_that_happens_to_a_host(
    rolling: Rig,
) -> None:
    (vps_id,) = await rolling.vps()
    host, start = Host(vps_id, random.Random(11)), ago(NOW, hours=12)
    samples = []
    for n in range(1_800):  # ten hours; the narrow counter wraps within the first
        if n == 900:
            host.reboot()
        up = 500_000 + 20 * n if n < 900 else 20 * (n - 900) + 2
        samples.append(host.look(start + timedelta(seconds=20 * n), up))
    # After a restart, the agent has missed a quarter of an hour and has no rates at first.
    for began in (300, 1_200):
        samples[began + 45].update(net_rx=None, net_tx=None)
    seen = [row for n, row in enumerate(samples) if n % 900 not in range(300, 345)]
    # The network is away around the wrap, around the reboot, and around a restart of the agent.
    late = [
        row
        for row in seen
        if any(
            0 <= (row["time"] - start).total_seconds() - since < 2_400
            for since in (1_800, 5_400, 17_000)
        )
    ]
    assert any(a["net_tx_total"] > b["net_tx_total"] for a, b in itertools.pairwise(late))
    on_time = [row for row in seen if row not in late]
    for part in (on_time, late[1::2], late[::-2], seen):
        await rolling.store(part)
        await rolling.rollup.catch_up()

    found = await periods(rolling)
    rx, tx = samples[-1]["passed"]
    first_rx, first_tx = samples[0]["passed"]
    assert sum(row[3] for row in found) == rx - first_rx
    assert sum(row[4] for row in found) == tx - first_tx
    (covered,) = (await rolling.sql("SELECT sum(covered_seconds) FROM vps_monthly_traffic"))[0]
    # Two gaps of a quarter of an hour and one step. Five minutes of each count as covered.
    assert covered == pytest.approx(20 * 1_799 - 2 * (920 - 300), abs=1)


@pytest.mark.parametrize("back", [7, 90, 7_200], ids="{}s".format)
async def test_a_clock_that_is_set_back_counts_nothing_twice(rolling: Rig, back: int) -> None:
    (vps_id,) = await rolling.vps()
    host, start = Host(vps_id, random.Random(7)), ago(NOW, hours=40)
    ahead = timedelta(seconds=back)
    samples = [
        host.look(
            start + timedelta(seconds=20 * n),
            40_000 + 20 * n,
            clock=ahead if n < 900 else timedelta(),
        )
        for n in range(1_000 + back // 20)
    ]
    for part in (samples[:900:2], samples[900:], samples[1:900:2]):
        await rolling.store(part)
        await rolling.rollup.catch_up()
    assert await wrong(rolling, samples) == []
    first, last = samples[0]["passed"], samples[-1]["passed"]
    found = await periods(rolling)
    assert sum(rx for *_, rx, _ in found) == last[0] - first[0]
    assert sum(tx for *_, tx in found) == last[1] - first[1]


@pytest.mark.parametrize("back", [0, 10, 45, 110], ids="{}s".format)
async def test_a_reboot_that_sets_a_clock_back_is_a_reboot(rolling: Rig, back: int) -> None:
    (vps_id,) = await rolling.vps()
    host, start = Host(vps_id, random.Random(8)), ago(NOW, hours=5)
    host.tx = 10_000_000_000
    ahead = timedelta(seconds=back)
    before = [
        host.look(start + timedelta(seconds=5 * n), 200_000 + 5 * n, clock=ahead)
        for n in range(700)
    ]
    host.reboot()
    up = before[-1]["time"] - ahead + timedelta(seconds=12)
    after = [host.look(up + timedelta(seconds=5 * n), 7 + 5 * n) for n in range(700)]
    await rolling.store([*before, *after])
    await rolling.rollup.catch_up()
    unseen = sum(before[-1]["time"] - row["time"] > timedelta() for row in after) + 1
    found = await periods(rolling)
    for total, column, name in ((3, 0, "net_rx_total"), (4, 1, "net_tx_total")):
        passed = before[-1]["passed"][column] - before[0]["passed"][column] + after[-1][name]
        assert 0 <= passed - sum(row[total] for row in found) < 3_000_000 * unseen


async def test_what_comes_after_the_samples_are_gone_is_counted_once(rolling: Rig) -> None:
    (vps_id,) = await rolling.vps()
    start = ago(NOW, days=5)
    steady = [
        reading(vps_id, start + timedelta(seconds=20 * n), 1_000 * n, 500 * n, 10_000 + 20 * n)
        for n in range(900)
    ]
    # An outage with a reboot whose samples the agent spooled, parts of records, and single samples.
    for n, row in enumerate(steady[400:], start=400):
        row.update(net_rx_total=1_000 * (n - 400), net_tx_total=7 * n, uptime=20 * (n - 400) + 1)
        row["boot"] = 1
    late = [row for n, row in enumerate(steady) if 300 <= n < 620 or n % 11 == 0]
    on_time = [row for row in steady if row not in late]
    recent = reading(vps_id, ago(NOW, hours=3), 900_000, 10_000, 20 * 500 + 5 * 86_400, boot=1)
    await rolling.store([*on_time, recent])
    await rolling.keeping(keep_raw_hours=48).catch_up()
    gone = "SELECT count(*) FROM performance_metrics WHERE time < now() - interval '4 days'"
    assert await rolling.sql(gone) == [(0,)]
    assert await wrong(rolling, [*on_time, recent]) == []

    # In the order in which an agent sends its spool.
    for part in (late[: len(late) // 2], late[len(late) // 2 :], [*on_time, *late]):
        await rolling.store(part)
        await rolling.keeping(keep_raw_hours=48).catch_up()
    assert await rolling.sql(gone) == [(0,)]
    assert await wrong(rolling, [*steady, recent]) == []
    before = await rolling.table("traffic_facts")
    await rolling.store(steady)
    await rolling.keeping(keep_raw_hours=48).catch_up()
    assert await rolling.table("traffic_facts") == before
    assert await wrong(rolling, [*steady, recent]) == []


async def test_a_late_sample_moves_traffic_between_periods_but_makes_none(rolling: Rig) -> None:
    (vps_id,) = await rolling.vps()
    turn = datetime(NOW.year, NOW.month, 1, tzinfo=UTC)
    around = [reading(vps_id, turn - timedelta(hours=2), 1_000, 0, 50_000)]
    around += [reading(vps_id, turn + timedelta(hours=1), 9_000, 0, 50_000 + 3 * 3600)]
    await rolling.store(around)
    await rolling.rollup.catch_up()
    assert [rx for *_, rx, _ in await periods(rolling)] == [0, 8_000]
    around += [reading(vps_id, turn - timedelta(seconds=1), 6_000, 0, 50_000 + 2 * 3600)]
    await rolling.store(around)
    await rolling.rollup.catch_up()
    assert [rx for *_, rx, _ in await periods(rolling)] == [5_000, 3_000]


async def test_periods_and_coverage_and_percentiles_are_brought_up_to_date_by_parts(
    rolling: Rig,
) -> None:
    (vps_id,) = await rolling.vps()
    start = ago(NOW, days=45)
    samples = [
        reading(vps_id, start + n * timedelta(minutes=1), n * n, 3 * n, 1_000 + 60 * n)
        for n in range(24 * 60)
    ]
    await rolling.store(samples)
    await rolling.rollup.catch_up()
    (fact_count,) = (await rolling.sql("SELECT count(*) FROM traffic_facts"))[0]
    assert fact_count == 24 * 12
    assert await wrong(rolling, samples) == []
    covered = await rolling.sql("SELECT sum(covered_seconds) FROM vps_monthly_traffic")
    assert abs(covered[0][0] - (24 * 3600 - 60)) < 61
    # Computed independently: growth between the last readings of two buckets, divided by the time.
    buckets = [samples[n : n + 5] for n in range(0, len(samples), 5)]
    rates = [
        (now[-1]["net_rx_total"] - before[-1]["net_rx_total"]) / 300
        for before, now in itertools.pairwise(buckets)
    ]
    rates.append(buckets[0][-1]["net_rx_total"] / 240)
    (found,) = await rolling.sql(
        "SELECT rx FROM traffic_p95(%(id)s, 'epoch', 'infinity')", id=vps_id
    )
    assert found[0] == pytest.approx(sorted(rates)[-(-95 * len(rates) // 100) - 1])


@pytest.mark.parametrize(
    ("readings", "delta"),
    [
        ("100, 150, false, 1.0, 5.0", 50),
        ("100, 30, true, 9.0, 5.0", 30),
        ("4294967286, 20, false, 9.0, 5.0", 30),
        ("9223372036854775798, 20, false, 9.0, 5.0", 30),
        # An interface was removed, so its counter is missing in the sum. The agent's rate is correct.
        ("10000000000, 8000000000, false, 7.0, 5.0", 35),
        ("10000000000, 8000000000, false, NULL, 5.0", 0),
        ("10000000000, 8000000000, false, 7.0, 3600.0", 0),
        ("100, 9000000000000000000, true, 7.0, 5.0", 35),
        ("6917529027641081856, 2305843009213693951, false, 3e38, 5.0", 62_500_000_000),
        # An interface was added whose counter is higher than any link allows.
        ("10, 1125899906842624, false, 7.0, 5.0", 35),
        ("NULL, 50, false, 7.0, NULL", 0),
        ("500, 20, false, -7.0, 5.0", 0),
    ],
)
async def test_growth_is_never_negative(rolling: Rig, readings: str, delta: int) -> None:
    assert await rolling.sql(f"SELECT traffic_delta({readings})") == [(delta,)]


@pytest.mark.parametrize(
    ("readings", "growth"),
    [
        # Counters before and after, uptimes, the agent's rate, seconds between.
        # An interface leaves, and returns with its old counter.
        ("50000000000, 10000100000, 5000, 5005, 20000.0, 5.0", 100_000),
        ("10000100000, 50000200000, 5005, 5010, 20000.0, 5.0", 100_000),
        ("10000100000, 510000200000, 5005, 5065, 20000.0, 60.0", 1_200_000),
        ("7000000, 35841236, 5005, 5006, 310.0, 1.0", 310),
        ("7000000, 9500000, 5005, 5015, 0.0, 10.0", 0),
        # A burst. The rate is only that of its end, because a sample in between is late.
        ("10000000, 80000000, 5005, 5015, 1000000.0, 10.0", 70_000_000),
        ("0, 1000000000, 5005, 5605, 5.0, 600.0", 1_000_000_000),
        # 80 Gbit/s, which the agent's rate confirms.
        ("5000000000, 55000000000, 5005, 5010, 10e9, 5.0", 50_000_000_000),
        # One reading of 0 from an agent without rates.
        ("30000000000, 0, 5000, 5005, NULL, 5.0", 0),
        ("0, 30000100000, 5005, 5010, NULL, 5.0", 0),
        ("0, 3000000000, 5005, 5010, NULL, 5.0", 0),
        ("0, 3000000, 5005, 5010, NULL, 5.0", 3_000_000),
        # A container restarts under its host's uptime.
        ("9000000000, 2000000, 900000, 900060, NULL, 60.0", 2_000_000),
        ("9000000000, 2000000, 900000, 900600, NULL, 600.0", 2_000_000),
        ("700000000, 90000000, 900000, 900020, NULL, 20.0", 90_000_000),
        # A bond steps back.
        ("500000000, 400000000, 5000, 5005, NULL, 5.0", 0),
        ("50000000000, 49999999000, 5000, 5005, NULL, 5.0", 0),
        ("50000000000, 49999999000, 5000, 5005, 700.0, 5.0", 3_500),
        # A narrow counter wraps.
        ("4294900000, 100000, 5000, 5005, NULL, 5.0", 167_296),
        ("5200000000, 905100000, 5000, 5005, NULL, 5.0", 0),
    ],
)
async def test_growth_is_what_really_passed(rolling: Rig, readings: str, growth: int) -> None:
    assert await rolling.sql(f"SELECT traffic_grown({readings})") == [(growth,)]


async def test_an_interface_that_comes_and_goes_adds_nothing_to_the_month(rolling: Rig) -> None:
    (vps_id,) = await rolling.vps()
    start = ago(NOW, hours=6)
    samples = []
    for n in range(700):
        steady, lent = 1_000 * n, 40_000_000_000 if n // 50 % 2 else 0
        samples.append(
            reading(
                vps_id,
                start + timedelta(seconds=5 * n),
                5_000_000 + steady + lent,
                5_000_000 + steady,
                90_000 + 5 * n,
                net_rx=200.0,
                net_tx=200.0,
            )
        )
    await rolling.store(samples[::2])
    await rolling.rollup.catch_up()
    await rolling.store(samples[1::2])
    await rolling.rollup.catch_up()
    found = await periods(rolling)
    assert sum(rx for *_, rx, _ in found) == sum(tx for *_, tx in found) == 699_000


async def test_one_servers_absurd_numbers_stop_nobodys_ledger(rolling: Rig) -> None:
    good, bad = await rolling.vps(2)
    start, most = ago(NOW, hours=4), (1 << 63) - 1
    steady = [
        reading(good, start + timedelta(minutes=n), 1_000 * n, 7 * n, 60 * n) for n in range(120)
    ]
    counters = itertools.cycle([0, most, 301, most - 1, most // 2, most])
    uptimes = itertools.cycle([most, 1, 1 << 31, 200, 301, (1 << 31) - 1, 5])
    absurd = [
        reading(
            bad,
            start + timedelta(seconds=n),
            next(counters),
            most - n,
            next(uptimes),
            net_rx=3e38,
            net_tx=-3e38,
        )
        for n in range(7_000)
    ]
    for part in range(2):
        await rolling.store([*steady[part::2], *absurd[part::2]])
        await rolling.rollup.catch_up()
        assert not rolling.rollup.failing
    assert await wrong(rolling, steady) == []
    assert len(await rolling.table("traffic_facts")) > len(steady) // 5
