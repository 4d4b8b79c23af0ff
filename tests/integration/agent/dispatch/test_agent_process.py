"""Commands and terminal sessions of an agent process."""

import asyncio
import signal
from pathlib import Path

import grpc
import pytest
from nacl.signing import SigningKey

from agent.base.identity import Identity, StateFolder
from flotilla.v1.agent_pb2 import Heartbeat, MessageToAgent, Powers
from flotilla.v1.command_pb2 import (
    Command,
    CommandResponse,
    PtyAcknowledge,
    PtyDataToAgent,
    PtyDataToServer,
)
from tests.fixtures.agent import signed_commands
from tests.fixtures.agent.dispatcher import ALLOW_ALL, join_parts
from tests.fixtures.agent.fake_edge import VPS_ID, Authority, Edge, Peer
from tests.fixtures.agent.host_processes import (
    is_alive,
    read_if_exists,
    read_number,
    wait_until_gone,
)
from tests.fixtures.agent.processes import Launch, outcome
from tests.fixtures.agent.running_agent import Start
from tests.fixtures.agent.signed_commands import CONSOLE, Typist

POLICY = """
shell = true
commands = true
files = "write"
file_roots = ["/"]
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    file = tmp_path / "policy.toml"
    file.write_text(POLICY)
    file.chmod(0o644)
    return file


@pytest.fixture
def enrolled_state(tmp_path: Path, edge: Edge, authority: Authority) -> StateFolder:
    state = StateFolder(tmp_path / "state")
    state.prepare()
    keys = (bytes(CONSOLE.verify_key),)
    state.save_identity(
        Identity(VPS_ID, edge.address, authority.ca_pem, SigningKey.generate(), keys)
    )
    return state


@pytest.fixture
async def peer(launch: Launch, edge: Edge, enrolled_state: StateFolder, policy: Path) -> Peer:
    await launch("--state", str(enrolled_state.path), "--policy", str(policy))
    peer = await edge.peer()
    await peer.shake_hands()
    return peer


async def send_command(peer: Peer, command: Command) -> None:
    await peer.send(MessageToAgent(command_request=signed_commands.sign(command)))


async def receive_response(peer: Peer) -> CommandResponse:
    parts: list[CommandResponse] = []
    while not parts or not parts[-1].last:
        parts.append((await peer.receive("command_response")).command_response)
    return join_parts(parts)


async def send_session_data(peer: Peer, data: PtyDataToAgent) -> None:
    await peer.send(MessageToAgent(pty_data=data))


async def receive_event(peer: Peer, event: str) -> PtyDataToServer:
    while True:
        data = (await peer.receive("pty_data")).pty_data
        if data.WhichOneof("event") == event:
            return data


async def test_the_handshake_reports_the_permissions(
    launch: Launch, edge: Edge, enrolled_state: StateFolder, policy: Path
) -> None:
    await launch("--state", str(enrolled_state.path), "--policy", str(policy))

    powers = (await (await edge.peer()).challenge()).powers

    assert (powers.shell, powers.commands, powers.docker) == (True, True, 0)
    assert (powers.files, list(powers.file_roots)) == (Powers.FILE_ACCESS_WRITE, ["/"])
    assert list(powers.command_keys) == [bytes(CONSOLE.verify_key)]


async def test_an_agent_whose_policy_others_can_write_reports_and_refuses_commands(
    launch: Launch, edge: Edge, enrolled_state: StateFolder, policy: Path
) -> None:
    policy.chmod(0o666)  # noqa: ASYNC240  # a temporary one
    process = await launch("--state", str(enrolled_state.path), "--policy", str(policy))
    peer = await edge.peer()

    powers = (await peer.shake_hands()).powers
    assert (powers.shell, powers.commands, powers.files) == (False, False, 0)
    await send_command(peer, signed_commands.script("true"))
    assert (await receive_response(peer)).failure == CommandResponse.FAILURE_FORBIDDEN
    await peer.batch()
    process.terminate()
    _, _, err = await outcome(process)
    assert "nothing is allowed until this is fixed" in err


async def test_commands_and_terminals_work_on_the_stream(peer: Peer) -> None:
    await send_command(peer, signed_commands.script("echo hello; exit 3"))
    response = await receive_response(peer)
    assert (response.stdout, response.exit_code) == (b"hello\n", 3)

    await send_session_data(peer, signed_commands.start_session("s-1"))
    await receive_event(peer, "started")
    await send_session_data(peer, Typist("s-1").sign(b"echo hel''lo; exit 5\n"))
    output = b""
    while b"hello\r\n" not in output:
        output += (await receive_event(peer, "output")).output.data
    assert (await receive_event(peer, "exit")).exit.exit_code == 5


async def test_heartbeats_are_answered_between_the_parts_of_an_answer(
    start: Start, edge: Edge
) -> None:
    start(policy=ALLOW_ALL)
    peer = await edge.peer()
    await peer.shake_hands()

    await send_command(peer, signed_commands.script("head -c 1000000 /dev/zero"))
    await peer.receive("command_response")
    await peer.send(MessageToAgent(heartbeat_request=Heartbeat(number=7)))

    kinds = []
    while True:
        message = await asyncio.wait_for(peer._inbox.get(), 10)
        kinds.append(message.WhichOneof("payload"))
        if message.command_response.last:
            break
    assert "heartbeat" in kinds[:-1]


async def test_a_command_from_the_last_stream_can_be_repeated_on_the_next_one(
    start: Start, edge: Edge, tmp_path: Path
) -> None:
    start(policy=ALLOW_ALL)
    first = await edge.peer()
    await first.shake_hands()
    command = signed_commands.script(
        f"echo run >> {tmp_path}/trace; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done; echo done"
    )
    await send_command(first, command)
    await number_of_lines(tmp_path / "trace", 1)
    first.end(grpc.StatusCode.UNAVAILABLE)

    second = await edge.peer()
    await second.shake_hands()
    await send_command(second, command)
    (tmp_path / "go").touch()

    assert (await receive_response(second)).stdout == b"done\n"
    assert read_if_exists(tmp_path / "trace") == "run\n"


async def number_of_lines(path: Path, count: int) -> None:
    async def wait() -> None:
        while read_if_exists(path).count("\n") < count:  # noqa: ASYNC110  # another process writes it
            await asyncio.sleep(0.01)

    await asyncio.wait_for(wait(), 10)


async def test_a_terminated_agent_ends_and_reports_what_it_started(
    launch: Launch, edge: Edge, enrolled_state: StateFolder, policy: Path, tmp_path: Path
) -> None:
    process = await launch("--state", str(enrolled_state.path), "--policy", str(policy))
    peer = await edge.peer()
    await peer.shake_hands()
    await send_command(
        peer, signed_commands.script(f"setsid sleep 100 & echo $! > {tmp_path}/command; wait")
    )
    await send_session_data(peer, signed_commands.start_session("s-1"))
    await receive_event(peer, "started")
    typist = Typist("s-1")
    await send_session_data(peer, typist.sign(f"echo $$ > {tmp_path}/shell; sleep 100\n".encode()))
    pids = [await read_number(tmp_path / name) for name in ("command", "shell")]
    assert all(map(is_alive, pids))

    process.send_signal(signal.SIGTERM)
    code, _, err = await outcome(process)

    assert code == 0
    assert "Traceback" not in err
    assert not any(map(is_alive, pids))
    said = [peer._inbox.get_nowait() for _ in range(peer._inbox.qsize())]
    responses = [message.command_response for message in said if message.command_response.last]
    exits = [message.pty_data.exit for message in said if message.pty_data.HasField("exit")]
    assert [response.status for response in responses] == [CommandResponse.STATUS_CANCELLED]
    assert [exit_.reason for exit_ in exits] == ["the agent was stopped"]


async def test_processes_of_a_killed_agent_end_at_its_restart_at_the_latest(
    launch: Launch, edge: Edge, enrolled_state: StateFolder, policy: Path, tmp_path: Path
) -> None:
    arguments = ("--state", str(enrolled_state.path), "--policy", str(policy))
    process = await launch(*arguments)
    peer = await edge.peer()
    await peer.shake_hands()
    command = signed_commands.script(
        f"echo run >> {tmp_path}/trace; setsid sleep 100 & echo $! > {tmp_path}/command; wait"
    )
    await send_command(peer, command)
    await send_session_data(peer, signed_commands.start_session("s-1"))
    await receive_event(peer, "started")
    await send_session_data(peer, Typist("s-1").sign(f"echo $$ > {tmp_path}/shell\n".encode()))
    orphan, shell = [await read_number(tmp_path / name) for name in ("command", "shell")]

    process.kill()
    await outcome(process)
    # The kernel hangs up.
    await wait_until_gone(shell)
    await launch(*arguments)
    again = await edge.peer()
    await again.shake_hands()
    await wait_until_gone(orphan)

    await send_command(again, command)
    response = await receive_response(again)
    assert response.status == CommandResponse.STATUS_FAILED
    assert "not known how far the command came" in response.reason
    assert read_if_exists(tmp_path / "trace") == "run\n"
    await send_session_data(again, PtyDataToAgent(session_id="s-1", acknowledge=PtyAcknowledge()))
    assert (await receive_event(again, "exit")).exit.failure == CommandResponse.FAILURE_NOT_FOUND


async def test_the_policy_command_prints_the_policy(
    launch: Launch, enrolled_state: StateFolder, policy: Path
) -> None:
    code, out, _ = await outcome(
        await launch("policy", "--state", str(enrolled_state.path), "--policy", str(policy))
    )

    assert code == 0
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert lines.pop("user")
    assert lines == {
        "shell": "on",
        "commands": "on",
        "files": "write below /",
        "docker": "off",
        "trusts": bytes(CONSOLE.verify_key).hex(),
    }


async def test_the_policy_command_reports_a_bad_policy_in_one_line_with_code_2(
    launch: Launch, policy: Path
) -> None:
    policy.write_text("shell = 1")  # noqa: ASYNC240  # a temporary one

    code, out, err = await outcome(await launch("policy", "--policy", str(policy)))

    assert (code, out) == (2, "")
    assert err == f"flotilla-agent: {policy}: shell must be true or false.\n"


async def test_the_trust_command_replaces_the_trusted_key(
    launch: Launch, edge: Edge, enrolled_state: StateFolder, policy: Path
) -> None:
    other = SigningKey(b"o" * 32)

    code, _, _ = await outcome(
        await launch("trust", bytes(other.verify_key).hex(), "--state", str(enrolled_state.path))
    )

    assert code == 0
    assert enrolled_state.load_identity().command_keys == (bytes(other.verify_key),)
    assert enrolled_state.load_identity().vps_id == VPS_ID
    await launch("--state", str(enrolled_state.path), "--policy", str(policy))
    peer = await edge.peer()
    await peer.shake_hands()
    await send_command(peer, signed_commands.script("true"))
    assert (await receive_response(peer)).failure == CommandResponse.FAILURE_FORBIDDEN


@pytest.mark.parametrize("key", ["", "00", "zz" * 32, "00" * 33])
async def test_the_trust_command_refuses_a_malformed_key(
    launch: Launch, enrolled_state: StateFolder, key: str
) -> None:
    code, _, err = await outcome(await launch("trust", key, "--state", str(enrolled_state.path)))

    assert code == 2
    assert "64 hexadecimal digits" in err


async def test_the_trust_command_needs_an_enrolled_agent(launch: Launch, tmp_path: Path) -> None:
    code, _, err = await outcome(await launch("trust", "00" * 32, "--state", str(tmp_path)))

    assert code == 3
    assert "not enrolled" in err
