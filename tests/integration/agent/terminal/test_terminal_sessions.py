import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from agent.terminal import session as session_module
from flotilla.v1.command_pb2 import (
    CommandResponse,
    PtyDataToAgent,
)
from tests.fixtures.agent import signed_commands
from tests.fixtures.agent.dispatcher import (
    DispatcherHarness,
    TerminalClient,
    open_terminal,
    running_dispatcher,
    wait_until_forgotten,
)
from tests.fixtures.agent.host_processes import (
    is_alive,
    open_descriptors,
    read_if_exists,
    read_number,
    wait_until_gone,
)
from tests.fixtures.agent.signed_commands import Typist
from tests.fixtures.waiting import soon, until

WINDOW = 64 * 1024


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[DispatcherHarness]:
    async with running_dispatcher(tmp_path) as agent:
        yield agent


async def shell_of(terminal: TerminalClient, path: Path) -> int:
    terminal.type(f"echo $$ > {path}\n".encode())
    return await read_number(path)


async def test_a_terminal_is_a_login_shell_with_its_own_controlling_terminal(
    agent: DispatcherHarness,
) -> None:
    terminal = await open_terminal(agent)

    terminal.type(
        b"stty size; echo $TERM; tty; echo controlled >/dev/tty;"
        b" ps -o sid= -p $$; echo $$; echo do''ne\n"
    )
    await terminal.read_until(b"done\r\n")

    found = re.search(
        r"24 80\r\nxterm-256color\r\n/dev/pts/\d+\r\ncontrolled\r\n\s*(\d+)\r\n(\d+)\r\n",
        terminal.output.decode(),
    )
    assert found
    assert found[1] == found[2]


