"""A durable consumer: acknowledgements, repeats, dead messages and stalls."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_asyncio
from nats.aio.msg import Msg
from nats.js.client import JetStreamContext

from flotilla.v1.agent_pb2 import BatchAck
from services.cli import deadletters
from services.ingest.settings import WriterSettings
from services.kit.bus import connection as bus
from services.kit.bus import subjects
from services.kit.bus.consumer import Consumer, ConsumerTiming, Handle
from services.kit.bus.subjects import Durable, Stream, User
from services.kit.errors import PoisonError, TransientError
from tests.fixtures.metrics import metric
from tests.fixtures.waiting import until
from tests.fixtures.world import World


async def test_a_consumer_the_server_forgot_binds_anew_and_goes_on(
    own_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    before = metric("flotilla_consumer_stalls_total", durable=durable)
    async with bus.connect(
        settings, User.WRITER, settings.nats_writer_password, name="test"
    ) as connection:
        work = asyncio.create_task(
            Consumer(
                connection,
                Stream.TELEMETRY,
                durable,
                handle,
                batch=10,
                timing=ConsumerTiming(idle_wait=0.5, stall_after=0.5),
            ).run()
        )
        try:
            await until(lambda: bool(bound))
            # The server drops the inbox, but the client does not notice.
            await connection.client._send_unsubscribe(bound[0]._sub._id)
            subject = subjects.performance("somebody")
            async with own_world.nats.client("edge") as edge:
                await edge.jetstream().publish(subject, b"")
            await until(lambda: handled == [subject], seconds=15)
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
    after = metric("flotilla_consumer_stalls_total", durable=durable)
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
    # A writer fetches it and stops without an answer.
    async with own_world.nats.client("writer") as writer:
        taken = await writer.jetstream().pull_subscribe_bind(
            durable=Durable.INGEST_WRITE_TELEMETRY, stream=Stream.TELEMETRY
        )
        assert len(await taken.fetch(1, timeout=5)) == 1

        async with own_world.nats.client("repair") as repair:
            jetstream = repair.jetstream()

            async def entries() -> Any:
                # Another fetch makes the server check messages that reached the delivery limit.
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


@pytest_asyncio.fixture(loop_scope="session")
async def attempts(own_world: World) -> AsyncIterator[Any]:
    """Runs a consumer whose `handle` is given; counts how often it was called."""
    tasks = []
    async with contextlib.AsyncExitStack() as stack:
        settings = own_world.settings(WriterSettings)
        connection = await stack.enter_async_context(
            bus.connect(settings, User.WRITER, settings.nats_writer_password, name="test")
        )

        def run(handle: Handle) -> None:
            tasks.append(
                asyncio.create_task(
                    Consumer(
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
