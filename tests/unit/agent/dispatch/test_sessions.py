"""Which sessions start, and which are refused; their channels are fakes."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from agent.commands.channel import Channel
from agent.commands.policy import Policy
from agent.dispatch.sessions import MAX_ENDED, MAX_LOGS, MAX_TERMINALS, SessionManager
from agent.terminal.session import MAX_FRAME
from flotilla.v1.agent_pb2 import Powers
from flotilla.v1.command_pb2 import (
    CommandResponse,
    PtyAction,
    PtyClose,
    PtyDataToAgent,
    PtyResize,
)
from tests.fixtures.agent import signed_commands
from tests.fixtures.agent.dispatcher import DispatcherHarness, TerminalClient, running_dispatcher
from tests.fixtures.agent.fake_channel import FakeChannel
from tests.fixtures.waiting import soon, until

LOG = {"kind": PtyAction.KIND_CONTAINER_LOGS, "container": "0" * 64}


@pytest.fixture
def channels(monkeypatch: pytest.MonkeyPatch) -> list[FakeChannel]:
    """Return the channels of all sessions that were opened, in this order."""
    opened: list[FakeChannel] = []

    async def open_channel(_: SessionManager, __: PtyAction) -> Channel:
        opened.append(FakeChannel())
        return opened[-1]

    monkeypatch.setattr(SessionManager, "_open_channel", open_channel)
    return opened


@pytest.fixture
async def agent(tmp_path: Path, channels: list[FakeChannel]) -> AsyncIterator[DispatcherHarness]:
    async with running_dispatcher(tmp_path) as agent:
        yield agent


async def start(agent: DispatcherHarness, name: str, **changes: object) -> TerminalClient:
    agent.dispatcher.handle_session_data(signed_commands.start_session(name, **changes))
    client = TerminalClient(agent, name)
    assert await client.next_event() == "started"
    return client


async def refusal(agent: DispatcherHarness, data: PtyDataToAgent) -> tuple[int, str]:
    agent.dispatcher.handle_session_data(data)
    client = TerminalClient(agent, data.session_id)
    exit_ = await client.wait_for_exit()
    return exit_.failure, exit_.reason


def without_signature() -> PtyDataToAgent:
    data = signed_commands.start_session("s")
    data.start.signature = bytes(64)
    return data


def for_another_session() -> PtyDataToAgent:
    data = signed_commands.start_session("s")
    data.session_id = "other"
    return data


def with_a_script() -> PtyDataToAgent:
    command = signed_commands.script("touch /tmp/never")
    return PtyDataToAgent(session_id="s", start=signed_commands.sign(command))


def expired() -> PtyDataToAgent:
    command = signed_commands.command(
        expires_at_unix_ms=signed_commands.now_ms() - 1, pty=PtyAction(session_id="s")
    )
    return PtyDataToAgent(session_id="s", start=signed_commands.sign(command))


@pytest.mark.parametrize(
    ("make", "failure", "reason"),
    [
        (without_signature, "FORBIDDEN", "not from a command key"),
        (for_another_session, "FORBIDDEN", "signed for another session"),
        (lambda: signed_commands.start_session("s", columns=0), "INVALID", "1 to 1000 columns"),
        (lambda: signed_commands.start_session("s", rows=501), "INVALID", "1 to 500 rows"),
        (lambda: signed_commands.start_session("s", kind=77), "INVALID", "does not know this kind"),
        (with_a_script, "INVALID", "by a command for a session"),
        (expired, "FORBIDDEN", "has expired"),
    ],
)
async def test_a_session_is_refused_for_the_same_reasons_as_a_command(
    agent: DispatcherHarness, make: Callable[[], PtyDataToAgent], failure: str, reason: str
) -> None:
    found, text = await refusal(agent, make())

    assert found == CommandResponse.Failure.Value(f"FAILURE_{failure}")
    assert reason in text


@pytest.mark.parametrize(
    ("policy", "kind", "reason"),
    [
        (Policy(commands=True), "UNSPECIFIED", "The shell is switched off"),
        (
            Policy(docker=Powers.DOCKER_ACCESS_ACTIONS),
            "CONTAINER_EXEC",
            "The shell is switched off",
        ),
        (Policy(shell=True), "CONTAINER_EXEC", "Docker actions are switched off"),
        (
            Policy(shell=True, docker=Powers.DOCKER_ACCESS_READ),
            "CONTAINER_EXEC",
            "Docker actions are switched off",
        ),
        (Policy(shell=True), "CONTAINER_LOGS", "Docker is switched off"),
    ],
)
async def test_a_session_needs_the_permission_for_its_kind(
    tmp_path: Path, policy: Policy, kind: str, reason: str
) -> None:
    number = PtyAction.Kind.Value(f"KIND_{kind}")
    data = signed_commands.start_session("s", kind=number, container="0" * 64)
    async with running_dispatcher(tmp_path, policy) as agent:
        failure, text = await refusal(agent, data)

    assert failure == CommandResponse.FAILURE_FORBIDDEN
    assert reason in text


async def test_a_terminal_beyond_the_limit_is_refused_as_busy(agent: DispatcherHarness) -> None:
    terminals = [await start(agent, f"s-{number}") for number in range(MAX_TERMINALS)]

    failure, reason = await refusal(agent, signed_commands.start_session("one-too-many"))
    assert failure == CommandResponse.FAILURE_BUSY
    assert "8 terminals are open" in reason

    terminals[0].close()
    await terminals[0].wait_for_exit()
    await start(agent, "instead")


async def test_followed_logs_do_not_count_as_terminals(agent: DispatcherHarness) -> None:
    logs = [await start(agent, f"log-{number}", **LOG) for number in range(MAX_LOGS)]

    failure, reason = await refusal(agent, signed_commands.start_session("one-too-many", **LOG))
    assert failure == CommandResponse.FAILURE_BUSY
    assert "8 logs are followed" in reason

    await start(agent, "terminal")
    logs[0].close()
    await logs[0].wait_for_exit()
    await start(agent, "instead", **LOG)


async def test_another_command_cannot_start_an_existing_session(agent: DispatcherHarness) -> None:
    await start(agent, "s-1")

    failure, reason = await refusal(agent, signed_commands.start_session("s-1"))

    assert failure == CommandResponse.FAILURE_CONFLICT
    assert "exists already" in reason


async def test_a_message_to_an_unknown_session_is_answered_unless_it_closes_it(
    agent: DispatcherHarness,
) -> None:
    agent.send_event("never-existed", close=PtyClose())
    for event in (
        {"acknowledge": {"offset": 0}},
        {"resize": PtyResize(columns=80, rows=24)},
        {"input": {"offset": 0, "data": b"x"}},
    ):
        agent.dispatcher.handle_session_data(PtyDataToAgent(session_id="gone", **event))
        frame = await soon(agent.frames.get())
        assert frame.session_id == "gone"
        assert frame.exit.failure == CommandResponse.FAILURE_NOT_FOUND
        assert "does not exist" in frame.exit.reason


async def test_a_session_closed_while_it_starts_ends_at_once(agent: DispatcherHarness) -> None:
    agent.dispatcher.handle_session_data(signed_commands.start_session("s-1"))
    agent.send_event("s-1", close=PtyClose(reason="too late"))

    assert (await TerminalClient(agent, "s-1").wait_for_exit()).reason == "too late"


async def test_sessions_take_turns_frame_by_frame(
    agent: DispatcherHarness, channels: list[FakeChannel]
) -> None:
    terminals = [await start(agent, name) for name in ("s-1", "s-2")]
    await agent.disconnect()
    agent.dispatcher.stream_opened()  # its messages are not read yet
    for terminal, channel in zip(terminals, channels, strict=True):
        terminal.acknowledge()
        channel.print(bytes(3 * MAX_FRAME))
    await until(lambda: all(channel.read_bytes == 3 * MAX_FRAME for channel in channels))

    agent.connect_reader()
    names: list[str] = []
    while len(names) < 6:
        frame = await soon(agent.frames.get())
        names += [frame.session_id] * frame.HasField("output")

    assert names == ["s-1", "s-2"] * 3


async def test_the_oldest_ended_sessions_are_forgotten(
    agent: DispatcherHarness, channels: list[FakeChannel]
) -> None:
    for number in range(MAX_ENDED + 4):
        terminal = await start(agent, f"s-{number}")
        channels[-1].exit(0)
        await terminal.wait_for_exit()

    assert agent.dispatcher._sessions
    assert len(agent.dispatcher._sessions._sessions) <= MAX_ENDED + 1