async def test_a_shell_does_not_see_descriptors_and_environment_of_the_agent(
    agent: DispatcherHarness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CANARY", "sings")
    terminal = await open_terminal(agent)
    shell = await shell_of(terminal, tmp_path / "pid")

    # The shell closes the file for its pid a moment after it has written it.
    await until(lambda: all(link.startswith("/dev/pts/") for link in descriptors_of(shell)))
    environment = environment_of(shell)

    assert b"CANARY" not in environment
    assert b"TERM=xterm-256color" in environment


def descriptors_of(pid: int) -> set[str]:
    return {str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}


def environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


async def test_input_without_a_valid_signature_never_reaches_the_terminal(
    agent: DispatcherHarness, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    terminal = await open_terminal(agent)
    line = f"echo run >> {tmp_path}/trace\n".encode()
    place = terminal.typist.offset
    good = terminal.typist.sign(line, offset=place)

    changed, unsigned = PtyDataToAgent(), PtyDataToAgent()
    changed.CopyFrom(good)
    changed.input.data = line.replace(b"run", b"bad")
    unsigned.CopyFrom(good)
    unsigned.input.signature = b""
    forged = Typist("s-1", SigningKey(b"k" * 32)).sign(line, offset=place)
    elsewhere = Typist("s-2").sign(line, offset=place)
    elsewhere.session_id = "s-1"
    moved = Typist("s-1").sign(line, offset=place + 1)
    moved.input.offset = place
    for data in (changed, unsigned, forged, elsewhere, moved):
        agent.dispatcher.handle_session_data(data)

    terminal.type(b"echo af''ter\n")
    await terminal.read_until(b"after\r\n")
    assert read_if_exists(tmp_path / "trace") == ""
    assert "input refused" in caplog.text


async def test_repeated_and_later_input_is_ignored(
    agent: DispatcherHarness, tmp_path: Path
) -> None:
    terminal = await open_terminal(agent)
    place = terminal.typist.offset
    first = terminal.typist.sign(f"echo run >> {tmp_path}/trace\n".encode(), offset=place)
    length = len(first.input.data)
    gap = terminal.typist.sign(b"echo gap\n", offset=place + length + 1)
    late = terminal.typist.sign(b"echo la''te\n", offset=place + length)
    for data in (first, first, gap, gap, first, late, late):
        agent.dispatcher.handle_session_data(data)

    await terminal.read_until(b"late\r\n")
    while terminal.input_acknowledged < place + length + len(late.input.data):
        await terminal.next_event()

    assert read_if_exists(tmp_path / "trace") == "run\n"
    assert b"gap" not in terminal.output


async def test_ctrl_c_works_while_the_output_waits_for_acknowledgements(
    agent: DispatcherHarness,
) -> None:
    terminal = await open_terminal(agent)
    terminal.acknowledge()
    begin = len(terminal.output)
    terminal.type(b"yes\n")
    while len(terminal.output) - begin < WINDOW:
        await terminal.next_event()

    terminal.type(b"\x03")
    terminal.type(b"echo al''ive\n")
    while b"alive\r\n" not in terminal.output:
        terminal.acknowledge()
        await terminal.next_event()


async def test_a_terminal_works_while_another_one_prints_without_end(
    agent: DispatcherHarness,
) -> None:
    busy, quiet = await open_terminal(agent, "s-1"), await open_terminal(agent, "s-2")
    busy.type(b"yes\n")
    quiet.type(b"echo al''ive\n")

    while b"alive\r\n" not in quiet.output:
        frame = await soon(agent.frames.get())
        if frame.HasField("output") and frame.session_id == "s-1":
            agent.send_event(
                "s-1", acknowledge={"offset": frame.output.offset + len(frame.output.data)}
            )
        elif frame.HasField("output"):
            quiet.output += frame.output.data


@pytest.mark.parametrize("cuts", [1, 5])
async def test_no_byte_is_lost_or_doubled_across_streams(
    agent: DispatcherHarness, cuts: int
) -> None:
    terminal = await open_terminal(agent)
    terminal.type(b"for n in $(seq 1 20000); do echo line $n; done; echo do''ne\n")
    for cut in range(cuts):
        while len(terminal.output) < (cut + 1) * 20_000:
            await terminal.next_event()
            if len(terminal.output) % 3 == 0:
                terminal.acknowledge()
        # The frames in the queue were sent and do not arrive.
        await agent.disconnect()
        agent.connect()
        terminal.acknowledge()
    while b"done\r\n" not in terminal.output:
        await terminal.next_event()
        terminal.acknowledge()

    lines = re.findall(rb"line (\d+)\r\n", terminal.output)
    assert [int(number) for number in lines] == list(range(1, 20_001))


async def test_lost_output_is_sent_again_on_request(
    agent: DispatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "TRANSIT_TIME", 0.0)
    terminal = await open_terminal(agent)
    terminal.acknowledge()
    place = len(terminal.output)
    terminal.type(b"echo lo''st; exec sleep 60\n")  # no prompt follows
    lost = b""
    while b"lost\r\n" not in lost:
        frame = await soon(agent.frames.get())
        lost += frame.output.data

    terminal.acknowledge(place)

    await terminal.read_until(b"lost\r\n")


async def test_an_acknowledgement_of_output_that_was_never_sent_is_ignored(
    agent: DispatcherHarness,
) -> None:
    terminal = await open_terminal(agent)

    terminal.acknowledge(10**9)
    terminal.type(b"echo al''ive\n")

    await terminal.read_until(b"alive\r\n")


async def test_a_valid_size_reaches_the_terminal_and_an_invalid_one_does_not(
    agent: DispatcherHarness, caplog: pytest.LogCaptureFixture
) -> None:
    terminal = await open_terminal(agent)

    async def size() -> bytes:
        before = len(terminal.output)
        terminal.type(b"stty size; echo do''ne\n")
        while b"done\r\n" not in terminal.output[before:]:
            await terminal.next_event()
        return terminal.output[before:]

    terminal.resize(132, 50)
    while b"50 132\r\n" not in await size():
        pass

    for columns, rows in ((0, 0), (65535, 65535), (1001, 24), (80, 501), (0, 24), (80, 0)):
        terminal.resize(columns, rows)
    assert b"50 132\r\n" in await size()
    assert "size 65535x65535 refused" in caplog.text
    terminal.resize(1000, 500)
    while b"500 1000\r\n" not in await size():
        pass


async def test_the_exit_is_repeated_until_the_owner_closes_the_session(
    agent: DispatcherHarness,
) -> None:
    terminal = await open_terminal(agent)
    terminal.type(b"exit 7\n")

    exit_ = await terminal.wait_for_exit()
    assert (exit_.exit_code, exit_.reason) == (7, "")
    assert exit_.offset == len(terminal.output)
    for _ in range(2):
        terminal.exit = None
        terminal.acknowledge()
        assert (await terminal.wait_for_exit()).exit_code == 7
    # It is repeated on a new stream too.
    await agent.disconnect()
    agent.connect()
    terminal.exit = None
    terminal.acknowledge()
    assert (await terminal.wait_for_exit()).exit_code == 7
    terminal.close()
    await wait_until_forgotten(agent)
    terminal.exit = None
    terminal.acknowledge()
    assert (await terminal.wait_for_exit()).failure == CommandResponse.FAILURE_NOT_FOUND


async def test_closing_a_session_ends_all_its_processes(
    agent: DispatcherHarness, tmp_path: Path
) -> None:
    terminal = await open_terminal(agent)
    shell = await shell_of(terminal, tmp_path / "shell")
    terminal.type(
        f"sh -c 'trap \"\" HUP; echo $$ > {tmp_path}/deaf; sleep 100; sleep 100' &\n".encode()
    )
    terminal.type(f"sleep 100 & echo $! > {tmp_path}/background\n".encode())
    pids = [shell, await read_number(tmp_path / "deaf"), await read_number(tmp_path / "background")]

    terminal.close()

    exit_ = await terminal.wait_for_exit()
    assert exit_.reason == "closed"
    await wait_until_gone(*pids)


async def test_an_expired_lease_ends_all_processes_of_the_session(
    agent: DispatcherHarness, tmp_path: Path
) -> None:
    terminal = await open_terminal(agent, lease_ms=4000)
    shell = await shell_of(terminal, tmp_path / "shell")
    terminal.type(f"sleep 100 & echo $! > {tmp_path}/background\n".encode())
    background = await read_number(tmp_path / "background")

    exit_ = await terminal.wait_for_exit()

    assert exit_.reason == "the console did not answer for 4 s"
    await wait_until_gone(shell, background)


async def test_stopping_the_agent_ends_its_sessions_and_reports_it(
    agent: DispatcherHarness, tmp_path: Path
) -> None:
    terminal = await open_terminal(agent)
    shell = await shell_of(terminal, tmp_path / "shell")

    await soon(agent.dispatcher.stop())

    assert not is_alive(shell)
    assert (await terminal.wait_for_exit()).reason == "the agent was stopped"
    await soon(agent.dispatcher.drain())


async def test_a_repeated_start_command_starts_one_session(
    agent: DispatcherHarness, tmp_path: Path
) -> None:
    data = signed_commands.start_session("s-1")
    agent.dispatcher.handle_session_data(data)
    agent.dispatcher.handle_session_data(data)
    terminal = TerminalClient(agent, "s-1")
    assert await terminal.next_event() == "started"
    terminal.type(b"echo rea''dy\n")
    await terminal.read_until(b"ready\r\n")
    shell = await shell_of(terminal, tmp_path / "shell")

    agent.dispatcher.handle_session_data(data)
    while await terminal.next_event() != "started":
        pass
    assert await shell_of(terminal, tmp_path / "again") == shell

    terminal.type(b"exit\n")
    await terminal.wait_for_exit()
    terminal.close()
    await wait_until_forgotten(agent)
    agent.dispatcher.handle_session_data(data)
    refusal = await TerminalClient(agent, "s-1").wait_for_exit()
    assert refusal.failure == CommandResponse.FAILURE_CONFLICT
    assert refusal.reason == "This session has ended."


async def test_sessions_leave_no_descriptor_open(agent: DispatcherHarness) -> None:
    before: set[str] = set()
    for number in range(4):
        terminal = await open_terminal(agent, f"s-{number}")
        terminal.close()
        await terminal.wait_for_exit()
        before = before or open_descriptors()

    # The last session's descriptors close a moment after its exit is reported.
    await until(lambda: len(open_descriptors()) <= len(before))
