"""The agent as a process, with hands."""

import asyncio
import signal
from pathlib import Path

import grpc
import pytest
from nacl.signing import SigningKey

from agent.identity import Identity, StateFolder
from flotilla.v1.agent_pb2 import Heartbeat, MessageToAgent, Powers
from flotilla.v1.command_pb2 import (
    Command,
    CommandResponse,
    PtyAcknowledge,
    PtyDataToAgent,
    PtyDataToServer,
)
from tests.unit.agent import console
from tests.unit.agent.console import CONSOLE, Typist
from tests.unit.agent.edge import VPS_ID, Authority, Edge, Peer
from tests.unit.agent.obeying import ALL, gone, joined, left, lives, number_in
from tests.unit.agent.processes import Launch, outcome
from tests.unit.agent.running import Start

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
def obedient(tmp_path: Path, edge: Edge, authority: Authority) -> StateFolder:
    state = StateFolder(tmp_path / "state")
    state.prepare()
    keys = (bytes(CONSOLE.verify_key),)
    state.keep_identity(
        Identity(VPS_ID, edge.address, authority.ca_pem, SigningKey.generate(), keys)
    )
    return state


@pytest.fixture
async def peer(launch: Launch, edge: Edge, obedient: StateFolder, policy: Path) -> Peer:
    await launch("--state", str(obedient.path), "--policy", str(policy))
    peer = await edge.peer()
    await peer.shake_hands()
    return peer


async def give(peer: Peer, order: Command) -> None:
    await peer.send(MessageToAgent(command_request=console.signed(order)))


async def answer(peer: Peer) -> CommandResponse:
    parts: list[CommandResponse] = []
    while not parts or not parts[-1].last:
        parts.append((await peer.receive("command_response")).command_response)
    return joined(parts)


async def say(peer: Peer, data: PtyDataToAgent) -> None:
    await peer.send(MessageToAgent(pty_data=data))


async def hear(peer: Peer, event: str) -> PtyDataToServer:
    while True:
        data = (await peer.receive("pty_data")).pty_data
        if data.WhichOneof("event") == event:
            return data


async def test_the_handshake_tells_the_powers(
    launch: Launch, edge: Edge, obedient: StateFolder, policy: Path
) -> None:
    await launch("--state", str(obedient.path), "--policy", str(policy))

    powers = (await (await edge.peer()).challenge()).powers

    assert (powers.shell, powers.commands, powers.docker) == (True, True, 0)
    assert (powers.files, list(powers.file_roots)) == (Powers.FILE_ACCESS_WRITE, ["/"])
    assert list(powers.command_keys) == [bytes(CONSOLE.verify_key)]


async def test_with_a_policy_that_others_may_write_the_agent_reports_and_obeys_nobody(
    launch: Launch, edge: Edge, obedient: StateFolder, policy: Path
) -> None:
    policy.chmod(0o666)  # noqa: ASYNC240  # a temporary one
    process = await launch("--state", str(obedient.path), "--policy", str(policy))
    peer = await edge.peer()

    powers = (await peer.shake_hands()).powers
    assert (powers.shell, powers.commands, powers.files) == (False, False, 0)
    await give(peer, console.script("true"))
    assert (await answer(peer)).failure == CommandResponse.FAILURE_FORBIDDEN
    await peer.batch()
    process.terminate()
    _, _, err = await outcome(process)
    assert "all powers are off" in err


async def test_commands_and_terminals_work_on_the_stream(peer: Peer) -> None:
    await give(peer, console.script("echo hello; exit 3"))
    response = await answer(peer)
    assert (response.stdout, response.exit_code) == (b"hello\n", 3)

    await say(peer, console.start("s-1"))
    await hear(peer, "started")
    await say(peer, Typist("s-1").types(b"echo hel''lo; exit 5\n"))
    output = b""
    while b"hello\r\n" not in output:
        output += (await hear(peer, "output")).output.data
    assert (await hear(peer, "exit")).exit.exit_code == 5


async def test_heartbeats_are_answered_between_the_parts_of_an_answer(
    start: Start, edge: Edge
) -> None:
    start(policy=ALL)
    peer = await edge.peer()
    await peer.shake_hands()

    await give(peer, console.script("head -c 1000000 /dev/zero"))
    await peer.receive("command_response")
    await peer.send(MessageToAgent(heartbeat_request=Heartbeat(number=7)))

    kinds = []
    while True:
        message = await asyncio.wait_for(peer._inbox.get(), 10)
        kinds.append(message.WhichOneof("payload"))
        if message.command_response.last:
            break
    assert "heartbeat" in kinds[:-1]


async def test_a_new_stream_answers_a_repeat_of_what_the_old_one_began(
    start: Start, edge: Edge, tmp_path: Path
) -> None:
    start(policy=ALL)
    first = await edge.peer()
    await first.shake_hands()
    order = console.script(f"echo run >> {tmp_path}/trace; sleep 0.3; echo done")
    await give(first, order)
    await number_of_lines(tmp_path / "trace", 1)
    first.end(grpc.StatusCode.UNAVAILABLE)

    second = await edge.peer()
    await second.shake_hands()
    await give(second, order)

    assert (await answer(second)).stdout == b"done\n"
    assert left(tmp_path / "trace") == "run\n"


