"""Batches that arrive together are published as one bundle."""

import asyncio
import os
from typing import Any

from nats.aio.msg import Msg

from flotilla.v1.agent_pb2 import BatchAck
from flotilla.v1.bus_pb2 import DurableNotice
from flotilla.v1.metrics_pb2 import PerformanceBundle, PerformanceSnapshotBatch
from services.cli import deadletters
from services.cli.tail import parts
from services.kit.bus.subjects import Durable, Stream
from tests.fixtures.scripted_agent import ScriptedAgent, now_ms, snapshot
from tests.fixtures.waiting import until
from tests.fixtures.world import World

TYPE = "Flotilla-Type"
AGENTS = 12


async def connected(world: World, count: int) -> list[ScriptedAgent]:
    user = await world.user()
    agents = [await world.enrolled(user) for _ in range(count)]
    for agent in agents:
        await agent.connect()
    return agents


async def test_batches_that_come_together_are_one_message_and_rows_of_each_server(
    world: World,
) -> None:
    agents = await connected(world, AGENTS)
    seen: list[Msg] = []
    async with world.nats.client("operator") as operator:

        async def take(message: Msg) -> None:
            seen.append(message)

        await operator.subscribe("flotilla.telemetry.edge.*.performance", cb=take)
        await operator.flush()
        for _ in range(5):
            sequences = await asyncio.gather(*(agent.report() for agent in agents))
            await asyncio.gather(
                *(
                    agent.outcome(BatchAck.OUTCOME_DURABLE, sequence)
                    for agent, sequence in zip(agents, sequences, strict=True)
                )
            )

    assert seen
    assert all(len(PerformanceBundle.FromString(message.data).batches) > 1 for message in seen)
    (headers,) = {frozenset(message.headers or {}) for message in seen}
    assert headers == {TYPE, "traceparent", "Nats-Msg-Id", "Flotilla-Edge"}
    for agent in agents:
        assert len(await world.rows(agent.vps_id)) == 5


async def test_a_batch_that_comes_alone_goes_on_its_servers_own_subject(world: World) -> None:
    (agent,) = await connected(world, 1)
    async with world.nats.client("operator") as operator:
        alone = await operator.subscribe(f"flotilla.telemetry.{agent.vps_id}.performance")
        await operator.flush()

        async def arrived() -> bool:
            # Agents of other tests may still report; then a batch may share their message.
            await agent.outcome(BatchAck.OUTCOME_DURABLE, await agent.report())
            return bool(alone.pending_msgs)

        await until(arrived)
        message = await alone.next_msg(timeout=5)
    assert (message.headers or {})[TYPE] == "flotilla.v1.PerformanceSnapshotBatch"


def batch(agent: ScriptedAgent, **fields: Any) -> PerformanceSnapshotBatch:
    return agent.batch(snapshot(**fields))


async def test_poison_in_a_bundle_is_set_aside_alone_and_its_agent_told(world: World) -> None:
    good, bad = await connected(world, 2)
    edge_id = os.urandom(4).hex()
    # Larger than a bigint of the database. A real edge would have refused it.
    poison = batch(bad, memory_total_bytes=1 << 63)
    earlier = good.batch(snapshot(now_ms() - 5_000))
    bundle = PerformanceBundle(batches=[earlier, poison, batch(good)])
    told: list[DurableNotice] = []
    async with world.nats.client("edge") as edge, world.nats.client("operator") as operator:

        async def take(message: Msg) -> None:
            told.append(DurableNotice.FromString(message.data))

        await operator.subscribe(f"flotilla.edge.{edge_id}.durable", cb=take)
        await operator.flush()
        await edge.jetstream().publish(
            f"flotilla.telemetry.edge.{edge_id}.performance",
            bundle.SerializeToString(),
            headers={TYPE: "flotilla.v1.PerformanceBundle", "Flotilla-Edge": edge_id},
        )
        await until(lambda: any(notice.refused for notice in told))

    assert len(await world.rows(good.vps_id)) == 2
    assert await world.rows(bad.vps_id) == []
    (refused,) = [refused for notice in told for refused in notice.refused]
    assert (refused.vps_id, refused.sequence) == (bad.vps_id, poison.header.sequence)

    async with world.nats.client("repair") as repair:
        letters = [entry async for entry in deadletters.entries(repair.jetstream(), after=0)]
    (letter,) = [entry for entry in letters if bad.vps_id in entry.origin]
    assert letter.origin == f"flotilla.telemetry.{bad.vps_id}.performance"
    assert PerformanceSnapshotBatch.FromString(letter.data) == poison


