"""Two edges, a consumer the server forgot, a message nobody could handle: what goes on by itself."""

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc
import pytest
from nats.aio.msg import Msg
from nats.js.client import JetStreamContext
from prometheus_client import REGISTRY

from flotilla.v1.agent_pb2 import BatchAck
from flotilla.v1.bus_pb2 import BatchesDurable, DurableNotice, Presence
from services.cli import deadletters
from services.ingest.settings import WriterSettings
from services.kit import bus, consumer, subjects
from services.kit.subjects import Durable, Stream, User
from tests.fixtures.agent_script import ScriptedAgent
from tests.fixtures.stack import free_port
from tests.fixtures.waiting import until
from tests.fixtures.world import World


async def on_two_edges(world: World) -> tuple[ScriptedAgent, ScriptedAgent]:
    """One agent's stream on the first edge, and the same agent about to open one on the second."""
    await world.start_all()
    port = free_port()
    world.start("edge", run_as="edge-2", grpc_port=port)
    agent = await world.enrolled(await world.user())
    again = ScriptedAgent(f"127.0.0.1:{port}", (world.certificates / "ca.pem").read_bytes())
    again.key, again.vps_id, again.epoch = agent.key, agent.vps_id, agent.epoch
    return agent, again


async def test_the_newest_stream_wins_on_whichever_edge_it_is(own_world: World) -> None:
    agent, again = await on_two_edges(own_world)
    try:
        await agent.connect()
        await again.connect()

        status, detail = await agent.ended()
        assert status is grpc.StatusCode.ABORTED
        assert "newer stream" in detail
        sequence = await again.report()
        await again.outcome(BatchAck.OUTCOME_DURABLE, sequence)
        async with own_world.nats.client("gateway") as client:
            bucket = await client.jetstream().key_value("presence")
            entry = await bucket.get(agent.vps_id)
        presence = Presence.FromString(entry.value or b"")
        assert presence.connected, "the first edge's goodbye must not undo the second's word"
    finally:
        await again.close()


async def test_the_word_durable_follows_an_agent_to_its_new_edge(own_world: World) -> None:
    agent, again = await on_two_edges(own_world)
    try:
        async with own_world.nats.client("operator") as operator:
            notices = await operator.subscribe("flotilla.edge.*.durable")
            await operator.flush()
            await agent.connect()
            await agent.outcome(BatchAck.OUTCOME_DURABLE, await agent.report())
            first_edge = (await notices.next_msg(10)).subject
        await again.connect()
        await agent.ended()

        # As the writer says it when it committed only now.
        batches = BatchesDurable(vps_id=agent.vps_id, epoch=agent.epoch, sequences=[77])
        async with own_world.nats.client("writer") as writer:
            await writer.publish(
                first_edge,
                DurableNotice(batches=[batches]).SerializeToString(),
                headers={bus.TYPE_HEADER: DurableNotice.DESCRIPTOR.full_name},
            )
        await again.outcome(BatchAck.OUTCOME_DURABLE, 77)
    finally:
        await again.close()


async def test_a_consumer_the_server_forgot_binds_anew_and_goes_on(
    own_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "STALL_AFTER", 0.5)
    monkeypatch.setattr(consumer, "IDLE_WAIT", 0.5)
    bound: list[JetStreamContext.PullSubscription] = []
    bind = JetStreamContext.pull_subscribe_bind

    async def remember(self: JetStreamContext, **options: Any) -> Any:
        bound.append(await bind(self, **options))
        return bound[-1]

    monkeypatch.setattr(JetStreamContext, "pull_subscribe_bind", remember)
    handled: list[str] = []

    async def handle(messages: Sequence[Msg]) -> None:
        handled.extend(message.subject for message in messages)

    settings = own_world.settings(WriterSettings)
    durable = Durable.INGEST_WRITE_TELEMETRY
    before = REGISTRY.get_sample_value("flotilla_consumer_stalls_total", {"durable": durable}) or 0
    async with bus.connect(
        settings, User.WRITER, settings.nats_writer_password, name="test"
    ) as connection:
        work = asyncio.create_task(
            consumer.Consumer(connection, Stream.TELEMETRY, durable, handle, batch=10).run()
        )
        try:
            await until(lambda: bool(bound))
            # The server drops the inbox; the client does not know.
            await connection.client._send_unsubscribe(bound[0]._sub._id)
            subject = subjects.performance("somebody")
            async with own_world.nats.client("edge") as edge:
                await edge.jetstream().publish(subject, b"")
            await until(lambda: handled == [subject], seconds=15)
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
    after = REGISTRY.get_sample_value("flotilla_consumer_stalls_total", {"durable": durable}) or 0
    assert after == before + 1


async def test_a_message_delivered_as_often_as_allowed_is_listed_and_can_be_sent_again(
    own_world: World,
) -> None:
    async with own_world.nats.client("provision") as client:
        jetstream = client.jetstream()
        info = await jetstream.consumer_info(Stream.TELEMETRY, Durable.INGEST_WRITE_TELEMETRY)
        await jetstream.add_consumer(
            Stream.TELEMETRY, info.config.evolve(ack_wait=0.5, max_deliver=1, backoff=None)
        )
    own_world.start("edge")
    own_world.start("gateway")
    await own_world.ready("edge", "gateway")
    agent = await own_world.enrolled(await own_world.user())
    await agent.connect()
    sequence = await agent.report()
    await agent.outcome(BatchAck.OUTCOME_ACCEPTED, sequence)
    # A writer that takes it, and dies without a word.
    async with own_world.nats.client("writer") as writer:
        taken = await writer.jetstream().pull_subscribe_bind(
            durable=Durable.INGEST_WRITE_TELEMETRY, stream=Stream.TELEMETRY
        )
        assert len(await taken.fetch(1, timeout=5)) == 1

        async with own_world.nats.client("repair") as repair:
            jetstream = repair.jetstream()

            async def entries() -> Any:
                # Another fetch makes the server look at what it may not deliver again.
                with pytest.raises(TimeoutError):
                    await taken.fetch(1, timeout=0.3)
                return [entry async for entry in deadletters.entries(jetstream, after=0)] or None

            (entry,) = await until(entries)
            assert entry.origin == subjects.performance(agent.vps_id)
            assert "delivered 1 times" in entry.reason
            await deadletters.replay(jetstream, entry)

    own_world.start("writer")
    await agent.outcome(BatchAck.OUTCOME_DURABLE, sequence)
    assert len(await own_world.rows(agent.vps_id)) == 1
