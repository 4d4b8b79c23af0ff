"""A batch is accepted, durable and acknowledged in this order, whatever is interrupted."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

import psycopg
import pytest
from nats.aio.msg import Msg
from nats.js import api

from flotilla.v1.agent_pb2 import BatchAck
from services.ingest.edge.timing import EdgeTiming
from services.kit.bus.consumer import ConsumerTiming
from services.kit.bus.subjects import Durable, Stream
from tests.fixtures.metrics import metric
from tests.fixtures.scripted_agent import ScriptedAgent, now_ms, snapshot
from tests.fixtures.waiting import until
from tests.fixtures.world import World


async def waiting(world: World, stream: Stream, durable: Durable) -> tuple[int, int]:
    """Return the numbers of undelivered messages, and of delivered but unacknowledged ones."""
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


def durables(agent: ScriptedAgent) -> list[int]:
    told: list[int] = []
    for message in agent.seen:
        told.extend(message.batch_ack.durable_sequences)
        if message.batch_ack.outcome == BatchAck.OUTCOME_DURABLE:
            told.extend(message.batch_ack.sequences)
    return told


async def test_accepted_means_that_the_stream_has_it(own_world: World) -> None:
    # There is no writer, because messages that it acknowledges leave the stream.
    own_world.start("edge")
    own_world.start("gateway")
    await own_world.ready("edge", "gateway")
    agent = await own_world.connected()
    sequence = await agent.report()
    await agent.outcome(BatchAck.OUTCOME_ACCEPTED, sequence)

    async with own_world.nats.client("provision") as client:
        kept = await client.jetstream().get_last_msg(
            Stream.TELEMETRY, f"flotilla.telemetry.{agent.vps_id}.performance"
        )
    assert (kept.headers or {})["Nats-Msg-Id"] == f"{agent.vps_id}.{agent.epoch}.{sequence}"


async def test_a_few_batches_are_acknowledged_with_one_message(
    own_world: World,
) -> None:
    own_world.start("edge", timing=EdgeTiming())
    own_world.start("gateway")
    await own_world.ready("edge", "gateway")
    agent = await own_world.connected()
    sequences = [await agent.report() for _ in range(3)]
    ack = await agent.outcome(BatchAck.OUTCOME_ACCEPTED, sequences[0])

    assert list(ack.sequences) == sequences


async def test_durable_is_said_and_the_stream_acknowledged_only_after_the_commit(
    own_world: World,
) -> None:
    await own_world.start_all()
    agent = await own_world.connected()
    async with locked_table(own_world):
        sequence = await agent.report()
        await agent.outcome(BatchAck.OUTCOME_ACCEPTED, sequence)

        async def in_hand() -> bool:
            return await waiting(own_world, Stream.TELEMETRY, Durable.INGEST_WRITE_TELEMETRY) == (
                0,
                1,
            )

        await until(in_hand)
        # The writer now waits for the locked table, so a report brings no durable acknowledgement.
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
    for name in ("edge", "gateway"):
        own_world.start(name)
    own_world.start("writer", timing=ConsumerTiming(drain_timeout=0.1))
    await own_world.ready("edge", "gateway", "writer")
    async with own_world.nats.client("provision") as client:
        jetstream = client.jetstream()
        durable = await jetstream.consumer_info(Stream.TELEMETRY, Durable.INGEST_WRITE_TELEMETRY)
        await jetstream.add_consumer(Stream.TELEMETRY, durable.config.evolve(ack_wait=2.0))
    acknowledge = Msg.ack
    reached, over = asyncio.Event(), asyncio.Event()

    agent = await own_world.connected()

    async def die(message: Msg) -> None:
        # Consumers of other worlds in this process continue.
        if message.subject != f"flotilla.telemetry.{agent.vps_id}.performance":
            return await acknowledge(message)
        reached.set()
        await over.wait()
        return None

    # Stop between the commit and the acknowledgement, as kill -9 may.
    monkeypatch.setattr(Msg, "ack", die)
    sequence = await agent.report()
    async with asyncio.timeout(10):
        await reached.wait()
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
    agent = await world.connected()
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
    agent = await world.connected()
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
    agent = await world.connected()
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
    assert found[subject].startswith(
        "PoisonError: The payload is not a flotilla.v1.PerformanceSnapshotBatch."
    )
    assert "has no handler" in found[unknown]
    assert (
        "not-an-id is not the id of a server" in found["flotilla.telemetry.not-an-id.performance"]
    )
    assert {letter.subject for letter in kept} == {"flotilla.dlq.TELEMETRY.ingest-write-telemetry"}
    assert await world.rows(agent.vps_id) == []


def postponed() -> float:
    return metric(
        "flotilla_consumer_messages_total",
        durable=Durable.INGEST_WRITE_TELEMETRY,
        outcome="postponed",
    )


async def test_an_unmigrated_database_postpones_and_loses_nothing(own_world: World) -> None:
    await own_world.start_all()
    agent = await own_world.connected()
    before = postponed()
    await own_world.sql("ALTER TABLE performance_metrics RENAME TO not_yet")
    sequence = await agent.report()
    await agent.outcome(BatchAck.OUTCOME_ACCEPTED, sequence)

    await until(lambda: postponed() > before)
    await own_world.sql("ALTER TABLE not_yet RENAME TO performance_metrics")
    await agent.outcome(BatchAck.OUTCOME_DURABLE, sequence)