async def test_an_agent_is_told_when_its_batch_was_set_aside(world: World) -> None:
    (agent,) = await connected(world, 1)
    async with world.nats.client("operator") as operator:
        passing = await operator.subscribe(f"flotilla.telemetry.{agent.vps_id}.performance")
        await operator.flush()
        await agent.outcome(BatchAck.OUTCOME_DURABLE, await agent.report())
        edge_id = ((await passing.next_msg(timeout=5)).headers or {})["Flotilla-Edge"]
    poison = batch(agent, memory_total_bytes=1 << 63)
    async with world.nats.client("edge") as edge:
        await edge.jetstream().publish(
            f"flotilla.telemetry.{agent.vps_id}.performance",
            poison.SerializeToString(),
            headers={TYPE: "flotilla.v1.PerformanceSnapshotBatch", "Flotilla-Edge": edge_id},
        )
    ack = await agent.outcome(BatchAck.OUTCOME_REFUSED, poison.header.sequence)
    assert ack.reason == 'value "9223372036854775808" is out of range for type bigint'


async def test_a_bundle_nobody_can_read_is_set_aside(world: World) -> None:
    subject = "flotilla.telemetry.edge.broken.performance"
    async with world.nats.client("edge") as edge:
        await edge.jetstream().publish(subject, b"\xff")

    async def letters() -> Any:
        async with world.nats.client("repair") as repair:
            found = [entry async for entry in deadletters.entries(repair.jetstream(), after=0)]
        return [entry for entry in found if entry.origin == subject] or None

    (letter,) = await until(letters)
    assert letter.reason == "PoisonError: The payload is not a flotilla.v1.PerformanceBundle."


async def test_tail_shows_a_server_its_batches_of_bundles(world: World) -> None:
    one, two = await connected(world, 2)
    bundle = PerformanceBundle(batches=[batch(one), batch(two)])
    async with world.nats.client("edge") as edge, world.nats.client("operator") as operator:
        heard = await operator.subscribe("flotilla.telemetry.>")
        await operator.flush()
        subject = "flotilla.telemetry.edge.any.performance"
        await edge.jetstream().publish(subject, bundle.SerializeToString())
        message = await heard.next_msg(timeout=5)

    (part,) = parts(message, f"flotilla.telemetry.{one.vps_id}.>")
    assert part.subject == f"flotilla.telemetry.{one.vps_id}.performance"
    assert PerformanceSnapshotBatch.FromString(part.data) == bundle.batches[0]
    assert len(parts(message, "flotilla.telemetry.>")) == 2
    assert parts(message, "flotilla.telemetry.edge.>") == [message]


async def test_a_full_stream_has_agents_come_back_later_and_loses_nothing(
    own_world: World,
) -> None:
    own_world.start("edge")
    own_world.start("gateway")
    await own_world.ready("edge", "gateway")
    agents = await connected(own_world, 4)
    async with own_world.nats.client("provision") as client:
        jetstream = client.jetstream()
        config = (await jetstream.stream_info(Stream.TELEMETRY)).config
        await agents[0].outcome(BatchAck.OUTCOME_ACCEPTED, await agents[0].report())
        await jetstream.update_stream(config.evolve(max_msgs=1))
        sequences = await asyncio.gather(*(agent.report() for agent in agents))
        first = await asyncio.gather(*(_first_word(agent) for agent in agents))
        assert {ack.outcome for ack in first} == {BatchAck.OUTCOME_RETRY}
        assert all(2_500 <= ack.retry_after_ms <= 7_500 for ack in first)
        await jetstream.update_stream(config)

    own_world.start("writer")
    await own_world.ready("writer")
    for agent, sequence in zip(agents, sequences, strict=True):
        await agent.outcome(BatchAck.OUTCOME_DURABLE, await agent.report(sequence=sequence))
    await until(lambda: _all_written(own_world, len(agents)))
    async with own_world.nats.client("provision") as client:
        info = await client.jetstream().consumer_info(
            Stream.TELEMETRY, Durable.INGEST_WRITE_TELEMETRY
        )
    assert info.num_pending == 0


async def _first_word(agent: ScriptedAgent) -> BatchAck:
    return (await agent.receive("batch_ack")).batch_ack


async def _all_written(world: World, count: int) -> bool:
    return await world.sql("SELECT count(DISTINCT vps_id) FROM performance_metrics") == [(count,)]
