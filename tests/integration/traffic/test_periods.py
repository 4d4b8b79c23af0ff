"""Billing periods of traffic, and the API that returns them."""

import itertools
import random
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import httpx
import pytest
import pytest_asyncio

from services.gateway.traffic import store
from services.ingest.store import traffic as facts
from services.kit.database import pool as database
from services.kit.metrics.tiers import floor
from tests.fixtures.rollup_database import Rig, ago, rig
from tests.fixtures.traffic_hosts import Row, periods, reading, totals
from tests.fixtures.world import World

NOW = datetime.now(UTC)
FIVE_MINUTES = timedelta(minutes=5)


@pytest_asyncio.fixture(loop_scope="session")
async def rolling(database_url: str) -> AsyncIterator[Rig]:
    async with rig(database_url) as made:
        yield made


def period_by_hand(at: datetime, reset_day: int, zone: str) -> tuple[date, date]:
    """Return the first days of the period and of the next one, in the server's time zone."""
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
    # Offsets of half and quarter hours, and summer time that begins at midnight (Beirut, Havana).
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
            assert begins.hour <= 1  # if the clocks skip midnight, the day begins after it
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
        await facts.create_periods(connection, records=marks)
        await facts.count_periods(connection, until=NOW)
    await rolling.sql("DELETE FROM traffic_facts WHERE time < %(time)s", time=complete_from)
    await rolling.sql("UPDATE rollup_state SET complete_from = %(time)s", time=complete_from)
    for day in (31, 1, 15, 2, 28, 20, 5, 10, 31, 25, 1):
        zone = dice.choice(["UTC", "Asia/Kathmandu", "America/New_York"])
        async with database.transaction(rolling.pool) as connection:
            settings = store.Settings(reset_day=day, time_zone=zone)
            await store.save_settings(connection, vps_id=vps_id, settings=settings)
            await store.rebuild_periods(connection, vps_id=vps_id)
            await facts.count_periods(connection, until=NOW)
        found = await periods(rolling)
        assert sum(row[3] for row in found) == rx[-1] - rx[0], (day, found)
        assert sum(row[4] for row in found) == 3 * (rx[-1] - rx[0])
        assert all(b[1] == a[2] for a, b in itertools.pairwise(found)), (day, found)
        assert found[0][1] <= start
        assert found[-1][2] > start + timedelta(hours=hours[-1])
        # Compute the periods that begin after the first record independently.
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
        await store._ensure_periods(connection, vps_id=vps_id, months=months)
    await rolling.rollup.catch_up()
    assert sum(row[3] for row in await periods(rolling)) == 47_000


def floor_month(time: datetime) -> date:
    return time.date().replace(day=1)


@pytest_asyncio.fixture(loop_scope="session")
async def counted(own_world: World) -> tuple[httpx.AsyncClient, str, list[Row]]:
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
    counted: tuple[httpx.AsyncClient, str, list[Row]],
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
    counted: tuple[httpx.AsyncClient, str, list[Row]],
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


async def test_the_days_of_a_period_add_up_to_its_traffic(
    counted: tuple[httpx.AsyncClient, str, list[Row]],
) -> None:
    user, vps_id, samples = counted
    path = f"/vps/{vps_id}/traffic"
    zone = ZoneInfo("Asia/Kathmandu")
    wanted = {"reset_day": 1, "time_zone": zone.key, "counted": "both"}
    assert (await user.put(f"{path}/settings", json=wanted)).status_code == 200
    months = (await user.get(path)).json()["months"]
    for period in months:
        page = (await user.get(f"{path}/days", params={"month": period["month"]})).json()
        days = page["items"]
        assert page["total"] == len(days)
        assert sum(day["rx"] for day in days) == period["total_rx"]
        assert sum(day["tx"] for day in days) == period["total_tx"]
        for day in days:
            start = datetime.fromisoformat(day["day"]).replace(tzinfo=zone)
            expected = totals(samples, start, start + timedelta(days=1))
            assert (day["rx"], day["tx"]) == expected
    newest = (await user.get(f"{path}/days", params={"month": months[0]["month"]})).json()
    assert (await user.get(f"{path}/days")).json() == newest
    assert newest["total"] >= 1
    none = (await user.get(f"{path}/days", params={"month": "2020-02"})).json()
    assert none == {"items": [], "total": 0}
    refused = await user.get(f"{path}/days", params={"month": "February"})
    assert refused.status_code == httpx.codes.UNPROCESSABLE_ENTITY


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
    assert (await other.get(f"{path}/days")).status_code == 404
    assert (await other.put(f"{path}/settings", json={})).status_code == 404
    assert (await other.post(f"{path}/corrections", json=entry)).status_code == 404
    assert (await owner.get(path)).json()["months"] == []
