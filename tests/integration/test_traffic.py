"""The traffic ledger equals what the samples say, and the API shows it."""

import itertools
import random
import secrets
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import httpx
import pytest
import pytest_asyncio

from services.gateway.store import traffic as store
from services.ingest.store import traffic as facts
from services.kit import database
from services.kit.tiers import floor
from tests.fixtures.rolling import Rig, ago, rig, sample
from tests.fixtures.world import World

NOW = datetime.now(UTC)
FIVE_MINUTES = timedelta(minutes=5)
WRAP = 1 << 32

Row = dict[str, Any]


@pytest_asyncio.fixture(loop_scope="session")
async def rolling(database_url: str) -> AsyncIterator[Rig]:
    async with rig(database_url) as made:
        yield made


def reading(
    vps_id: UUID, time: datetime, rx: int, tx: int, uptime: int, **rest: Any
) -> dict[str, Any]:
    return sample(vps_id, time, net_rx_total=rx, net_tx_total=tx, uptime=uptime, **rest)


@dataclass
class Host:
    """What a server's counters go through, and what really passed."""

    vps_id: UUID
    dice: random.Random
    rx: int = 5_000_000
    tx: int = WRAP - 400_000_000
    boot: int = 0
    passed: tuple[int, int] = (0, 0)

    def reboot(self) -> None:
        self.rx = self.tx = 0
        self.boot += 1

    def look(self, time: datetime, uptime: float, *, clock: timedelta = timedelta()) -> Row:
        """A reading by a clock that is ahead by `clock`."""
        more = self.dice.randrange(3_000_000), self.dice.randrange(3_000_000)
        self.rx, self.tx = self.rx + more[0], (self.tx + more[1]) % WRAP
        self.passed = self.passed[0] + more[0], self.passed[1] + more[1]
        rates = {"net_rx": 1e5, "net_tx": 1e5}
        truth = {"boot": self.boot, "passed": self.passed}
        return reading(self.vps_id, time + clock, self.rx, self.tx, int(uptime), **rates, **truth)


