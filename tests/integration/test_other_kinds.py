"""Docker, user-supplied series, gaps, dead letters, and keys that two hosts share."""

import time
from typing import Any

import grpc
import pytest
from prometheus_client import REGISTRY

from flotilla.v1.agent_pb2 import BatchAck, MessageToServer
from flotilla.v1.docker_pb2 import DockerContainerInfo, DockerInfoBatch, DockerSnapshot
from flotilla.v1.event_pb2 import VpsContested
from flotilla.v1.metrics_pb2 import BatchHeader, DropReport, GenericMetric, GenericMetricsBatch
from services.cli import deadletters
from services.ingest.store.series import SERIES_LIMIT
from services.kit.subjects import Stream
from tests.fixtures.agent_script import ScriptedAgent
from tests.fixtures.waiting import until
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
    labels = {"kind": "generic", "outcome": outcome}
    return REGISTRY.get_sample_value("flotilla_writer_rows_total", labels) or 0


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


async def test_two_hosts_that_fight_over_a_key_raise_an_event(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await world.enrolled(await world.user())
    honest = agent.handshake
    boots = iter(range(100))

    def from_another_host(**changes: Any) -> Any:
        made = honest(**changes)
        made.facts.boot_id = f"boot-{next(boots)}"
        return made

    monkeypatch.setattr(agent, "handshake", from_another_host)
    seen: list[VpsContested] = []
    async with world.nats.client("operator") as operator:

        async def take(message: Any) -> None:
            seen.append(VpsContested.FromString(message.data))

        await operator.subscribe(f"flotilla.event.vps.{agent.vps_id}.contested", cb=take)
        await operator.flush()
        for _ in range(6):
            await agent.connect()
        await until(lambda: bool(seen))
    assert seen[0].takeovers == 5


async def test_when_too_many_connect_at_once_the_rest_are_told_to_come_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await world.enrolled(await world.user())
    monkeypatch.setattr("services.ingest.edge.HANDSHAKES_WAITING", 0)
    with pytest.raises(grpc.aio.AioRpcError, match="come back"):
        await agent.connect()


async def test_a_dead_letter_is_sent_again_and_dropped(world: World) -> None:
    async with world.nats.client("edge") as edge:
        await edge.jetstream().publish("flotilla.telemetry.nobody.performance", b"\xff")

    async with world.nats.client("repair") as repair:
        jetstream = repair.jetstream()

        async def letters() -> Any:
            found = [entry async for entry in deadletters.entries(jetstream, after=0)]
            return [entry for entry in found if ".nobody." in entry.origin] or None

        (first,) = await until(letters)
        await deadletters.replay(jetstream, first)
        (again,) = await until(letters)
        assert again.sequence > first.sequence
        assert "nobody is not a server's id" in again.reason
        await jetstream.delete_msg(Stream.DEADLETTERS, again.sequence)
        with pytest.raises(deadletters.NoSuchEntryError):
            await deadletters.one(jetstream, again.sequence)
