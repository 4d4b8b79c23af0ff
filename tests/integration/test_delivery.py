"""Accepted, durable, acknowledged: in that order, whatever goes away in between."""

import asyncio
import contextlib
import itertools
import os
from collections.abc import AsyncIterator
from typing import Any

import grpc
import psycopg
import pytest
import pytest_asyncio
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message
from nats.aio.msg import Msg
from nats.js import api
from nats.js.errors import NotFoundError
from prometheus_client import REGISTRY

from flotilla.v1.agent_pb2 import BatchAck, Heartbeat, MessageToServer
from flotilla.v1.bus_pb2 import DurableNotice
from flotilla.v1.event_pb2 import VpsConnected
from flotilla.v1.metrics_pb2 import PerformanceSnapshotBatch
from services.ingest import stream as intake_stream
from services.ingest.errors import Reason
from services.ingest.settings import WriterSettings
from services.kit import bus, consumer
from services.kit.errors import PoisonError, TransientError
from services.kit.subjects import Durable, Stream, User
from tests.fixtures.agent_script import ScriptedAgent, now_ms, snapshot
from tests.fixtures.waiting import until
from tests.fixtures.world import World


def decoded(message: Msg | api.RawStreamMsg) -> Message:
    headers = message.headers or {}
    kind = descriptor_pool.Default().FindMessageTypeByName(headers["Flotilla-Type"])
    assert message.data is not None
    return message_factory.GetMessageClass(kind).FromString(message.data)


async def waiting(world: World, stream: Stream, durable: Durable) -> tuple[int, int]:
    """Messages not yet delivered, and delivered but not acknowledged."""
    async with world.nats.client("operator") as operator:
        info = await operator.jetstream().consumer_info(stream, durable)
    return info.num_pending or 0, info.num_ack_pending or 0


@contextlib.asynccontextmanager
async def locked_table(world: World) -> AsyncIterator[None]:
    async with (
        await psycopg.AsyncConnection.connect(world.database_url) as connection,
        connection.transaction(),
    ):
        await connection.execute("LOCK TABLE performance_metrics IN ACCESS EXCLUSIVE MODE")
        yield


async def connected(world: World) -> ScriptedAgent:
    agent = await world.enrolled(await world.user())
    await agent.connect()
    return agent


def durables(agent: ScriptedAgent) -> list[int]:
    told: list[int] = []
    for message in agent.seen:
        told.extend(message.batch_ack.durable_sequences)
        if message.batch_ack.outcome == BatchAck.OUTCOME_DURABLE:
            told.extend(message.batch_ack.sequences)
    return told


async def test_accepted_means_that_the_stream_has_it(own_world: World) -> None:
    # No writer: what is read and acknowledged leaves the stream.
    own_world.start("edge")
    own_world.start("gateway")
    await own_world.ready("edge", "gateway")
    agent = await connected(own_world)
    sequence = await agent.report()
    await agent.outcome(BatchAck.OUTCOME_ACCEPTED, sequence)

    async with own_world.nats.client("provision") as client:
        kept = await client.jetstream().get_last_msg(
            Stream.TELEMETRY, f"flotilla.telemetry.{agent.vps_id}.performance"
        )
    assert (kept.headers or {})["Nats-Msg-Id"] == f"{agent.vps_id}.{agent.epoch}.{sequence}"


async def test_a_few_batches_are_acknowledged_with_one_message(
    own_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_stream, "ACCEPTED_AT_ONCE", 3)
    monkeypatch.setattr(intake_stream, "ACK_PATIENCE", 2.0)
    own_world.start("edge")
    own_world.start("gateway")
    await own_world.ready("edge", "gateway")
    agent = await connected(own_world)
    sequences = [await agent.report() for _ in range(4)]
    await agent.outcome(BatchAck.OUTCOME_ACCEPTED, sequences[3])

    acks = [seen.batch_ack for seen in agent.seen if seen.HasField("batch_ack")]
    # The fourth waits for others, and goes alone when none come.
    assert [list(ack.sequences) for ack in acks] == [sequences[:3], sequences[3:]]


