"""Terminals with a real agent and real shells; every program is a separate process."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex

import httpx
import psutil
import pytest
import pytest_asyncio
import websockets

from tests.fixtures import programs
from tests.fixtures.programs import Program
from tests.fixtures.terminals import Screen, refused, screen, shell_url
from tests.fixtures.waiting import until
from tests.fixtures.world import Gate, World, provisioned_world

MIB = 1024 * 1024
LEASE = 3.0  # seconds
SERVICES = ("edge", "writer", "gateway", "shellproxy")


@dataclass
class Stack:
    world: World
    folder: Path
    gate: Gate
    """A relay between the agent and its edge."""
    programs: dict[str, Program] = field(default_factory=dict)
    user: httpx.AsyncClient = field(default_factory=httpx.AsyncClient)
    vps_id: str = ""

    def start(self, name: str) -> None:
        self.programs[name] = programs.service(
            *(self.world, name, self.folder),
            FLOTILLA_AGENT_ADDRESS=f"127.0.0.1:{self.gate.port}",
            FLOTILLA_SHELL_LEASE_SECONDS=str(LEASE),
        )

    async def agent(self, name: str, *, policy: str) -> tuple[str, Program]:
        return await programs.enrolled_agent(
            *(self.user, self.folder / name),
            policy=policy,
            authority=self.world.certificates / "ca.pem",
            command_key=self.world.command_key,
        )

    def screen(self, **query: str | int) -> AbstractAsyncContextManager[Screen]:
        return screen(self.world.ws, self.user, self.vps_id, **query)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stack(
    tmp_path_factory: pytest.TempPathFactory, issued: Path, databases: Callable[[], str]
) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("terminals")
    async with provisioned_world(folder, issued, databases) as world:
        stack = Stack(world, folder, Gate(world.grpc_port))
        try:
            for name in SERVICES:
                stack.start(name)
            await until(world.listening, otherwise="the services are not there", seconds=30)
            await stack.gate.open()
            stack.user = await world.user("member")
            stack.vps_id, stack.programs["agent"] = await stack.agent(
                "agent", policy="shell = true\n"
            )
            yield stack
        finally:
            for program in stack.programs.values():
                program.kill()
            await stack.gate.shut()


async def said(terminal: Screen, command: str) -> None:
    """Run a command in the shell, and wait until it has ended."""
    mark = token_hex(4)
    # Typed in two parts, so that the echo of the line is not taken for its output.
    await terminal.type(f"{command}; echo {mark[:4]}''{mark[4:]}\r".encode())
    await terminal.shows(mark.encode(), seconds=30)


async def ready(terminal: Screen) -> str:
    """Wait until the shell reads input; return the id of the session."""
    frame = await terminal.frame(type="ready")
    await said(terminal, "PS1='$ '; set +o history")
    return str(frame["session"])


def processes_named(argument: str) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if argument in (process.info["cmdline"] or ())
    ]


async def test_a_login_shell_answers_and_knows_its_size(stack: Stack) -> None:
    async with stack.screen(columns=101, rows=31) as terminal:
        await ready(terminal)
        await said(terminal, "stty size; echo $TERM; echo $((6*7))-$(tty)")
        await terminal.shows(b"31 101\r\nxterm-256color\r\n42-/dev/pts/")
        await terminal.say(type="resize", columns=120, rows=40)
        await terminal.frame(type="resize", columns=120, rows=40)
        await said(terminal, "stty size")
        await terminal.shows(b"40 120\r\n")
        await terminal.type(b"exit 7\r")
        frame = await terminal.frame(type="exit")
    assert frame["code"] == 7


async def test_no_byte_is_lost_or_doubled_when_the_agents_stream_breaks(stack: Stack) -> None:
    wanted = b"".join(b"%d\r\n" % number for number in range(1, 200_001))
    async with stack.screen() as terminal:
        session = await ready(terminal)
        await terminal.type(b"clear; seq 1 200000\r")
        await terminal.shows(b"\n5000\r\n")
        await stack.gate.shut()
        await stack.gate.open()
        await terminal.shows(b"\n199999\r\n200000\r\n", seconds=40)
        shown = bytes(terminal.shown)
        await terminal.type(b"exit\r")
        await terminal.frame(type="exit")
    assert shown[shown.index(b"1\r\n2\r\n") :].startswith(wanted)
    await until(lambda: _recorded(stack, session, b"199999"), otherwise="it was not recorded")


async def _recorded(stack: Stack, session: str, wanted: bytes) -> bool:
    return wanted in (await stack.user.get(f"/shell-sessions/{session}/recording")).content


async def test_a_flood_holds_up_no_other_terminal_and_can_be_interrupted(stack: Stack) -> None:
    async with stack.screen() as other, stack.screen() as terminal:
        await ready(other)
        await ready(terminal)
        await terminal.type(b"yes 0123456789012345678901234567890123456789\r")
        await terminal.shows(b"\n0123456789")
        await said(other, "echo an''swers")
        await other.shows(b"answers\r\n")
        await terminal.type(b"\x03")
        await terminal.shows(b"^C")
        await said(terminal, "echo sto''pped")
        await other.say(type="close")
        await terminal.say(type="close")


async def test_a_killed_relay_leaves_no_shell_behind(stack: Stack) -> None:
    mark = f"9{int(token_hex(4), 16)}"
    async with stack.screen() as terminal:
        await ready(terminal)
        await terminal.type(f"sleep {mark}\r".encode())
        await until(lambda: bool(processes_named(mark)), otherwise="it did not begin")
        stack.programs["shellproxy"].kill()
        await until(lambda: not processes_named(mark), otherwise="it still runs")
        stack.start("shellproxy")
        frame = await terminal.frame(type="exit", seconds=40)
    assert frame == {"type": "exit", "code": None, "reason": "the terminal service was restarted"}
    await until(lambda: _opens(stack), otherwise="no terminal can be opened again")


async def _opens(stack: Stack) -> bool:
    try:
        async with stack.screen() as terminal:
            await ready(terminal)
            await terminal.say(type="close")
            await terminal.frame(type="exit")
    except websockets.InvalidStatus:
        return False
    return True


async def test_a_killed_gateway_takes_no_terminal_with_it(stack: Stack) -> None:
    async with stack.screen() as terminal:
        session = await ready(terminal)
        await said(terminal, "KEPT=yes")
        stack.programs["gateway"].kill()
        await terminal.ended()
    stack.start("gateway")
    await until(stack.world.listening, otherwise="the gateway is not back", seconds=30)
    async with stack.screen(session=session) as again:
        await again.frame(type="ready", resumed=True)
        await said(again, "echo it is $KEPT")
        await again.shows(b"it is yes")
        await again.say(type="close")


async def test_a_killed_agent_is_told_and_leaves_no_shell_behind(stack: Stack) -> None:
    mark = f"8{int(token_hex(4), 16)}"
    async with stack.screen() as terminal:
        await ready(terminal)
        await terminal.type(f"sleep {mark}\r".encode())
        await until(lambda: bool(processes_named(mark)), otherwise="it did not begin")
        stack.programs["agent"].kill()
        await until(lambda: not processes_named(mark), otherwise="it still runs")
        stack.programs["agent"] = programs.agent(stack.folder / "agent")
        frame = await terminal.frame(type="exit", seconds=30)
    assert frame["code"] is None
    assert frame["reason"]
    await until(lambda: _opens(stack), otherwise="no terminal can be opened again", seconds=30)


async def test_an_agent_without_the_power_refuses(stack: Stack) -> None:
    vps_id, agent = await stack.agent("closed", policy="commands = true\n")
    status, problem = await refused(await shell_url(stack.world.ws, stack.user, vps_id))
    # Flotilla cannot extend the policy, even if its own record allows more.
    await stack.world.sql(
        "UPDATE vps SET metadata = jsonb_set(metadata, '{powers,shell}', 'true') WHERE id = %(i)s",
        i=vps_id,
    )
    there = await refused(await shell_url(stack.world.ws, stack.user, vps_id))
    agent.kill()

    assert status == there[0] == 403
    assert "policy" in problem["detail"]
    assert "policy" in there[1]["detail"]
