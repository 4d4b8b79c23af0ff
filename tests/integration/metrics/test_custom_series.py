"""Custom series, and the use of each mount, over time."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from flotilla.v1.agent_pb2 import BatchAck, MessageToServer
from flotilla.v1.metrics_pb2 import DiskUsage, GenericMetric, GenericMetricsBatch
from services.gateway.api.time_range import MAX_POINTS
from tests.fixtures.scripted_agent import ScriptedAgent, now_ms, snapshot
from tests.fixtures.world import World

DAY = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"}


async def server(user: httpx.AsyncClient) -> str:
    made: dict[str, str] = (await user.post("/vps", json={"name": "s"})).json()
    return made["id"]


async def series(world: World, vps_id: str, name: str = "queue") -> int:
    ((series_id,),) = await world.sql(
        "INSERT INTO generic_series (vps_id, name) VALUES (%(vps)s, %(name)s) RETURNING id",
        vps=vps_id,
        name=name,
    )
    return int(series_id)


async def put(world: World, series_id: int, *, every: str, value: str) -> None:
    """A day of points; `value` is SQL of the time `t`."""
    await world.sql(
        f"INSERT INTO generic_metrics (time, series_id, value) SELECT t, %(id)s, {value}"
        " FROM generate_series(%(start)s::timestamptz, %(end)s::timestamptz, %(every)s::interval)"
        " AS t WHERE t < %(end)s",
        id=series_id,
        every=every,
        **DAY,
    )


async def asked(
    user: httpx.AsyncClient, vps_id: str, series_id: int | str, **params: str
) -> httpx.Response:
    return await user.get(f"/vps/{vps_id}/series/{series_id}/historical", params=params)


async def sent(agent: ScriptedAgent, *metrics: GenericMetric) -> None:
    batch = GenericMetricsBatch(header=agent.batch().header, metrics=metrics)
    await agent.send(MessageToServer(generic=batch))
    await agent.outcome(BatchAck.OUTCOME_DURABLE, batch.header.sequence)


async def test_what_a_collector_sent_is_listed_with_its_newest_point_and_drawn(
    world: World,
) -> None:
    user = await world.user("member")
    agent = await world.enrolled(user)
    await agent.connect()
    now = now_ms()
    mail, web = {"name": "mail"}, {"name": "web"}
    await sent(
        agent,
        GenericMetric(time_unix_ms=now - 9_000, name="queue", labels=web, value=1),
        GenericMetric(time_unix_ms=now - 6_000, name="queue", labels=mail, value=2),
        GenericMetric(time_unix_ms=now - 3_000, name="queue", labels=mail, value=4.5),
        GenericMetric(time_unix_ms=now - 8_000, name="celsius", value=-3),
    )

    page = (await user.get(f"/vps/{agent.vps_id}/series")).json()
    assert page["total"] == 3
    found = [(one["name"], one["labels"], one["last_value"]) for one in page["items"]]
    assert found == [("queue", mail, 4.5), ("celsius", {}, -3), ("queue", web, 1)]
    newest = datetime.fromisoformat(page["items"][0]["last_time"])
    assert newest == datetime.fromtimestamp((now - 3_000) / 1000, UTC)

    history = (await asked(user, agent.vps_id, page["items"][0]["id"])).json()
    assert history["granularity"] == "5s"
    assert max(history["max"]) == 4.5
    assert min(history["min"]) == 2


async def test_a_series_that_never_had_a_point_comes_last(world: World) -> None:
    user = await world.user("member")
    vps_id = await server(user)
    await series(world, vps_id, "a")
    await put(world, await series(world, vps_id, "b"), every="1 h", value="1")

    items = (await user.get(f"/vps/{vps_id}/series")).json()["items"]

    assert [(one["name"], one["last_value"]) for one in items] == [("b", 1), ("a", None)]
    assert items[1]["last_time"] is None


async def test_points_are_averages_with_their_extremes(world: World) -> None:
    user = await world.user("member")
    vps_id = await server(user)
    series_id = await series(world, vps_id)
    await put(world, series_id, every="10 min", value="extract(minute FROM t)")

    history = (await asked(user, vps_id, series_id, **DAY, granularity="1h")).json()

    assert history["granularity"] == "1h"
    assert history["time"][:2] == ["2026-01-01T00:00:00.000Z", "2026-01-01T01:00:00.000Z"]
    assert history["value"] == [25.0] * 24
    assert (history["min"], history["max"]) == ([0.0] * 24, [50.0] * 24)


async def test_a_history_has_at_most_a_thousand_points(world: World) -> None:
    user = await world.user("member")
    vps_id = await server(user)
    series_id = await series(world, vps_id)
    await put(world, series_id, every="10 s", value="1")

    auto = (await asked(user, vps_id, series_id, **DAY)).json()
    fine = await asked(user, vps_id, series_id, **DAY, granularity="1m")

    assert auto["granularity"] == "2m"
    assert len(auto["time"]) == 720 <= MAX_POINTS
    assert fine.status_code == 422
    assert "Request `2m` or coarser" in fine.json()["detail"]
    assert {name: len(auto[name]) for name in ("value", "min", "max")} == dict.fromkeys(
        ("value", "min", "max"), 720
    )


async def test_numbers_as_large_as_they_can_be_are_averaged_too(world: World) -> None:
    user = await world.user("member")
    vps_id = await server(user)
    series_id = await series(world, vps_id)
    await put(world, series_id, every="1 min", value="'1.7e308'::float8")

    history = (await asked(user, vps_id, series_id, **DAY)).json()

    assert history["value"][0] == pytest.approx(1e300)
    assert history["max"][0] == 1.7e308


@pytest.mark.parametrize(
    "window",
    [
        {"start": DAY["end"], "end": DAY["start"]},
        {"start": "0001-01-01T00:00:00Z"},
        {"granularity": "3s"},
        {"end": "tomorrow"},
    ],
)
async def test_a_window_that_makes_no_sense_is_refused(
    world: World, window: dict[str, str]
) -> None:
    user = await world.user("member")
    vps_id = await server(user)
    series_id = await series(world, vps_id)
    disks = await user.get(f"/vps/{vps_id}/disks/historical", params=window)

    assert (await asked(user, vps_id, series_id, **window)).status_code in {400, 422}
    assert disks.status_code in {400, 422}


async def test_a_series_is_found_under_its_own_server_alone(world: World) -> None:
    user = await world.user("member")
    vps_id, another = await server(user), await server(user)
    series_id = await series(world, vps_id)
    await put(world, series_id, every="1 h", value="1")

    assert (await asked(user, vps_id, series_id)).status_code == 200
    for where, which in ((another, series_id), (vps_id, 0), (vps_id, -1), (vps_id, 10**30)):
        assert (await asked(user, where, which)).status_code == 404
    assert (await asked(user, vps_id, "9" * 5_000)).status_code in {400, 404}


async def test_the_use_of_each_mount_is_read_from_the_newest_sample_of_a_bucket(
    world: World,
) -> None:
    user = await world.user("member")
    agent = await world.enrolled(user)
    await agent.connect()
    minute = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=5)

    def at(seconds: int, **used: int) -> Any:
        moment = int((minute + timedelta(seconds=seconds)).timestamp() * 1000)
        disks = [
            DiskUsage(mount_point=f"/{name}", total_bytes=100, used_bytes=bytes_)
            for name, bytes_ in used.items()
        ]
        return snapshot(moment, disks=disks)

    samples = [at(0, srv=10), at(20, srv=30), at(61, srv=40, data=7), at(125)]
    sequence = await agent.report(*samples)
    await agent.outcome(BatchAck.OUTCOME_DURABLE, sequence)

    window = {"start": minute.isoformat(), "granularity": "1m"}
    answer = await user.get(f"/vps/{agent.vps_id}/disks/historical", params=window)

    history = answer.json()
    assert [datetime.fromisoformat(time) - minute for time in history["time"][:2]] == [
        timedelta(0),
        timedelta(minutes=1),
    ]
    assert [(m["mount_point"], m["used"][:2], m["total"][:2]) for m in history["mounts"]] == [
        ("/data", [None, 7], [None, 100]),
        ("/srv", [30, 40], [100, 100]),
    ]
