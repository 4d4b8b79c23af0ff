"""The fleet's overview: one request for the last hour and the traffic of many servers."""

from typing import Any

import httpx
import pytest

from tests.fixtures.world import World


async def server(user: httpx.AsyncClient, name: str) -> str:
    made = await user.post("/vps", json={"name": name})
    return str(made.json()["id"])


async def overview(user: httpx.AsyncClient, **parameters: Any) -> dict[str, Any]:
    answer = await user.get("/fleet/overview", params=parameters)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def measure(world: World, vps_id: str, *, minutes_ago: int, cpu: float | None) -> None:
    await world.sql(
        "INSERT INTO performance_metrics (time, vps_id, cpu_usage) VALUES"
        " (now() - %(ago)s * interval '1 minute', %(id)s, %(cpu)s)",
        ago=minutes_ago,
        id=vps_id,
        cpu=cpu,
    )


async def test_a_line_has_an_average_for_each_minute_with_data(world: World) -> None:
    user = await world.user("member")
    vps_id = await server(user, "a")
    for minutes_ago, cpu in ((2, 10.0), (30, 50.0), (90, 99.0), (5, None)):
        await measure(world, vps_id, minutes_ago=minutes_ago, cpu=cpu)
    # Rolled up already, so that no sample is needed.
    await world.sql(
        "INSERT INTO performance_1m (time, vps_id, samples, seconds, cpu_usage) VALUES"
        " (date_trunc('minute', now()) - interval '40 minutes', %(id)s, 1, 1, 70)",
        id=vps_id,
    )
    (state,) = await world.sql("SELECT rolled_until FROM rollup_state WHERE tier = '1m'")
    await world.sql(
        "UPDATE rollup_state SET rolled_until = date_trunc('minute', now()) - interval '35 minutes'"
        " WHERE tier = '1m'"
    )
    try:
        (item,) = (await overview(user))["items"]
    finally:
        await world.sql(
            "UPDATE rollup_state SET rolled_until = %(old)s WHERE tier = '1m'", old=state[0]
        )
    assert item["vps_id"] == vps_id
    assert len(item["cpu"]) == 60
    assert [value for value in item["cpu"] if value is not None] == [70.0, 50.0, 10.0]
    assert item["cpu"].index(10.0) in {56, 57}


async def test_a_server_without_data_is_there(world: World) -> None:
    user = await world.user("member")
    vps_id = await server(user, "new")
    assert (await overview(user))["items"] == [{"vps_id": vps_id, "cpu": [], "traffic": None}]


async def test_only_ones_own_servers_are_there_in_the_order_of_their_names(world: World) -> None:
    user, other = await world.user("member"), await world.user("member")
    second, first = await server(user, "b"), await server(user, "a")
    foreign = await server(other, "c")

    found = await overview(user)
    assert [item["vps_id"] for item in found["items"]] == [first, second]
    assert found["total"] == 2
    (page,) = (await overview(user, limit=1, offset=1))["items"]
    assert page["vps_id"] == second
    theirs = await overview(await world.colleague(other, "viewer"))
    assert [item["vps_id"] for item in theirs["items"]] == [foreign]
    assert (await overview(await world.user("admin")))["items"] == []


async def test_the_traffic_is_that_of_the_servers_own_answer(world: World) -> None:
    user = await world.user("member")
    vps_id = await server(user, "a")
    path = f"/vps/{vps_id}/traffic"
    settings = {"reset_day": 1, "time_zone": "UTC", "counted": "out", "allowance": 1000}
    assert (await user.put(f"{path}/settings", json=settings)).status_code == 200
    await world.sql(
        "INSERT INTO vps_monthly_traffic"
        " (vps_id, month, starts_at, ends_at, counted_until, total_rx, total_tx)"
        " SELECT %(id)s, month, starts_at, ends_at, now(), 7, 300"
        " FROM traffic_period(now(), 1, 'UTC')",
        id=vps_id,
    )
    (month,) = (await user.get(path)).json()["months"]
    body = {"month": month["month"], "rx": 0, "tx": 200, "reason": "measured elsewhere"}
    assert (await user.post(f"{path}/corrections", json=body)).status_code == 201

    (month,) = (await user.get(path)).json()["months"]
    (item,) = (await overview(user))["items"]
    assert item["traffic"]["counted"] == month["counted"] == 500
    assert item["traffic"]["allowance_used"] == month["allowance_used"] == 50
    assert item["traffic"]["starts_at"] == month["starts_at"]


@pytest.mark.parametrize("parameters", [{"limit": 0}, {"limit": 1001}, {"offset": -1}])
async def test_the_page_is_bounded(world: World, parameters: dict[str, int]) -> None:
    user = await world.user("member")
    answer = await user.get("/fleet/overview", params=parameters)
    assert answer.status_code == 422
