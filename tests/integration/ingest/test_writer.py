"""Rows of Docker snapshots, custom series and data gaps."""

import time
from typing import Any

from flotilla.v1.agent_pb2 import BatchAck, MessageToServer
from flotilla.v1.docker_pb2 import DockerContainerInfo, DockerInfoBatch, DockerSnapshot
from flotilla.v1.metrics_pb2 import BatchHeader, DropReport, GenericMetric, GenericMetricsBatch
from services.ingest.store.series import SERIES_LIMIT
from tests.fixtures.metrics import metric
from tests.fixtures.scripted_agent import ScriptedAgent
from tests.fixtures.world import World

CONTAINER = "ab" * 32


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def header(agent: ScriptedAgent) -> BatchHeader:
    return agent.batch().header


async def test_a_container_and_its_figures_are_kept_and_its_end_is_noticed(world: World) -> None:
    agent = await world.enrolled(await world.user())
    await agent.connect()
    container = DockerContainerInfo(
        id=CONTAINER, names=["web"], image="nginx", state="running", cpu_usage_percent=12.5
    )
    for offset, containers in ((-2_000, [container]), (0, [])):
        batch = DockerInfoBatch(
            header=header(agent),
            snapshots=[DockerSnapshot(time_unix_ms=now_ms() + offset, containers=containers)],
        )
        await agent.send(MessageToServer(docker=batch))
        await agent.outcome(BatchAck.OUTCOME_DURABLE, batch.header.sequence)

    rows = await world.sql(
        "SELECT c.names, c.gone_at IS NOT NULL AS gone, m.cpu_usage FROM docker_containers c"
        " JOIN docker_metrics m ON m.container_db_id = c.id WHERE c.vps_id = %(id)s",
        id=agent.vps_id,
    )
    assert rows == [(["web"], True, 12.5)]


async def test_a_series_is_kept_once_however_often_it_comes(world: World) -> None:
    agent = await world.enrolled(await world.user())
    await agent.connect()
    metric = GenericMetric(time_unix_ms=now_ms(), name="queue.length", labels={"q": "a"}, value=7)
    for _ in range(2):
        batch = GenericMetricsBatch(header=header(agent), metrics=[metric])
        await agent.send(MessageToServer(generic=batch))
        await agent.outcome(BatchAck.OUTCOME_DURABLE, batch.header.sequence)

    rows = await world.sql(
        "SELECT count(*) AS n FROM generic_metrics m JOIN generic_series s ON s.id = m.series_id"
        " WHERE s.vps_id = %(id)s",
        id=agent.vps_id,
    )
    assert rows == [(1,)]


def counted(outcome: str) -> float:
    return metric("flotilla_writer_rows_total", kind="generic", outcome=outcome)


async def test_points_of_series_over_the_limit_are_counted_as_dropped(world: World) -> None:
    agent = await world.enrolled(await world.user())
    await agent.connect()
    time_ms = now_ms()
    before = {outcome: counted(outcome) for outcome in ("new", "known", "dropped")}
    names = [f"series_{number}" for number in range(SERIES_LIMIT + 3)]
    for _ in range(2):
        metrics = [GenericMetric(time_unix_ms=time_ms, name=name, value=1) for name in names]
        batch = GenericMetricsBatch(header=header(agent), metrics=metrics)
        await agent.send(MessageToServer(generic=batch))
        await agent.outcome(BatchAck.OUTCOME_DURABLE, batch.header.sequence)

    rows = await world.sql(
        "SELECT count(*) FROM generic_metrics m JOIN generic_series s ON s.id = m.series_id"
        " WHERE s.vps_id = %(id)s",
        id=agent.vps_id,
    )
    assert rows == [(SERIES_LIMIT,)]
    assert {outcome: counted(outcome) - was for outcome, was in before.items()} == {
        "new": SERIES_LIMIT,
        "known": SERIES_LIMIT,
        "dropped": 6,
    }


async def test_what_an_agent_gave_up_is_told_with_its_reason(world: World) -> None:
    user = await world.user()
    agent = await world.enrolled(user)
    await agent.connect()
    drop = DropReport(
        id=1,
        reason=DropReport.REASON_SPACE,
        kind=DropReport.KIND_PERFORMANCE,
        count=12,
        first_unix_ms=now_ms() - 60_000,
        last_unix_ms=now_ms() - 30_000,
    )
    await agent.outcome(BatchAck.OUTCOME_DURABLE, await agent.report(drops=[drop]))

    gaps: dict[str, Any] = (await user.get(f"/vps/{agent.vps_id}/gaps")).json()

    assert gaps["total"] == 1
    assert gaps["items"][0]["reason"] == "space"
    assert gaps["items"][0]["count"] == 12