def measured(
    vps_id: UUID, start: datetime, span: timedelta, *, every: int = 20, seed: int = 1
) -> list[Row]:
    """A host's life: counters that grow, reboots, a narrow counter that wraps."""
    dice = random.Random(seed)
    host, booted = Host(vps_id, dice), start - timedelta(days=3)
    rows = []
    for number in range(int(span.total_seconds()) // every):
        time = start + timedelta(seconds=number * every)
        if dice.random() < 0.004:
            host.reboot()
            booted = time - timedelta(seconds=dice.randrange(1, every))
        rows.append(host.look(time, (time - booted).total_seconds()))
    return rows


def grown(before: Row, now: Row) -> tuple[int, int]:
    """What counts between two neighbours, of what really passed."""
    if now.get("boot", 0) > before.get("boot", 0):
        return now["net_rx_total"], now["net_tx_total"]
    if now.get("boot", 0) < before.get("boot", 0):
        return -before["net_rx_total"], -before["net_tx_total"]
    (rx_before, tx_before), (rx, tx) = _passed(before), _passed(now)
    return rx - rx_before, tx - tx_before


def _passed(row: Row) -> tuple[int, int]:
    counters: tuple[int, int] = row.get("passed", (row["net_rx_total"], row["net_tx_total"]))
    return counters


def totals(samples: Iterable[dict[str, Any]], since: datetime, until: datetime) -> tuple[int, int]:
    """What counts to the later of two neighbours."""
    ordered = sorted(samples, key=lambda row: row["time"])
    rx = tx = 0
    for before, now in itertools.pairwise(ordered):
        if since <= now["time"] < until:
            more = grown(before, now)
            rx, tx = rx + more[0], tx + more[1]
    return rx, tx


async def periods(rolling: Rig) -> list[Any]:
    return await rolling.sql(
        "SELECT vps_id, starts_at, ends_at, total_rx, total_tx FROM vps_monthly_traffic"
        " ORDER BY vps_id, starts_at"
    )


async def wrong(rolling: Rig, samples: Sequence[dict[str, Any]]) -> list[str]:
    """Periods that differ from the samples, and samples in no period."""
    found = await periods(rolling)
    rolled = (await rolling.sql("SELECT rolled_until FROM rollup_state WHERE tier = 'traffic'"))[0][
        0
    ]
    problems = []
    for vps_id in {row["vps_id"] for row in samples}:
        own = [row for row in samples if row["vps_id"] == vps_id]
        mine = [row for row in found if row[0] == vps_id]
        for _, starts_at, ends_at, rx, tx in mine:
            expected = totals(own, starts_at, min(ends_at, rolled))
            if (rx, tx) != expected:
                problems.append(f"{starts_at}: {rx, tx}, not {expected}")
        problems += [
            f"no period for {row['time']}"
            for row in own
            if not any(s <= row["time"] < e for _, s, e, _, _ in mine)
        ]
    return problems


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
    # The agent is restarted: it misses a quarter of an hour, and has no rates at first.
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
    # Two silences of a quarter of an hour and a step, of which five minutes each are covered.
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
    # An outage with a reboot in it, that the agent kept on its disk; parts of facts; single samples.
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

    # In order, as an agent empties its disk.
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
    # By hand: growth from a bucket's last reading to the next one's, over the time between.
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
        # An interface went: its counter is missing from the sum; the agent's rate is right.
        ("10000000000, 8000000000, false, 7.0, 5.0", 35),
        ("10000000000, 8000000000, false, NULL, 5.0", 0),
        ("10000000000, 8000000000, false, 7.0, 3600.0", 0),
        ("100, 9000000000000000000, true, 7.0, 5.0", 35),
        ("6917529027641081856, 2305843009213693951, false, 3e38, 5.0", 62_500_000_000),
        # One came, with more on its counter than any wire carries.
        ("10, 1125899906842624, false, 7.0, 5.0", 35),
        ("NULL, 50, false, 7.0, NULL", 0),
        ("500, 20, false, -7.0, 5.0", 0),
    ],
)
async def test_growth_is_never_negative(rolling: Rig, readings: str, delta: int) -> None:
    assert await rolling.sql(f"SELECT traffic_delta({readings})") == [(delta,)]


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


