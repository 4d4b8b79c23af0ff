"""A command is executed only if it is signed, for this agent, valid now, allowed and new."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from agent.commands import command_history_db
from agent.commands.policy import Policy
from flotilla.v1.agent_pb2 import Powers
from flotilla.v1.command_pb2 import (
    CancelAction,
    Command,
    CommandRequest,
    CommandResponse,
    DockerAction,
    FileAction,
    PtyAction,
    RotateAction,
)
from tests.fixtures.agent import signed_commands
from tests.fixtures.agent.dispatcher import ALLOW_ALL, DispatcherHarness, running_dispatcher
from tests.fixtures.agent.host_processes import read_if_exists
from tests.fixtures.agent.signed_commands import now_ms

REFUSED = CommandResponse.STATUS_REFUSED
FORBIDDEN = CommandResponse.FAILURE_FORBIDDEN
INVALID = CommandResponse.FAILURE_INVALID
MINUTE = 60_000  # ms


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[DispatcherHarness]:
    async with running_dispatcher(tmp_path) as agent:
        yield agent


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Return the path of a file that an executed command writes."""
    return tmp_path / "trace"


def other_bytes(request: CommandRequest) -> CommandRequest:
    forged = Command.FromString(request.command)
    forged.actor = "eve"
    return CommandRequest(command=forged.SerializeToString(), signature=request.signature)


def as_input(request: CommandRequest) -> CommandRequest:
    """Return the command with a signature that the right key made in another context."""
    signature = signed_commands.CONSOLE.sign(b"flotilla-pty-input-v1\0" + request.command).signature
    return CommandRequest(command=request.command, signature=signature)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda request: CommandRequest(command=request.command),
        lambda request: CommandRequest(command=request.command, signature=b"short"),
        lambda request: CommandRequest(command=request.command, signature=bytes(64)),
        lambda request: signed_commands.sign(
            Command.FromString(request.command), SigningKey(b"k" * 32)
        ),
        other_bytes,
        as_input,
    ],
)
async def test_a_command_without_a_valid_signature_is_refused(
    agent: DispatcherHarness, trace: Path, spoil: Callable[[CommandRequest], CommandRequest]
) -> None:
    request = signed_commands.sign(signed_commands.script(f"echo run > {trace}"))

    answer = await agent.execute(spoil(request))

    assert (answer.status, answer.failure) == (REFUSED, FORBIDDEN)
    assert "not from a command key that the agent trusts" in answer.reason
    assert read_if_exists(trace) == ""


async def test_an_agent_without_a_trusted_key_says_what_to_do(tmp_path: Path, trace: Path) -> None:
    DispatcherHarness(tmp_path).state.save_command_keys(())
    async with running_dispatcher(tmp_path) as agent:
        answer = await agent.run_script(f"echo run > {trace}")

    assert (answer.status, answer.failure) == (REFUSED, FORBIDDEN)
    assert "flotilla-agent trust KEY" in answer.reason
    assert read_if_exists(trace) == ""


@pytest.mark.parametrize(
    ("changes", "failure", "reason"),
    [
        ({"vps_id": "0192f0c1-0000-7000-8000-000000000000"}, FORBIDDEN, "another server"),
        ({"vps_id": ""}, FORBIDDEN, "another server"),
        ({"id": ""}, INVALID, "id of a command must have"),
        ({"id": "x" * 65}, INVALID, "id of a command must have"),
        ({"id": "a.b"}, INVALID, "id of a command must have"),
        ({"expires_at_unix_ms": now_ms() - 1000}, FORBIDDEN, "has expired"),
        (
            {
                "not_before_unix_ms": now_ms() + 5 * MINUTE,
                "expires_at_unix_ms": now_ms() + 6 * MINUTE,
            },
            FORBIDDEN,
            "not valid yet",
        ),
        ({"not_before_unix_ms": now_ms() - 11 * MINUTE}, FORBIDDEN, "at most 600 s are allowed"),
    ],
)
async def test_a_signed_command_is_refused_by_another_server_and_at_another_time(
    agent: DispatcherHarness,
    trace: Path,
    changes: dict[str, object],
    failure: CommandResponse.Failure.ValueType,
    reason: str,
) -> None:
    command = signed_commands.script(f"echo run > {trace}", **changes)

    agent.send(command)
    answer = await agent.response()

    assert answer.failure == failure
    assert reason in answer.reason
    assert read_if_exists(trace) == ""


async def test_the_clock_of_the_server_counts_and_not_that_of_the_host(
    agent: DispatcherHarness, trace: Path
) -> None:
    hours = 2 * 60 * MINUTE
    agent.dispatcher.set_server_time(now_ms() - hours)
    there = {
        "not_before_unix_ms": now_ms() - hours - 10_000,
        "expires_at_unix_ms": now_ms() - hours + 30_000,
    }

    assert "not valid yet" in (await agent.run_script(f"echo run > {trace}")).reason
    assert read_if_exists(trace) == ""
    assert (await agent.run_script("true", **there)).status == CommandResponse.STATUS_FINISHED