async def number_of_lines(path: Path, count: int) -> None:
    async def wait() -> None:
        while left(path).count("\n") < count:  # noqa: ASYNC110  # another process writes it
            await asyncio.sleep(0.01)

    await asyncio.wait_for(wait(), 10)


async def test_terminated_the_agent_ends_and_reports_all_that_it_started(
    launch: Launch, edge: Edge, obedient: StateFolder, policy: Path, tmp_path: Path
) -> None:
    process = await launch("--state", str(obedient.path), "--policy", str(policy))
    peer = await edge.peer()
    await peer.shake_hands()
    await give(peer, console.script(f"setsid sleep 100 & echo $! > {tmp_path}/command; wait"))
    await say(peer, console.start("s-1"))
    await hear(peer, "started")
    typist = Typist("s-1")
    await say(peer, typist.types(f"echo $$ > {tmp_path}/shell; sleep 100\n".encode()))
    pids = [await number_in(tmp_path / name) for name in ("command", "shell")]
    assert all(map(lives, pids))

    process.send_signal(signal.SIGTERM)
    code, _, err = await outcome(process)

    assert code == 0
    assert "Traceback" not in err
    assert not any(map(lives, pids))
    said = [peer._inbox.get_nowait() for _ in range(peer._inbox.qsize())]
    responses = [message.command_response for message in said if message.command_response.last]
    exits = [message.pty_data.exit for message in said if message.pty_data.HasField("exit")]
    assert [response.status for response in responses] == [CommandResponse.STATUS_CANCELLED]
    assert [exit_.reason for exit_ in exits] == ["the agent was stopped"]


async def test_killed_the_agent_leaves_nothing_running_for_longer_than_its_restart(
    launch: Launch, edge: Edge, obedient: StateFolder, policy: Path, tmp_path: Path
) -> None:
    arguments = ("--state", str(obedient.path), "--policy", str(policy))
    process = await launch(*arguments)
    peer = await edge.peer()
    await peer.shake_hands()
    order = console.script(
        f"echo run >> {tmp_path}/trace; setsid sleep 100 & echo $! > {tmp_path}/command; wait"
    )
    await give(peer, order)
    await say(peer, console.start("s-1"))
    await hear(peer, "started")
    await say(peer, Typist("s-1").types(f"echo $$ > {tmp_path}/shell\n".encode()))
    command, shell = [await number_in(tmp_path / name) for name in ("command", "shell")]

    process.kill()
    await outcome(process)
    # The kernel hangs up.
    await gone(shell)
    await launch(*arguments)
    again = await edge.peer()
    await again.shake_hands()
    await gone(command)

    await give(again, order)
    response = await answer(again)
    assert response.status == CommandResponse.STATUS_FAILED
    assert "how far it came is not known" in response.reason
    assert left(tmp_path / "trace") == "run\n"
    await say(again, PtyDataToAgent(session_id="s-1", acknowledge=PtyAcknowledge()))
    assert (await hear(again, "exit")).exit.failure == CommandResponse.FAILURE_NOT_FOUND


async def test_powers_prints_what_is_allowed(
    launch: Launch, obedient: StateFolder, policy: Path
) -> None:
    code, out, _ = await outcome(
        await launch("powers", "--state", str(obedient.path), "--policy", str(policy))
    )

    assert code == 0
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert lines.pop("user")
    assert lines == {
        "shell": "on",
        "commands": "on",
        "files": "write below /",
        "docker": "off",
        "obeys": bytes(CONSOLE.verify_key).hex(),
    }


async def test_powers_of_a_bad_policy_is_one_line_and_code_2(launch: Launch, policy: Path) -> None:
    policy.write_text("shell = 1")  # noqa: ASYNC240  # a temporary one

    code, out, err = await outcome(await launch("powers", "--policy", str(policy)))

    assert (code, out) == (2, "")
    assert err == f"flotilla-agent: {policy}: shell: must be true or false\n"


async def test_trust_has_the_agent_obey_another_key(
    launch: Launch, edge: Edge, obedient: StateFolder, policy: Path
) -> None:
    other = SigningKey(b"o" * 32)

    code, _, _ = await outcome(
        await launch("trust", bytes(other.verify_key).hex(), "--state", str(obedient.path))
    )

    assert code == 0
    assert obedient.identity().command_keys == (bytes(other.verify_key),)
    assert obedient.identity().vps_id == VPS_ID
    await launch("--state", str(obedient.path), "--policy", str(policy))
    peer = await edge.peer()
    await peer.shake_hands()
    await give(peer, console.script("true"))
    assert (await answer(peer)).failure == CommandResponse.FAILURE_FORBIDDEN


@pytest.mark.parametrize("key", ["", "00", "zz" * 32, "00" * 33])
async def test_what_is_no_key_is_not_trusted(
    launch: Launch, obedient: StateFolder, key: str
) -> None:
    code, _, err = await outcome(await launch("trust", key, "--state", str(obedient.path)))

    assert code == 2
    assert "64 hexadecimal digits" in err


async def test_trust_before_enrolment_says_so(launch: Launch, tmp_path: Path) -> None:
    code, _, err = await outcome(await launch("trust", "00" * 32, "--state", str(tmp_path)))

    assert code == 3
    assert "not enrolled" in err