def period_by_hand(at: datetime, reset_day: int, zone: str) -> tuple[date, date]:
    """First days of the period, and of the next, in the server's zone."""
    local = at.astimezone(ZoneInfo(zone)).date()

    def reset(year: int, month: int) -> date:
        first = date(year + (month - 1) // 12, (month - 1) % 12 + 1, 1)
        following = date(year + month // 12, month % 12 + 1, 1)
        return first + timedelta(days=min(reset_day, (following - first).days) - 1)

    shift = 0 if local >= reset(local.year, local.month) else -1
    month = local.month + shift
    year = local.year if month >= 1 else local.year - 1
    month = month if month >= 1 else 12
    return reset(year, month), reset(year, month + 1)


async def test_periods_begin_on_the_reset_day_in_the_servers_zone(rolling: Rig) -> None:
    dice = random.Random(4)
    # Half-hour and quarter-hour offsets; summer time that begins at midnight (Beirut, Havana).
    zones = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu"]
    zones += ["Asia/Beirut", "America/Havana", "Pacific/Apia", "Australia/Lord_Howe"]
    for zone, day in itertools.product(zones, [1, 15, 28, 29, 30, 31]):
        for _ in range(8):
            at = datetime(2023, 1, 1, tzinfo=UTC) + timedelta(
                minutes=dice.randrange(3 * 365 * 1440)
            )
            (found,) = await rolling.sql(
                "SELECT starts_at, ends_at, month FROM"
                " traffic_period(%(at)s, %(day)s::integer, %(zone)s)",
                at=at,
                day=day,
                zone=zone,
            )
            first, following = period_by_hand(at, day, zone)
            begins, ends = (time.astimezone(ZoneInfo(zone)) for time in found[:2])
            assert (begins.date(), ends.date()) == (first, following), (zone, day, at)
            assert begins.hour <= 1  # where the clocks leap over midnight, the day begins after it
            assert found[2] == first.replace(day=1)


@pytest.mark.parametrize(
    ("at", "starts", "ends"),
    [
        ("2024-02-10T00:00Z", "2024-01-31T00:00Z", "2024-02-29T00:00Z"),
        ("2024-02-29T00:00Z", "2024-02-29T00:00Z", "2024-03-31T00:00Z"),
        ("2023-02-28T12:00Z", "2023-02-28T00:00Z", "2023-03-31T00:00Z"),
        ("2023-12-31T00:00Z", "2023-12-31T00:00Z", "2024-01-31T00:00Z"),
    ],
)
async def test_the_31st_is_the_last_of_a_shorter_month(
    rolling: Rig, at: str, starts: str, ends: str
) -> None:
    assert await rolling.sql(
        "SELECT starts_at = %(starts)s::timestamptz, ends_at = %(ends)s::timestamptz"
        " FROM traffic_period(%(at)s::timestamptz, 31, 'UTC')",
        at=at,
        starts=starts,
        ends=ends,
    ) == [(True, True)]


async def test_another_reset_day_leaves_no_fact_out_after_older_ones_are_gone(
    rolling: Rig,
) -> None:
    (vps_id,) = await rolling.vps()
    dice = random.Random(9)
    hours = range(1, 95 * 24)
    start = ago(NOW, days=95, hours=2)
    rx = list(itertools.accumulate(dice.randrange(1_000_000) for _ in range(95 * 24)))
    await rolling.sql(
        "INSERT INTO traffic_facts SELECT %(vps)s, t, t, t, t - interval '1 hour', 0, 0,"
        " now - before, 3 * (now - before), now, 0, now, 0 FROM (SELECT rx AS now,"
        " lag(rx) OVER (ORDER BY n) AS before, %(start)s + (n - 1) * interval '1 hour' AS t"
        " FROM unnest(%(rx)s::bigint[]) WITH ORDINALITY AS r (rx, n)) r WHERE before IS NOT NULL",
        vps=vps_id,
        start=start,
        rx=rx,
    )
    complete_from = start + timedelta(days=50)
    await rolling.sql(
        "UPDATE rollup_state SET rolled_until = %(now)s", now=floor(NOW, FIVE_MINUTES)
    )
    async with database.transaction(rolling.pool) as connection:
        marks = [(vps_id, start + timedelta(hours=n)) for n in hours]
        await facts.open_periods(connection, marks=marks)
        await facts.count_periods(connection, until=NOW)
    await rolling.sql("DELETE FROM traffic_facts WHERE time < %(time)s", time=complete_from)
    await rolling.sql("UPDATE rollup_state SET complete_from = %(time)s", time=complete_from)
    for day in (31, 1, 15, 2, 28, 20, 5, 10, 31, 25, 1):
        zone = dice.choice(["UTC", "Asia/Kathmandu", "America/New_York"])
        async with database.transaction(rolling.pool) as connection:
            settings = store.Settings(reset_day=day, time_zone=zone)
            await store.put_settings(connection, vps_id=vps_id, wanted=settings)
            await store.divide_anew(connection, vps_id=vps_id)
            await facts.count_periods(connection, until=NOW)
        found = await periods(rolling)
        assert sum(row[3] for row in found) == rx[-1] - rx[0], (day, found)
        assert sum(row[4] for row in found) == 3 * (rx[-1] - rx[0])
        assert all(b[1] == a[2] for a, b in itertools.pairwise(found)), (day, found)
        assert found[0][1] <= start
        assert found[-1][2] > start + timedelta(hours=hours[-1])
        # What begins after the facts do, by hand.
        for _, starts_at, ends_at, total, _ in found:
            if starts_at >= complete_from:
                inside = [n for n in hours if starts_at <= start + timedelta(hours=n) < ends_at]
                assert total == rx[inside[-1]] - rx[inside[0] - 1]


async def test_a_correction_of_a_month_without_a_period_counts_no_fact_again(
    rolling: Rig,
) -> None:
    (vps_id,) = await rolling.vps()
    start = ago(NOW, days=3)
    await rolling.store(
        reading(vps_id, start + timedelta(hours=n), 1_000 * n, n, 9_000_000 + 3600 * n)
        for n in range(48)
    )
    await rolling.rollup.catch_up()
    await rolling.sql(
        "UPDATE vps_monthly_traffic SET starts_at = starts_at - interval '40 days',"
        " month = month - interval '1 month' WHERE month = (SELECT min(month) FROM vps_monthly_traffic)"
    )
    async with database.transaction(rolling.pool) as connection:
        months = [floor_month(start), floor_month(start - timedelta(days=300))]
        await store._open(connection, vps_id=vps_id, months=months)
    await rolling.rollup.catch_up()
    assert sum(row[3] for row in await periods(rolling)) == 47_000


def floor_month(time: datetime) -> date:
    return time.date().replace(day=1)


@pytest_asyncio.fixture(loop_scope="session")
async def counted(own_world: World) -> tuple[httpx.AsyncClient, str, list[dict[str, Any]]]:
    """A server of a member's with three days of readings, an hour apart from the present.

    They are rolled up, which in the world of all tests would change what others find.
    """
    own_world.start("gateway")
    await own_world.ready("gateway")
    user = await own_world.user("member")
    vps_id = (await user.post("/vps", json={"name": secrets.token_hex(4)})).json()["id"]
    start = floor(NOW - timedelta(days=3), timedelta(hours=2))
    samples = [
        reading(UUID(vps_id), start + n * timedelta(minutes=1), 1_000 * n, 3_000 * n, 60 * n + 60)
        for n in range(3 * 24 * 60 - 180)
    ]
    async with rig(own_world.database_url) as at_work:
        await at_work.store(samples)
        await at_work.rollup.catch_up()
    return user, vps_id, samples


async def test_the_api_answers_totals_corrections_and_what_is_used(
    counted: tuple[httpx.AsyncClient, str, list[dict[str, Any]]],
) -> None:
    user, vps_id, samples = counted
    path = f"/vps/{vps_id}/traffic"
    plain = (await user.get(path, params={"months": 36})).json()
    assert plain["settings"] == {
        "reset_day": 1,
        "time_zone": "UTC",
        "counted": "both",
        "allowance": None,
    }
    assert sum(m["total_rx"] for m in plain["months"]) == samples[-1]["net_rx_total"]
    assert sum(m["total_tx"] for m in plain["months"]) == samples[-1]["net_tx_total"]
    newest = plain["months"][0]
    assert newest["counted"] == newest["total_rx"] + newest["total_tx"]
    assert newest["allowance_used"] is None
    assert newest["rx_p95"] == pytest.approx(1_000 / 60, rel=0.01)
    for period in plain["months"]:
        since, until = (datetime.fromisoformat(period[n]) for n in ("starts_at", "counted_until"))
        inside = [row["time"] for row in samples if since <= row["time"] < until]
        measured = max(inside) - max(since, samples[0]["time"])
        assert period["coverage"] == pytest.approx(100 * measured / (until - since), abs=0.02)

    wanted = {"reset_day": 1, "time_zone": "UTC", "counted": "out", "allowance": 10_000_000}
    assert (await user.put(f"{path}/settings", json=wanted)).json() == wanted
    assert (await user.get(f"{path}/settings")).json() == wanted
    entry = {"month": newest["month"], "tx": -1_000, "reason": "the vendor's panel says so"}
    made = await user.post(f"{path}/corrections", json=entry)
    assert made.status_code == 201
    assert made.json()["author"].startswith("member-")
    after = (await user.get(path)).json()
    assert after["months"][0]["counted"] == newest["total_tx"] - 1_000
    assert after["months"][0]["total_tx"] == newest["total_tx"]
    assert after["months"][0]["allowance_used"] == round((newest["total_tx"] - 1_000) / 1e5, 2)
    assert [c["reason"] for c in after["corrections"]] == [entry["reason"]]

    before = {"month": "2020-02", "rx": 5, "reason": "from before it was measured"}
    assert (await user.post(f"{path}/corrections", json=before)).status_code == 201
    oldest = (await user.get(path, params={"months": 36})).json()["months"][-1]
    assert (oldest["month"], oldest["total_rx"], oldest["corrected_rx"]) == ("2020-02", 0, 5)

    entry |= {"tx": -(1 << 59)}
    await user.post(f"{path}/corrections", json=entry)
    assert (await user.get(path)).json()["months"][0]["counted"] == 0


async def test_another_reset_day_divides_the_same_traffic_anew(
    counted: tuple[httpx.AsyncClient, str, list[dict[str, Any]]],
) -> None:
    user, vps_id, samples = counted
    path = f"/vps/{vps_id}/traffic"
    middle = samples[len(samples) // 2]["time"].astimezone(ZoneInfo("Asia/Kathmandu"))
    wanted = {"reset_day": middle.day, "time_zone": "Asia/Kathmandu", "counted": "in"}
    assert (await user.put(f"{path}/settings", json=wanted)).status_code == 200
    months = (await user.get(path)).json()["months"]
    found = [(m["total_rx"], m["total_tx"]) for m in months if m["total_rx"] + m["total_tx"]]
    expected = [
        totals(
            samples,
            datetime.fromisoformat(m["starts_at"]),
            datetime.fromisoformat(m["ends_at"]),
        )
        for m in months
    ]
    assert found == [pair for pair in expected if sum(pair)]
    assert sum(rx for rx, _ in found) == samples[-1]["net_rx_total"]
    assert len(found) == 2

    entry = {"month": "2020-02", "rx": 5, "reason": "from before it was measured"}
    assert (await user.post(f"{path}/corrections", json=entry)).status_code == 201
    await user.put(f"{path}/settings", json={"reset_day": 31})
    oldest = (await user.get(path, params={"months": 36})).json()["months"][-1]
    assert (oldest["starts_at"], oldest["corrected_rx"]) == ("2020-02-29T00:00:00Z", 5)


@pytest.mark.parametrize(
    "wanted",
    [
        {"reset_day": 0},
        {"reset_day": 32},
        {"time_zone": "Mars/Olympus"},
        {"time_zone": "UTC'; DROP TABLE vps; --"},
        {"counted": "none"},
        {"allowance": 0},
        {"surprise": 1},
    ],
)
async def test_settings_that_make_no_sense_are_refused(
    world: World, wanted: dict[str, Any]
) -> None:
    user = await world.user("member")
    vps_id = (await user.post("/vps", json={"name": "t"})).json()["id"]
    assert (await user.put(f"/vps/{vps_id}/traffic/settings", json=wanted)).status_code == 422


@pytest.mark.parametrize(
    "entry",
    [
        {"month": "2026-13", "rx": 1, "reason": "x"},
        {"month": "1999-01", "rx": 1, "reason": "x"},
        {"month": "2026-01", "reason": "nothing"},
        {"month": "2026-01", "rx": 1, "reason": ""},
        {"month": "2026-01", "rx": 1 << 62, "reason": "x"},
    ],
)
async def test_corrections_that_make_no_sense_are_refused(
    world: World, entry: dict[str, Any]
) -> None:
    user = await world.user("member")
    vps_id = (await user.post("/vps", json={"name": "t"})).json()["id"]
    answer = await user.post(f"/vps/{vps_id}/traffic/corrections", json=entry)
    assert answer.status_code in {400, 422}


async def test_somebody_elses_traffic_is_not_there(world: World) -> None:
    owner, other = await world.user("member"), await world.user("member")
    path = f"/vps/{(await owner.post('/vps', json={'name': 't'})).json()['id']}/traffic"
    entry = {"month": "2026-01", "rx": 1, "reason": "x"}
    assert (await other.get(path)).status_code == 404
    assert (await other.put(f"{path}/settings", json={})).status_code == 404
    assert (await other.post(f"{path}/corrections", json=entry)).status_code == 404
    assert (await owner.get(path)).json()["months"] == []
