import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from agent.execute import session as session_module
from agent.execute.channel import Channel
from agent.execute.policy import Policy
from agent.execute.sessions import Sessions
from flotilla.v1.agent_pb2 import Powers
from flotilla.v1.command_pb2 import (
    CommandResponse,
    PtyAction,
    PtyClose,
    PtyDataToAgent,
    PtyResize,
)
from tests.fixtures.waiting import until
from tests.unit.agent import console
from tests.unit.agent.console import Typist
from tests.unit.agent.edge import soon
from tests.unit.agent.obeying import (
    Obeying,
    Shown,
    descriptors,
    forgotten,
    gone,
    left,
    lives,
    number_in,
    obeying,
    opened,
)

WINDOW = 64 * 1024


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Obeying]:
    async with obeying(tmp_path) as agent:
        yield agent


async def refusal(agent: Obeying, data: PtyDataToAgent) -> tuple[int, str]:
    agent.hands.session(data)
    shown = Shown(agent, data.session_id)
    exit_ = await shown.ended()
    return exit_.failure, exit_.reason


async def shell_of(shown: Shown, path: Path) -> int:
    shown.types(f"echo $$ > {path}\n".encode())
    return await number_in(path)


async def test_a_terminal_is_a_login_shell_on_a_controlling_terminal_of_its_own(
    agent: Obeying,
) -> None:
    shown = await opened(agent)

    shown.types(
        b"stty size; echo $TERM; tty; echo controlled >/dev/tty;"
        b" ps -o sid= -p $$; echo $$; echo do''ne\n"
    )
    await shown.until(b"done\r\n")

    found = re.search(
        r"24 80\r\nxterm-256color\r\n/dev/pts/\d+\r\ncontrolled\r\n\s*(\d+)\r\n(\d+)\r\n",
        shown.output.decode(),
    )
    assert found
    assert found[1] == found[2]


async def test_what_is_typed_is_echoed_at_once(agent: Obeying) -> None:
    shown = await opened(agent)
    waits = []
    for number in range(20):
        text = f"#{number:02}".encode()
        begun = time.monotonic()
        shown.types(text)
        await shown.until(text)
        waits.append(time.monotonic() - begun)

    assert sorted(waits)[10] < 0.05