@pytest.mark.parametrize("back", [3, 9, 11, 24 * 60])
async def test_a_challenge_cannot_make_a_withheld_command_valid_again(
    agent: DispatcherHarness, trace: Path, back: int
) -> None:
    agent.dispatcher.set_server_time(now_ms())
    then = now_ms() - back * MINUTE
    withheld = {"not_before_unix_ms": then - 10_000, "expires_at_unix_ms": then + 30_000}

    agent.dispatcher.set_server_time(then)

    assert "expired" in (await agent.run_script(f"echo run > {trace}", **withheld)).reason
    assert read_if_exists(trace) == ""
    assert (await agent.run_script("true")).status == CommandResponse.STATUS_FINISHED


async def test_a_restarted_agent_remembers_the_newest_signed_time(
    tmp_path: Path, trace: Path
) -> None:
    then = now_ms() - 5 * MINUTE
    withheld = {"not_before_unix_ms": then - 10_000, "expires_at_unix_ms": then + 30_000}
    async with running_dispatcher(tmp_path) as agent:
        await agent.run_script("true")
    async with running_dispatcher(tmp_path) as agent:
        agent.dispatcher.set_server_time(then)
        answer = await agent.run_script(f"echo run > {trace}", **withheld)

    assert answer.status == REFUSED
    assert "expired" in answer.reason
    assert read_if_exists(trace) == ""


@pytest.mark.parametrize("content", [b"", b"x", b"\xff", b"1" * 5_000])
async def test_a_damaged_time_file_is_ignored(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "server_time").write_bytes(content)
    async with running_dispatcher(tmp_path) as agent:
        agent.dispatcher.set_server_time(now_ms())
        assert (await agent.run_script("true")).status == CommandResponse.STATUS_FINISHED


async def test_an_executed_command_is_not_executed_again(
    agent: DispatcherHarness, trace: Path
) -> None:
    command = signed_commands.script(f"echo run >> {trace}; echo hello; exit 4")
    first = await agent.execute(command)

    assert await agent.execute(command) == first
    assert (first.exit_code, first.stdout) == (4, b"hello\n")
    assert read_if_exists(trace) == "run\n"


async def test_an_executed_command_is_not_executed_again_after_a_restart(
    tmp_path: Path, trace: Path
) -> None:
    command = signed_commands.script(f"echo run >> {trace}; echo hello")
    async with running_dispatcher(tmp_path) as agent:
        first = await agent.execute(command)
    async with running_dispatcher(tmp_path) as agent:
        assert await agent.execute(command) == first

    assert read_if_exists(trace) == "run\n"


async def test_another_command_with_a_used_id_is_refused(
    agent: DispatcherHarness, trace: Path
) -> None:
    done = signed_commands.script("true")
    await agent.execute(done)

    answer = await agent.run_script(f"echo run > {trace}", id=done.id)

    assert (answer.status, answer.failure) == (REFUSED, FORBIDDEN)
    assert "executed under this id before" in answer.reason
    assert read_if_exists(trace) == ""


async def test_a_command_ten_minutes_older_than_the_newest_is_refused_whatever_the_clock(
    tmp_path: Path, trace: Path
) -> None:
    async with running_dispatcher(tmp_path) as agent:
        await agent.run_script("true")
    async with running_dispatcher(tmp_path) as agent:
        # An attacker sets the clock back to have an old command executed.
        agent.dispatcher.set_server_time(now_ms() - 11 * MINUTE)
        old = {
            "not_before_unix_ms": now_ms() - 11 * MINUTE,
            "expires_at_unix_ms": now_ms() - 10 * MINUTE,
        }
        answer = await agent.run_script(f"echo run > {trace}", **old)

    assert (answer.status, answer.failure) == (REFUSED, FORBIDDEN)
    assert "check the clocks" in answer.reason
    assert read_if_exists(trace) == ""


async def test_a_command_that_was_pruned_from_the_history_is_refused(
    tmp_path: Path, trace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_history_db, "ROW_LIMIT", 4)
    monkeypatch.setattr(command_history_db, "PRUNE_ROWS", 2)
    start = now_ms() - 20_000
    commands = [
        signed_commands.script(f"echo {number} >> {trace}", not_before_unix_ms=start + number)
        for number in range(6)
    ]
    async with running_dispatcher(tmp_path) as agent:
        for command in commands:
            await agent.execute(command)
        again = [await agent.execute(command) for command in commands]

    assert read_if_exists(trace) == "0\n1\n2\n3\n4\n5\n"
    assert "older than those that the agent still remembers" in again[0].reason
    assert again[-1].status == CommandResponse.STATUS_FINISHED


