import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agent.base.cancellation import cancel
from agent.terminal.session import (
    COLLECT_TIME,
    MAX_FRAME,
    MAX_INPUT,
    MAX_INPUT_FRAME,
    MIN_WINDOW,
    TRANSIT_TIME,
    TerminalSession,
)
from flotilla.v1.command_pb2 import PtyAction, PtyDataToServer, PtyInput, PtyResize
from tests.fixtures.agent.fake_channel import FakeChannel
from tests.fixtures.virtual_time import in_virtual_time

WINDOW = 64 * 1024
LEASE = 60.0  # seconds


class Owner:
    """A running session, its channel, and the messages that its owner has received."""

    def __init__(self, **changes: Any) -> None:
        fields = {"session_id": "s", "window_bytes": WINDOW, "lease_ms": int(LEASE * 1000)}
        action = PtyAction(**{**fields, "columns": 80, "rows": 24, **changes})
        self.channel = FakeChannel()
        self.session = TerminalSession(action, self.channel, b"digest", lambda: None)
        self.running = asyncio.ensure_future(self.session.run())

    async def settle(self, seconds: float = 0.001) -> None:
        """Let the tasks of the session work until this much virtual time has passed."""
        await asyncio.sleep(seconds)

    def receive(self) -> list[PtyDataToServer]:
        """Return all messages that are due now."""
        now = asyncio.get_running_loop().time()
        messages = []
        while message := self.session.next_message(now):
            messages.append(message)
        return messages

    async def output(self) -> bytes:
        await self.settle(COLLECT_TIME * 2)
        return b"".join(message.output.data for message in self.receive())


@contextlib.asynccontextmanager
async def started(**changes: Any) -> AsyncIterator[Owner]:
    owner = Owner(**changes)
    await owner.settle()
    assert kinds(owner.receive()) == ["started", "acknowledge"]
    yield owner
    await cancel(owner.running)


def kinds(messages: list[PtyDataToServer]) -> list[str]:
    return [str(message.WhichOneof("event")) for message in messages]


@in_virtual_time
async def test_a_channel_is_not_read_beyond_the_window() -> None:
    async with started() as owner:
        owner.channel.print(bytes(3 * WINDOW))

        assert len(await owner.output()) == WINDOW
        await owner.settle(10)
        assert owner.channel.read_bytes == WINDOW
        owner.session.acknowledge(100)
        assert len(await owner.output()) == 100


@in_virtual_time
async def test_a_window_has_a_least_size() -> None:
    async with started(window_bytes=1) as owner:
        owner.channel.print(bytes(WINDOW))

        assert len(await owner.output()) == MIN_WINDOW


@in_virtual_time
async def test_output_after_a_pause_is_sent_at_once_and_more_is_collected() -> None:
    async with started() as owner:
        await owner.settle(1)
        owner.channel.print(b"a")
        await owner.settle(COLLECT_TIME / 10)
        assert [message.output.data for message in owner.receive()] == [b"a"]

        for letter in (b"b", b"c", b"d"):
            owner.channel.print(letter)
            await owner.settle(COLLECT_TIME / 10)
            assert owner.receive() == []
        await owner.settle(COLLECT_TIME)
        assert [message.output.data for message in owner.receive()] == [b"bcd"]


@in_virtual_time
async def test_a_full_frame_is_sent_without_delay_and_no_frame_is_larger() -> None:
    async with started() as owner:
        owner.channel.print(bytes(2 * MAX_FRAME + 1))
        await owner.settle(COLLECT_TIME * 2)

        sizes = [len(message.output.data) for message in owner.receive()]
        assert sizes == [MAX_FRAME, MAX_FRAME]
        await owner.settle(COLLECT_TIME)
        assert len(await owner.output()) == 1


@in_virtual_time
async def test_on_a_new_stream_nothing_is_sent_before_the_owner_has_spoken() -> None:
    async with started() as owner:
        owner.channel.print(b"abc")
        assert await owner.output() == b"abc"
        owner.session.acknowledge(1)

        owner.session.stream_opened()
        assert await owner.output() == b""
        assert owner.session.is_drained

        owner.session.owner_seen()
        messages = owner.receive()
        assert kinds(messages) == ["started", "acknowledge", "output"]
        assert (messages[2].output.offset, messages[2].output.data) == (1, b"bc")


@in_virtual_time
async def test_a_repeated_acknowledgement_resends_output_that_is_not_on_its_way_any_more() -> None:
    async with started() as owner:
        owner.channel.print(b"abc")
        assert await owner.output() == b"abc"
        owner.session.acknowledge(1)
        assert await owner.output() == b""

        await owner.settle(TRANSIT_TIME)
        owner.session.acknowledge(1)
        assert await owner.output() == b"bc"


@in_virtual_time
async def test_an_acknowledgement_of_output_that_does_not_exist_is_ignored() -> None:
    async with started() as owner:
        owner.channel.print(b"abc")
        assert await owner.output() == b"abc"

        owner.session.acknowledge(4)

        owner.session.stream_opened()
        owner.session.owner_seen()
        assert await owner.output() == b"abc"