async def test_the_agents_own_descriptors_and_surroundings_are_not_the_shells(
    agent: Obeying, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CANARY", "sings")
    shown = await opened(agent)
    shell = await shell_of(shown, tmp_path / "pid")

    # The shell's own file for its pid is open a moment longer than it has text.
    await until(lambda: all(link.startswith("/dev/pts/") for link in descriptors_of(shell)))
    surroundings = environment_of(shell)

    assert b"CANARY" not in surroundings
    assert b"TERM=xterm-256color" in surroundings


def descriptors_of(pid: int) -> set[str]:
    return {str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}


def environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


async def test_input_that_the_console_has_not_signed_never_reaches_the_terminal(
    agent: Obeying, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shown = await opened(agent)
    line = f"echo run >> {tmp_path}/trace\n".encode()
    place = shown.typist.offset
    good = shown.typist.types(line, offset=place)

    changed, unsigned = PtyDataToAgent(), PtyDataToAgent()
    changed.CopyFrom(good)
    changed.input.data = line.replace(b"run", b"bad")
    unsigned.CopyFrom(good)
    unsigned.input.signature = b""
    forged = Typist("s-1", SigningKey(b"k" * 32)).types(line, offset=place)
    elsewhere = Typist("s-2").types(line, offset=place)
    elsewhere.session_id = "s-1"
    moved = Typist("s-1").types(line, offset=place + 1)
    moved.input.offset = place
    for data in (changed, unsigned, forged, elsewhere, moved):
        agent.hands.session(data)

    shown.types(b"echo af''ter\n")
    await shown.until(b"after\r\n")
    assert left(tmp_path / "trace") == ""
    assert "input refused" in caplog.text


async def test_input_is_taken_once_and_without_gaps(agent: Obeying, tmp_path: Path) -> None:
    shown = await opened(agent)
    place = shown.typist.offset
    first = shown.typist.types(f"echo run >> {tmp_path}/trace\n".encode(), offset=place)
    length = len(first.input.data)
    gap = shown.typist.types(b"echo gap\n", offset=place + length + 1)
    late = shown.typist.types(b"echo la''te\n", offset=place + length)
    for data in (first, first, gap, gap, first, late, late):
        agent.hands.session(data)

    await shown.until(b"late\r\n")
    while shown.taken < place + length + len(late.input.data):
        await shown.hear()

    assert left(tmp_path / "trace") == "run\n"
    assert b"gap" not in shown.output


async def test_output_stops_at_the_window_and_ctrl_c_acts_all_the_same(agent: Obeying) -> None:
    shown = await opened(agent)
    shown.acknowledges()
    begun = len(shown.output)
    shown.types(b"yes\n")
    while len(shown.output) - begun < WINDOW:
        await shown.hear()
    await asyncio.sleep(0.3)
    assert agent.frames.empty()
    assert len(shown.output) - begun == WINDOW

    shown.types(b"\x03")
    stopped = time.monotonic()
    shown.types(b"echo al''ive\n")
    while b"alive\r\n" not in shown.output:
        shown.acknowledges()
        await shown.hear()

    assert time.monotonic() - stopped < 1.0


async def test_a_flood_in_one_terminal_does_not_slow_another(agent: Obeying) -> None:
    flood, quiet = await opened(agent, "s-1"), await opened(agent, "s-2")
    floods = 0

    async def swallow() -> None:
        nonlocal floods
        frame = await soon(agent.frames.get())
        if frame.session_id == "s-1" and frame.HasField("output"):
            floods += len(frame.output.data)
            end = frame.output.offset + len(frame.output.data)
            agent.say("s-1", acknowledge={"offset": end})
        elif frame.session_id == "s-2" and frame.HasField("output"):
            quiet.output += frame.output.data

    flood.types(b"yes\n")
    while floods < 1024 * 1024:
        await swallow()
    waits = []
    for number in range(10):
        text = f"#{number:02}".encode()
        begun = time.monotonic()
        quiet.types(text)
        while text not in quiet.output:
            await swallow()
        waits.append(time.monotonic() - begun)

    assert sorted(waits)[5] < 0.1


async def test_bulk_comes_in_few_frames(agent: Obeying) -> None:
    shown = await opened(agent, window_bytes=1024 * 1024)
    frames = []
    shown.types(b"seq 1 100000 | tr '\\n' ' '; echo do''ne\n")
    while b"done\r\n" not in shown.output:
        before = len(shown.output)
        await shown.hear()
        frames.append(len(shown.output) - before)
        shown.acknowledges()

    assert max(frames) <= 16 * 1024
    assert sum(frames) / len(frames) > 4 * 1024


@pytest.mark.parametrize("cuts", [1, 5])
async def test_after_a_new_stream_no_byte_is_lost_or_doubled(agent: Obeying, cuts: int) -> None:
    shown = await opened(agent)
    shown.types(b"for n in $(seq 1 20000); do echo line $n; done; echo do''ne\n")
    for cut in range(cuts):
        while len(shown.output) < (cut + 1) * 20_000:
            await shown.hear()
            if len(shown.output) % 3 == 0:
                shown.acknowledges()
        # What is in the queue was sent and does not arrive.
        await agent.cut()
        agent.connect()
        await asyncio.sleep(0.05)
        assert agent.frames.empty(), "the edge takes nothing before the owner has spoken"
        shown.acknowledges()
    while b"done\r\n" not in shown.output:
        await shown.hear()
        shown.acknowledges()

    lines = re.findall(rb"line (\d+)\r\n", shown.output)
    assert [int(number) for number in lines] == list(range(1, 20_001))


async def test_what_was_lost_on_the_way_is_sent_again_when_it_is_asked_for(
    agent: Obeying, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "ON_ITS_WAY", 0.0)
    shown = await opened(agent)
    shown.acknowledges()
    place = len(shown.output)
    shown.types(b"echo lo''st\n")
    lost = b""
    while b"lost\r\n" not in lost:
        frame = await soon(agent.frames.get())
        lost += frame.output.data

    shown.acknowledges(place)

    await shown.until(b"lost\r\n")


async def test_what_is_acknowledged_and_was_never_sent_is_passed_over(agent: Obeying) -> None:
    shown = await opened(agent)

    shown.acknowledges(10**9)
    shown.types(b"echo al''ive\n")

    await shown.until(b"alive\r\n")


async def test_a_resize_arrives_and_one_that_no_terminal_has_does_not(
    agent: Obeying, caplog: pytest.LogCaptureFixture
) -> None:
    shown = await opened(agent)

    async def size() -> bytes:
        before = len(shown.output)
        shown.types(b"stty size; echo do''ne\n")
        while b"done\r\n" not in shown.output[before:]:
            await shown.hear()
        return shown.output[before:]

    shown.resizes(132, 50)
    while b"50 132\r\n" not in await size():
        pass

    for columns, rows in ((0, 0), (65535, 65535), (1001, 24), (80, 501), (0, 24), (80, 0)):
        shown.resizes(columns, rows)
    await asyncio.sleep(0.1)
    assert b"50 132\r\n" in await size()
    assert "no terminal has 65535x65535" in caplog.text
    shown.resizes(1000, 500)
    while b"500 1000\r\n" not in await size():
        pass


async def test_the_end_of_the_shell_is_told_until_the_owner_knows(agent: Obeying) -> None:
    shown = await opened(agent)
    shown.types(b"exit 7\n")

    exit_ = await shown.ended()
    assert (exit_.exit_code, exit_.reason) == (7, "")
    assert exit_.offset == len(shown.output)
    for _ in range(2):
        shown.exit = None
        shown.acknowledges()
        assert (await shown.ended()).exit_code == 7
    # On a new stream too.
    await agent.cut()
    agent.connect()
    shown.exit = None
    shown.acknowledges()
    assert (await shown.ended()).exit_code == 7
    # And then no more.
    shown.closes()
    await forgotten(agent)
    shown.exit = None
    shown.acknowledges()
    assert (await shown.ended()).failure == CommandResponse.FAILURE_NOT_FOUND


async def test_closing_ends_all_of_the_session(agent: Obeying, tmp_path: Path) -> None:
    shown = await opened(agent)
    shell = await shell_of(shown, tmp_path / "shell")
    shown.types(
        f"sh -c 'trap \"\" HUP; echo $$ > {tmp_path}/deaf; sleep 100; sleep 100' &\n".encode()
    )
    shown.types(f"sleep 100 & echo $! > {tmp_path}/background\n".encode())
    pids = [shell, await number_in(tmp_path / "deaf"), await number_in(tmp_path / "background")]

    shown.closes()

    exit_ = await shown.ended()
    assert exit_.reason == "closed"
    await gone(*pids)


async def test_a_session_whose_owner_is_silent_ends_with_its_lease(
    agent: Obeying, tmp_path: Path
) -> None:
    shown = await opened(agent, lease_ms=2000)
    shell = await shell_of(shown, tmp_path / "shell")
    shown.types(f"sleep 100 & echo $! > {tmp_path}/background\n".encode())
    background = await number_in(tmp_path / "background")
    for _ in range(5):
        await asyncio.sleep(0.5)
        shown.acknowledges()
    assert lives(shell), "each word of its owner renews it"
    spoken = time.monotonic()

    exit_ = await shown.ended()

    assert exit_.reason == "nobody asked for it for 2 s"
    assert 1.9 < time.monotonic() - spoken < 5
    await gone(shell, background)


async def test_a_session_outlives_a_stream_for_as_long_as_its_lease(
    agent: Obeying, tmp_path: Path
) -> None:
    shown = await opened(agent, lease_ms=2000)
    shell = await shell_of(shown, tmp_path / "shell")
    shown.acknowledges()

    await agent.cut()
    await asyncio.sleep(0.5)
    assert lives(shell)
    await gone(shell)
    agent.connect()
    shown.acknowledges()

    await shown.ended()


async def test_stopping_the_agent_ends_its_sessions_and_says_so(
    agent: Obeying, tmp_path: Path
) -> None:
    shown = await opened(agent)
    shell = await shell_of(shown, tmp_path / "shell")

    await soon(agent.hands.stop())

    assert not lives(shell)
    assert (await shown.ended()).reason == "the agent was stopped"
    await soon(agent.hands.settled())


async def test_a_start_that_comes_twice_begins_once(agent: Obeying, tmp_path: Path) -> None:
    data = console.start("s-1")
    agent.hands.session(data)
    agent.hands.session(data)
    shown = Shown(agent, "s-1")
    assert await shown.hear() == "started"
    shown.types(b"echo rea''dy\n")
    await shown.until(b"ready\r\n")
    shell = await shell_of(shown, tmp_path / "shell")

    agent.hands.session(data)
    while await shown.hear() != "started":
        pass
    assert await shell_of(shown, tmp_path / "again") == shell

    shown.types(b"exit\n")
    await shown.ended()
    shown.closes()
    await forgotten(agent)
    assert await refusal(agent, data) == (CommandResponse.FAILURE_CONFLICT, "the session is over")


async def test_a_session_that_is_there_is_not_begun_by_another_command(agent: Obeying) -> None:
    await opened(agent)

    failure, reason = await refusal(agent, console.start("s-1"))

    assert (failure, reason) == (
        CommandResponse.FAILURE_CONFLICT,
        "there is such a session already",
    )


async def test_beyond_eight_at_once_sessions_are_refused_as_busy(agent: Obeying) -> None:
    shown = [await opened(agent, f"s-{number}") for number in range(8)]

    failure, _ = await refusal(agent, console.start("s-9"))
    assert failure == CommandResponse.FAILURE_BUSY

    shown[0].closes()
    await shown[0].ended()
    await opened(agent, "s-10")


class Silent:
    """A container's log in which nothing happens."""

    program = "log"

    async def read(self, most: int) -> bytes:
        await asyncio.Event().wait()
        return bytes(most)

    async def write(self, data: bytes) -> None: ...

    async def resize(self, columns: int, rows: int) -> None: ...

    async def close(self) -> int:
        return 0


async def test_logs_that_are_followed_take_no_terminals_place(
    agent: Obeying, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = Sessions._channel

    async def silent(sessions: Sessions, action: PtyAction) -> Channel:
        if action.kind == PtyAction.KIND_CONTAINER_LOGS:
            return Silent()
        return await channel(sessions, action)

    monkeypatch.setattr(Sessions, "_channel", silent)
    logs = {"kind": PtyAction.KIND_CONTAINER_LOGS, "container": "0" * 64}
    for number in range(8):
        agent.hands.session(console.start(f"log-{number}", **logs))
        assert await Shown(agent, f"log-{number}").hear() == "started"

    found, reason = await refusal(agent, console.start("log-9", **logs))
    assert (found, reason) == (
        CommandResponse.FAILURE_BUSY,
        "8 logs are followed there already",
    )
    shown = await opened(agent, "s-1")
    agent.say("log-0", close=PtyClose())
    await Shown(agent, "log-0").ended()
    agent.hands.session(console.start("log-10", **logs))
    assert await Shown(agent, "log-10").hear() == "started"
    shown.closes()
    await shown.ended()


def unsigned(data: PtyDataToAgent) -> PtyDataToAgent:
    data.start.signature = bytes(64)
    return data


def renamed(data: PtyDataToAgent) -> PtyDataToAgent:
    data.session_id = "other"
    return data


@pytest.mark.parametrize(
    ("data", "failure", "reason"),
    [
        (lambda: unsigned(console.start("s")), "FORBIDDEN", "not of a console"),
        (lambda: renamed(console.start("s")), "FORBIDDEN", "begins another session"),
        (lambda: console.start("s", columns=0, rows=0), "INVALID", "1 to 1000 columns"),
        (lambda: console.start("s", columns=65535, rows=65535), "INVALID", "1 to 1000 columns"),
        (lambda: console.start("s", kind=77), "INVALID", "does not know such a session"),
        (
            lambda: PtyDataToAgent(
                session_id="s", start=console.signed(console.script("touch /tmp/never"))
            ),
            "INVALID",
            "a command to begin it",
        ),
        (
            lambda: PtyDataToAgent(
                session_id="s",
                start=console.signed(
                    console.command(
                        expires_at_unix_ms=console.now_ms() - 1, pty=PtyAction(session_id="s")
                    )
                ),
            ),
            "FORBIDDEN",
            "has expired",
        ),
    ],
)
async def test_a_session_is_refused_as_commands_are(
    agent: Obeying, data: object, failure: str, reason: str
) -> None:
    made = data() if callable(data) else None
    assert isinstance(made, PtyDataToAgent)

    found, said = await refusal(agent, made)

    assert found == CommandResponse.Failure.Value(f"FAILURE_{failure}")
    assert reason in said


@pytest.mark.parametrize(
    ("policy", "kind", "reason"),
    [
        (Policy(commands=True), "UNSPECIFIED", "the shell is off"),
        (Policy(docker=Powers.DOCKER_ACCESS_ACTIONS), "CONTAINER_EXEC", "the shell is off"),
        (Policy(shell=True), "CONTAINER_EXEC", "acting on Docker is off"),
        (
            Policy(shell=True, docker=Powers.DOCKER_ACCESS_READ),
            "CONTAINER_EXEC",
            "acting on Docker is off",
        ),
        (Policy(shell=True), "CONTAINER_LOGS", "Docker is off"),
    ],
)
async def test_a_session_takes_the_power_that_it_needs(
    tmp_path: Path, policy: Policy, kind: str, reason: str
) -> None:
    number = PtyAction.Kind.Value(f"KIND_{kind}")
    async with obeying(tmp_path, policy) as agent:
        failure, said = await refusal(agent, console.start("s", kind=number, container="0" * 64))

    assert failure == CommandResponse.FAILURE_FORBIDDEN
    assert reason in said


async def test_who_speaks_to_a_session_that_is_not_there_is_told(agent: Obeying) -> None:
    for event in (
        {"acknowledge": {"offset": 0}},
        {"resize": PtyResize(columns=80, rows=24)},
        {"input": {"offset": 0, "data": b"x"}},
    ):
        failure, reason = await refusal(agent, PtyDataToAgent(session_id="gone", **event))
        assert failure == CommandResponse.FAILURE_NOT_FOUND
        assert "no such session" in reason
    agent.say("gone", close=PtyClose())
    await asyncio.sleep(0.05)
    assert agent.frames.empty()


async def test_a_session_closed_while_it_begins_does_not_stay(agent: Obeying) -> None:
    agent.hands.session(console.start("s-1"))
    agent.say("s-1", close=PtyClose(reason="too late"))

    assert (await Shown(agent, "s-1").ended()).reason == "too late"


async def test_sessions_leave_no_descriptor_open(agent: Obeying) -> None:
    before: set[str] = set()
    for number in range(4):
        shown = await opened(agent, f"s-{number}")
        shown.closes()
        await shown.ended()
        before = before or descriptors()

    assert len(descriptors()) == len(before)


async def test_sessions_that_are_over_and_never_asked_for_are_forgotten(agent: Obeying) -> None:
    for number in range(20):
        shown = await opened(agent, f"s-{number}")
        shown.types(b"exit\n")
        await shown.ended()
    assert agent.hands._sessions
    assert len(agent.hands._sessions._sessions) <= 17