@pytest.mark.parametrize(
    ("policy", "action", "reason"),
    [
        (Policy(shell=True), {"shell": {"script": "true"}}, "Commands are switched off"),
        (Policy(shell=True), {"file": {"operation": 1, "path": "/"}}, "Files are switched off"),
        (Policy(shell=True), {"docker": {"operation": 1}}, "Docker is switched off"),
        (
            Policy(files=Powers.FILE_ACCESS_READ, file_roots=(Path("/"),)),
            {"file": {"operation": FileAction.OPERATION_MAKE_DIRECTORY, "path": "/tmp/x"}},
            "can only be read",
        ),
        (
            Policy(docker=Powers.DOCKER_ACCESS_READ),
            {"docker": {"operation": DockerAction.OPERATION_STOP, "target": "0" * 64}},
            "but not changing it",
        ),
        (Policy(), {"shell": {"script": "true"}}, "Commands are switched off"),
    ],
)
async def test_an_action_that_the_policy_does_not_allow_is_refused(
    tmp_path: Path, policy: Policy, action: dict[str, object], reason: str
) -> None:
    async with running_dispatcher(tmp_path, policy) as agent:
        answer = await agent.execute(signed_commands.command(**action))

    assert (answer.status, answer.failure) == (REFUSED, FORBIDDEN)
    assert reason in answer.reason


@pytest.mark.parametrize("action", [{}, {"pty": PtyAction(session_id="s", columns=80, rows=24)}])
async def test_a_command_without_an_action_or_with_a_session_is_refused(
    agent: DispatcherHarness, action: dict[str, object]
) -> None:
    answer = await agent.execute(signed_commands.command(**action))

    assert (answer.status, answer.failure) == (CommandResponse.STATUS_FAILED, INVALID)


async def test_a_rotated_key_replaces_the_old_one_at_once_and_after_a_restart(
    tmp_path: Path,
) -> None:
    new = SigningKey(b"n" * 32)
    rotate = signed_commands.command(rotate=RotateAction(command_key=bytes(new.verify_key)))
    async with running_dispatcher(tmp_path) as agent:
        assert list(agent.dispatcher.permissions().command_keys) == [
            bytes(signed_commands.CONSOLE.verify_key)
        ]
        assert (await agent.execute(rotate)).status == CommandResponse.STATUS_FINISHED
        assert list(agent.dispatcher.permissions().command_keys) == [bytes(new.verify_key)]
        identity = json.loads((tmp_path / "identity.json").read_text())
        assert len(identity["command_keys"]) == 1
    async with running_dispatcher(tmp_path) as agent:
        old = await agent.run_script("true")
        assert (old.status, old.failure) == (REFUSED, FORBIDDEN)
        agent.send(signed_commands.sign(signed_commands.script("true"), new))
        assert (await agent.response()).status == CommandResponse.STATUS_FINISHED


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(33)])
async def test_a_key_of_another_length_is_refused(agent: DispatcherHarness, key: bytes) -> None:
    answer = await agent.execute(signed_commands.command(rotate=RotateAction(command_key=key)))

    assert answer.failure == INVALID
    assert (await agent.run_script("true")).status == CommandResponse.STATUS_FINISHED


async def test_a_key_that_cannot_be_saved_is_refused(
    agent: DispatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(keys: tuple[bytes, ...]) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(agent.state, "save_command_keys", fail)
    answer = await agent.execute(
        signed_commands.command(rotate=RotateAction(command_key=bytes(range(32))))
    )

    assert answer.failure == CommandResponse.FAILURE_UNAVAILABLE
    assert (await agent.run_script("true")).status == CommandResponse.STATUS_FINISHED


async def test_the_key_can_be_rotated_without_any_permission(tmp_path: Path) -> None:
    async with running_dispatcher(tmp_path, Policy()) as agent:
        rotate = signed_commands.command(rotate=RotateAction(command_key=bytes(range(32))))
        assert (await agent.execute(rotate)).status == CommandResponse.STATUS_FINISHED


async def test_a_refusal_names_the_id_of_the_command_unless_it_is_malformed(
    agent: DispatcherHarness,
) -> None:
    command = signed_commands.command(cancel=CancelAction(command_id="x"))
    unsigned = await agent.execute(CommandRequest(command=command.SerializeToString()))
    assert unsigned.command_id == command.id
    command.id = "a\nb"
    assert (
        await agent.execute(CommandRequest(command=command.SerializeToString()))
    ).command_id == ""
    assert (await agent.execute(CommandRequest(command=b"\xff\xff"))).command_id == ""


def test_the_permissions_name_the_user_and_the_trusted_keys() -> None:
    key = bytes(signed_commands.CONSOLE.verify_key)

    powers = ALLOW_ALL.permissions((key,))

    assert (powers.shell, powers.commands, list(powers.file_roots)) == (True, True, ["/"])
    assert powers.user
    assert list(powers.command_keys) == [key]
    assert list(Policy().permissions((key,)).command_keys) == []