@in_virtual_time
async def test_input_is_accepted_once_in_order_and_acknowledged_when_the_program_has_read_it() -> (
    None
):
    async with started() as owner:
        assert owner.session.accepts(PtyInput(offset=0, data=b"ab"))
        owner.session.add_input(b"ab")
        for offset in (0, 1, 3):
            assert not owner.session.accepts(PtyInput(offset=offset, data=b"x"))
        await owner.settle()

        assert [message.acknowledge.offset for message in owner.receive()] == [2]
        assert owner.channel.input == b"ab"


@pytest.mark.parametrize(
    ("typed", "accepted"),
    [
        (PtyInput(data=b""), False),
        (PtyInput(data=bytes(MAX_INPUT_FRAME)), True),
        (PtyInput(data=bytes(MAX_INPUT_FRAME + 1)), False),
    ],
)
def test_the_size_of_one_input_is_bounded(typed: PtyInput, accepted: bool) -> None:  # the outcome
    @in_virtual_time
    async def check() -> None:
        async with started() as owner:
            assert owner.session.accepts(typed) == accepted

    check()


@in_virtual_time
async def test_input_that_the_program_does_not_read_is_bounded() -> None:
    async with started() as owner:
        owner.channel.accepts_input.clear()
        frame = bytes(MAX_INPUT_FRAME)
        for number in range(MAX_INPUT // MAX_INPUT_FRAME):
            assert owner.session.accepts(PtyInput(offset=number * MAX_INPUT_FRAME, data=frame))
            owner.session.add_input(frame)

        assert not owner.session.accepts(PtyInput(offset=MAX_INPUT, data=b"x"))
        owner.channel.accepts_input.set()
        await owner.settle()
        assert owner.session.accepts(PtyInput(offset=MAX_INPUT, data=b"x"))


@in_virtual_time
async def test_a_log_accepts_no_input() -> None:
    async with started(kind=PtyAction.KIND_CONTAINER_LOGS) as owner:
        assert not owner.session.accepts(PtyInput(offset=0, data=b"x"))


@in_virtual_time
async def test_valid_sizes_reach_the_channel_and_others_do_not() -> None:
    async with started() as owner:
        for columns, rows in ((0, 0), (65535, 65535), (1001, 24), (80, 501), (0, 24), (80, 0)):
            owner.session.resize(PtyResize(columns=columns, rows=rows))
            await owner.settle()
            assert owner.channel.size == (0, 0)

        owner.session.resize(PtyResize(columns=1000, rows=500))
        await owner.settle()
        assert owner.channel.size == (1000, 500)


@in_virtual_time
async def test_the_exit_is_sent_after_all_output_and_again_with_each_acknowledgement() -> None:
    async with started() as owner:
        owner.channel.print(b"last words")
        owner.channel.exit(7)
        await owner.settle()

        messages = owner.receive()
        assert kinds(messages) == ["output", "exit"]
        assert (messages[1].exit.exit_code, messages[1].exit.offset) == (7, len(b"last words"))
        owner.session.acknowledge(3)
        assert kinds(owner.receive()) == ["exit"]
        owner.session.stream_opened()
        owner.session.owner_seen()
        assert kinds(owner.receive()) == ["started", "acknowledge", "output", "exit"]


@in_virtual_time
async def test_the_session_is_over_once_its_owner_closes_it_after_its_exit() -> None:
    async with started() as owner:
        owner.channel.exit(0)
        await owner.settle()
        assert not owner.running.done()

        owner.session.end("closed")
        await owner.settle()
        assert owner.running.done()


@in_virtual_time
async def test_a_closed_session_reports_the_reason() -> None:
    async with started() as owner:
        owner.session.end("closed")
        await owner.settle()

        (message,) = owner.receive()
        assert (message.exit.exit_code, message.exit.reason) == (-1, "closed")


@in_virtual_time
async def test_each_acknowledgement_and_input_renews_the_lease() -> None:
    async with started() as owner:
        await owner.settle(LEASE * 0.9)
        owner.session.acknowledge(0)
        await owner.settle(LEASE * 0.9)
        owner.session.add_input(b"x")
        await owner.settle(LEASE * 0.9)
        assert owner.session.exit is None

        await owner.settle(LEASE * 0.2)
        assert owner.session.exit
        assert owner.session.exit.reason == "the console did not answer for 60 s"


@in_virtual_time
async def test_an_ended_session_is_forgotten_when_its_lease_expires() -> None:
    async with started() as owner:
        owner.channel.exit(0)
        await owner.settle(LEASE - 1)
        assert not owner.running.done()

        await owner.settle(2)
        assert owner.running.done()


@in_virtual_time
async def test_a_channel_that_fails_ends_the_session_with_the_error() -> None:
    async with started() as owner:

        async def fail(data: bytes) -> None:
            raise OSError(f"no room for {len(data)} bytes")

        owner.channel.write = fail  # type: ignore[method-assign]
        owner.session.add_input(b"x")
        await owner.settle()

        assert owner.session.exit
        assert owner.session.exit.reason == "the session failed: no room for 1 bytes"


@in_virtual_time
async def test_a_repeated_start_is_answered() -> None:
    async with started() as owner:
        owner.session.repeat_start()

        assert kinds(owner.receive()) == ["started"]
