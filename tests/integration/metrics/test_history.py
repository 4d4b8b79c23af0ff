"""History of a server's metrics in columns."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.fixtures.problems import assert_problem
from tests.fixtures.world import World


async def history(client: httpx.AsyncClient, vps_id: str, **params: Any) -> httpx.Response:
    return await client.get(f"/vps/{vps_id}/metrics/historical", params=params)


async def test_history_is_at_most_a_thousand_points_whatever_is_asked(world: World) -> None:
    user = await world.user("member")
    vps_id = (await user.post("/vps", json={"name": "h"})).json()["id"]
    await world.sql(
        "INSERT INTO performance_metrics (time, vps_id, cpu_usage, net_rx_total)"
        " SELECT t, %(id)s, 50, extract(epoch FROM t) FROM generate_series("
        " '2026-01-01T00:00Z'::timestamptz, '2026-01-01T06:00Z', interval '2 s') t",
        id=vps_id,
    )
    window = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T06:00:00Z"}

    auto = (await history(user, vps_id, **window)).json()
    assert auto["granularity"] == "30s"
    assert len(auto["time"]) == 720
    assert set(auto["cpu_usage"]) == {50.0}
    assert {len(column) for name, column in auto.items() if name != "granularity"} == {720}
    first = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    assert auto["net_rx_total"][0] == first + 28  # a counter keeps its last value

    fine = await history(user, vps_id, **window, granularity="10s")
    assert fine.status_code == 422
    assert "Request `30s` or coarser" in fine.json()["detail"]
    hourly = (await history(user, vps_id, **window, granularity="1h")).json()
    assert hourly["time"][:2] == ["2026-01-01T00:00:00.000Z", "2026-01-01T01:00:00.000Z"]

    zoned = {"start": "2026-01-01T08:00:00+08:00", "end": "2026-01-01T14:00:00+08:00"}
    assert (await history(user, vps_id, **zoned)).json() == auto
    naive = {"start": "2026-01-01T00:00:00", "end": "2026-01-01T06:00:00"}
    assert (await history(user, vps_id, **naive)).json() == auto
    empty = (
        await history(user, vps_id, start="2025-01-01T00:00:00Z", end="2025-01-02T00:00:00Z")
    ).json()
    assert (empty["time"], empty["cpu_usage"]) == ([], [])


async def test_only_the_selected_metrics_are_returned(world: World) -> None:
    user = await world.user("member")
    vps_id = (await user.post("/vps", json={"name": "h"})).json()["id"]
    now = datetime.now(UTC)
    await world.sql(
        "INSERT INTO performance_metrics (time, vps_id, cpu_usage, mem_used)"
        " VALUES (%(t)s, %(id)s, 50, 17179869185)",
        t=now - timedelta(minutes=5),
        id=vps_id,
    )

    selected = await history(user, vps_id, metrics="mem_used,cpu_usage,mem_used", aggregates="max")
    assert selected.status_code == 200, selected.text
    body = selected.json()
    times = body.pop("time")
    assert len(times) == 1
    assert body == {
        "granularity": "5s",
        "mem_used": [17179869185],
        "cpu_usage": [50.0],
        "mem_used_max": [17179869185],
        "cpu_usage_max": [50.0],
    }

    everything = (await history(user, vps_id, metrics="")).json()
    assert {"load_1", "mem_used", "temperature"} <= set(everything)


@pytest.mark.parametrize("metrics", ["cpu", "cpu_usage,", ",", "cpu_usage\n", "time", "p" * 3000])
async def test_a_metric_that_does_not_exist_is_named(world: World, metrics: str) -> None:
    user = await world.user("member")
    vps_id = (await user.post("/vps", json={"name": "h"})).json()["id"]
    answer = await history(user, vps_id, metrics=metrics)
    problem = assert_problem(answer, 422)
    assert [error["field"] for error in problem["errors"]] == ["metrics"]
    assert "cpu_usage" in problem["detail"]
    assert len(problem["detail"]) < 800


async def test_bytes_and_numbers_of_things_stay_integers(world: World) -> None:
    """Values of the longest buckets and the largest values of the database are included."""
    user = await world.user("member")
    vps_id = (await user.post("/vps", json={"name": "h"})).json()["id"]
    largest = (1 << 63) - 1
    await world.sql(
        "INSERT INTO performance_metrics (time, vps_id, mem_used, disk_used, processes, net_rx_total)"
        " SELECT t, %(id)s, 1e9 + row_number() OVER (), %(largest)s, 2 + row_number() OVER (), 7"
        " FROM generate_series('2026-01-01T00:00Z'::timestamptz, '2026-01-01T02:00Z',"
        " interval '7 s') t",
        id=vps_id,
        largest=largest,
    )
    window = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T02:00:00Z"}
    query = {**window, "aggregates": "min,max,p95"}
    for granularity in ("10s", "1m", "1h"):
        body = (await history(user, vps_id, granularity=granularity, **query)).json()
        for name in ("mem_used", "mem_used_min", "disk_used", "processes_max", "net_rx_total"):
            assert {type(value) for value in body[name]} == {int}, (granularity, name)
        assert max(body["disk_used"]) >= largest - 1024


@pytest.mark.parametrize(
    "window",
    [
        {"start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"},
        {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T00:00:00Z"},
        {"start": "0001-01-01T00:00:00Z"},
        {"start": "0001-01-01T00:00:00+14:00", "end": "2026-01-01T00:00:00Z"},
        {"end": "0001-01-01T00:00:00Z"},
        {"start": "yesterday"},
        {"granularity": "3s"},
    ],
)
async def test_a_window_that_makes_no_sense_is_refused(
    world: World, window: dict[str, str]
) -> None:
    user = await world.user("member")
    vps_id = (await user.post("/vps", json={"name": "h"})).json()["id"]
    assert (await history(user, vps_id, **window)).status_code in {400, 422}


async def test_history_defaults_to_the_last_hour(world: World) -> None:
    user = await world.user("member")
    vps_id = (await user.post("/vps", json={"name": "h"})).json()["id"]
    now = datetime.now(UTC)
    for age in (timedelta(minutes=5), timedelta(hours=2)):
        await world.sql(
            "INSERT INTO performance_metrics (time, vps_id) VALUES (%(t)s, %(id)s)",
            t=now - age,
            id=vps_id,
        )
    assert len((await history(user, vps_id)).json()["time"]) == 1