async def test_durable_is_said_and_the_stream_acknowledged_only_after_the_commit(
    own_world: World,
) -> None:
    await own_world.start_all()
    agent = await connected(own_world)
    async with locked_table(own_world):
        sequence = await agent.report()
        await agent.outcome(BatchAck.OUTCOME_ACCEPTED, sequence)

        async def in_hand() -> bool:
            return await waiting(own_world, Stream.TELEMETRY, Durable.INGEST_WRITE_TELEMETRY) == (
                0,
                1,
            )

        await until(in_hand)
        # The writer is now at the locked table: a round through edge and back brings no durable.
        second = await agent.report()
        await agent.outcome(BatchAck.OUTCOME_ACCEPTED, second)
        assert durables(agent) == []
        _, unacknowledged = await waiting(
            own_world, Stream.TELEMETRY, Durable.INGEST_WRITE_TELEMETRY
        )
        assert unacknowledged >= 1

    await agent.outcome(BatchAck.OUTCOME_DURABLE, sequence)
    assert len(await own_world.rows(agent.vps_id)) >= 1


async def test_what_a_killed_writer_had_in_hand_is_written_once_by_the_next(
    own_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await own_world.start_all()
    async with own_world.nats.client("provision") as client:
        jetstream = client.jetstream()
        durable = await jetstream.consumer_info(Stream.TELEMETRY, Durable.INGEST_WRITE_TELEMETRY)
        await jetstream.add_consumer(Stream.TELEMETRY, durable.config.evolve(ack_wait=2.0))
    acknowledge = Msg.ack
    reached, over = asyncio.Event(), asyncio.Event()

    agent = await connected(own_world)

    async def die(message: Msg) -> None:
        # Other worlds' consumers, in this process too, live on.
        if message.subject != f"flotilla.telemetry.{agent.vps_id}.performance":
            return await acknowledge(message)
        reached.set()
        await over.wait()
        return None

    # Between the commit and the acknowledgement, as kill -9 would.
    monkeypatch.setattr(Msg, "ack", die)
    sequence = await agent.report()
    async with asyncio.timeout(10):
        await reached.wait()
    monkeypatch.setattr(consumer, "HANDLE_TIMEOUT", 0.1)
    await own_world.stop("writer")
    monkeypatch.undo()
    assert len(await own_world.rows(agent.vps_id)) == 1

    own_world.start("writer")
    await own_world.ready("writer")

    async def acknowledged() -> bool:
        return await waiting(own_world, Stream.TELEMETRY, Durable.INGEST_WRITE_TELEMETRY) == (0, 0)

    await until(acknowledged)
    assert len(await own_world.rows(agent.vps_id)) == 1
    await agent.outcome(BatchAck.OUTCOME_DURABLE, sequence)
    over.set()


async def test_the_same_batch_beyond_deduplication_makes_its_rows_once(world: World) -> None:
    agent = await connected(world)
    batch = agent.batch(snapshot(now_ms() - 2000), snapshot())
    subject = f"flotilla.telemetry.{agent.vps_id}.performance"
    headers = {"Flotilla-Type": "flotilla.v1.PerformanceSnapshotBatch"}
    async with world.nats.client("edge") as edge:
        for attempt in range(3):
            await edge.jetstream().publish(
                subject,
                batch.SerializeToString(),
                headers=headers | {"Nats-Msg-Id": f"{agent.vps_id}.again.{attempt}"},
            )

    async def acknowledged() -> bool:
        return await waiting(world, Stream.TELEMETRY, Durable.INGEST_WRITE_TELEMETRY) == (0, 0)

    await until(acknowledged)
    assert len(await world.rows(agent.vps_id)) == 2


async def test_a_batch_sent_twice_is_stored_once_and_accepted_twice(world: World) -> None:
    agent = await connected(world)
    batch = agent.batch()
    raw = b"\x12" + _length(batch.ByteSize()) + batch.SerializeToString()
    for _ in range(2):
        await agent.send_raw(raw)
        await agent.outcome(BatchAck.OUTCOME_ACCEPTED, batch.header.sequence)

    await until(lambda: _has_rows(world, agent.vps_id))
    assert len(await world.rows(agent.vps_id)) == 1


def _length(size: int) -> bytes:
    """A protobuf varint."""
    out = b""
    while size > 127:
        out += bytes([size & 127 | 128])
        size >>= 7
    return out + bytes([size])


async def _has_rows(world: World, vps_id: str) -> bool:
    return bool(await world.rows(vps_id))


async def test_poison_is_set_aside_with_its_reason_and_others_are_written(world: World) -> None:
    agent = await connected(world)
    user = await world.user()
    other = await world.enrolled(user)
    await other.connect()
    subject = f"flotilla.telemetry.{agent.vps_id}.performance"
    unknown = f"flotilla.telemetry.{agent.vps_id}.weather"
    async with world.nats.client("edge") as edge:
        jetstream = edge.jetstream()
        await jetstream.publish(
            subject, b"\xff\xff\xff", headers={"Nats-Msg-Id": os.urandom(8).hex()}
        )
        await jetstream.publish(unknown, b"")
        await jetstream.publish("flotilla.telemetry.not-an-id.performance", b"")
        sequence = await other.report()
    await other.outcome(BatchAck.OUTCOME_DURABLE, sequence)

    async def letters() -> list[api.RawStreamMsg] | None:
        async with world.nats.client("provision") as client:
            jetstream = client.jetstream()
            state = (await jetstream.stream_info(Stream.DEADLETTERS)).state
            kept = [
                await jetstream.get_msg(Stream.DEADLETTERS, number)
                for number in range(state.first_seq, state.last_seq + 1)
            ]
        return kept if len(kept) >= 3 else None

    kept = await until(letters) or []
    found = {
        (letter.headers or {})["Flotilla-Subject"]: (letter.headers or {})["Flotilla-Reason"]
        for letter in kept
    }
    assert found[subject].startswith("PoisonError: not a flotilla.v1.PerformanceSnapshotBatch")
    assert "nothing is known to do with" in found[unknown]
    assert "not-an-id is not a server's id" in found["flotilla.telemetry.not-an-id.performance"]
    assert {letter.subject for letter in kept} == {"flotilla.dlq.TELEMETRY.ingest-write-telemetry"}
    assert await world.rows(agent.vps_id) == []


@pytest_asyncio.fixture(loop_scope="session")
async def attempts(own_world: World) -> AsyncIterator[Any]:
    """Runs a consumer whose `handle` is given; counts how often it was called."""
    tasks = []
    async with contextlib.AsyncExitStack() as stack:
        settings = own_world.settings(WriterSettings)
        connection = await stack.enter_async_context(
            bus.connect(settings, User.WRITER, settings.nats_writer_password, name="test")
        )

        def run(handle: consumer.Handle) -> None:
            tasks.append(
                asyncio.create_task(
                    consumer.Consumer(
                        connection,
                        Stream.TELEMETRY,
                        Durable.INGEST_WRITE_TELEMETRY,
                        handle,
                        batch=10,
                    ).run()
                )
            )

        yield run
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _store(world: World, count: int) -> None:
    async with world.nats.client("edge") as edge:
        for number in range(count):
            await edge.jetstream().publish(f"flotilla.telemetry.x{number}.performance", b"")


async def test_what_fails_for_now_is_tried_again_later_and_not_in_a_hot_loop(
    own_world: World, attempts: Any
) -> None:
    calls: list[float] = []
    clock = asyncio.get_running_loop().time
    done = asyncio.Event()

    async def handle(_messages: Any) -> None:
        calls.append(clock())
        if len(calls) < 3:
            raise TransientError("the database is away")
        done.set()

    attempts(handle)
    await _store(own_world, 1)
    async with asyncio.timeout(15):
        await done.wait()

    gaps = [b - a for a, b in itertools.pairwise(calls)]
    assert gaps[0] >= 0.9
    assert gaps[1] >= 1.8


async def test_one_poisoned_message_does_not_take_its_batch_with_it(
    own_world: World, attempts: Any
) -> None:
    handled: list[str] = []

    async def handle(messages: Any) -> None:
        if any(message.subject.endswith("x3.performance") for message in messages):
            raise PoisonError("bad")
        handled.extend(message.subject for message in messages)

    await _store(own_world, 6)
    attempts(handle)

    await until(lambda: len(handled) == 5)
    assert len(set(handled)) == 5
    async with own_world.nats.client("provision") as client:

        async def aside() -> bool:
            return (await client.jetstream().stream_info(Stream.DEADLETTERS)).state.messages == 1

        await until(aside)


async def test_a_bug_in_the_handler_is_set_aside_too_and_the_consumer_goes_on(
    own_world: World, attempts: Any
) -> None:
    handled: list[str] = []

    async def handle(messages: Any) -> None:
        for message in messages:
            if message.subject.endswith("x0.performance"):
                raise ZeroDivisionError
            handled.append(message.subject)

    attempts(handle)
    await _store(own_world, 2)
    await until(lambda: handled)


async def test_an_unmigrated_database_postpones_and_loses_nothing(own_world: World) -> None:
    await own_world.start_all()
    agent = await connected(own_world)
    await own_world.sql("ALTER TABLE performance_metrics RENAME TO not_yet")
    sequence = await agent.report()
    await agent.outcome(BatchAck.OUTCOME_ACCEPTED, sequence)

    def postponed() -> bool:
        labels = {"durable": Durable.INGEST_WRITE_TELEMETRY.value, "outcome": "postponed"}
        return (REGISTRY.get_sample_value("flotilla_consumer_messages_total", labels) or 0) > before

    before = 0.0
    await until(postponed)
    await own_world.sql("ALTER TABLE not_yet RENAME TO performance_metrics")
    await agent.outcome(BatchAck.OUTCOME_DURABLE, sequence)


async def test_every_message_of_every_stream_is_what_its_header_names(own_world: World) -> None:
    await own_world.start_all()
    user = await own_world.user()
    agent = await own_world.enrolled(user)
    async with own_world.nats.client("operator") as operator:
        notice = await operator.subscribe("flotilla.edge.*.durable")
        reports = await operator.subscribe("flotilla.telemetry.>")
        await operator.flush()
        await agent.connect()
        await agent.outcome(BatchAck.OUTCOME_DURABLE, await agent.report())
        durable = await notice.next_msg(timeout=10)
        report = await reports.next_msg(timeout=10)
    assert isinstance(decoded(report), PerformanceSnapshotBatch)
    assert "traceparent" in (report.headers or {})
    assert isinstance(decoded(durable), DurableNotice)
    assert "traceparent" in (durable.headers or {})
    await agent.leave()

    seen = set()
    async with own_world.nats.client("provision") as client:
        jetstream = client.jetstream()

        async def events() -> bool:
            return (await jetstream.stream_info(Stream.EVENTS)).state.messages == 5

        await until(
            events, otherwise="log-in, creation, enrolled, connected, disconnected were not told"
        )
        for stream in [*Stream, "KV_agents", "KV_presence", "KV_edges"]:
            state = (await jetstream.stream_info(stream)).state
            for number in range(max(state.first_seq, 1), state.last_seq + 1):
                try:
                    message = await jetstream.get_msg(stream, number)
                except NotFoundError:
                    continue  # a bucket keeps the last of a key
                seen.add(type(decoded(message)).DESCRIPTOR.name)
                assert "traceparent" in (message.headers or {})
    # Telemetry leaves its stream once it was written.
    assert seen - {"PerformanceSnapshotBatch"} == {
        "AuditRecorded",
        "VpsEnrolled",
        "VpsConnected",
        "VpsDisconnected",
        "AgentRecord",
        "Presence",
        "EdgeBeat",
    }


async def test_an_agent_that_does_not_read_is_let_go(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.ingest.stream.OUTBOUND_LIMIT", 4)
    agent = await connected(world)
    with contextlib.suppress(grpc.aio.AioRpcError):
        for number in range(50_000):
            await agent.send(MessageToServer(heartbeat=Heartbeat(number=number)))

    def let_go() -> bool:
        labels = {"reason": Reason.SLOW.value}
        return bool(REGISTRY.get_sample_value("flotilla_edge_refusals_total", labels))

    await until(let_go)


async def test_the_edge_is_full_at_its_limit_and_says_come_back(own_world: World) -> None:
    own_world.start("gateway")
    own_world.start("edge", edge_max_streams=1)
    await own_world.ready("gateway", "edge")
    first = await connected(own_world)
    second = await own_world.enrolled(await own_world.user())
    with pytest.raises(Exception, match="RESOURCE_EXHAUSTED"):
        await second.connect()
    assert first.vps_id != second.vps_id


async def test_presence_and_facts_travel_as_an_event(world: World) -> None:
    async with world.nats.client("operator") as operator:
        told = await operator.subscribe("flotilla.event.vps.*.connected")
        await operator.flush()
        agent = await connected(world)
        event = decoded(await told.next_msg(timeout=10))
    assert isinstance(event, VpsConnected)
    assert (event.vps_id, event.facts.hostname, event.peer) == (
        agent.vps_id,
        "scripted",
        "127.0.0.1",
    )
