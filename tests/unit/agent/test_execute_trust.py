"""Whatever is not signed, meant for this agent, fresh, allowed and new, is not executed."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from agent.execute import ledger
from agent.execute.policy import Policy
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
from tests.unit.agent import console
from tests.unit.agent.console import now_ms
from tests.unit.agent.obeying import ALL, Obeying, left, obeying

REFUSED = CommandResponse.STATUS_REFUSED
FORBIDDEN = CommandResponse.FAILURE_FORBIDDEN
INVALID = CommandResponse.FAILURE_INVALID
MINUTE = 60_000  # ms


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Obeying]:
    async with obeying(tmp_path) as agent:
        yield agent


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """What a command that is executed leaves."""
    return tmp_path / "trace"


def other_bytes(request: CommandRequest) -> CommandRequest:
    forged = Command.FromString(request.command)
    forged.actor = "eve"
    return CommandRequest(command=forged.SerializeToString(), signature=request.signature)


def as_input(request: CommandRequest) -> CommandRequest:
    """The right key's signature, but of something else."""
    signature = console.CONSOLE.sign(b"flotilla-pty-input-v1\0" + request.command).signature
    return CommandRequest(command=request.command, signature=signature)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda request: CommandRequest(command=request.command),
        lambda request: CommandRequest(command=request.command, signature=b"short"),
        lambda request: CommandRequest(command=request.command, signature=bytes(64)),
        lambda request: console.signed(Command.FromString(request.command), SigningKey(b"k" * 32)),
        other_bytes,
        as_input,
    ],
)
async def test_what_the_console_has_not_signed_is_refused(
    agent: Obeying, trace: Path, spoil: Callable[[CommandRequest], CommandRequest]
) -> None:
    request = console.signed(console.script(f"echo run > {trace}"))

    answer = await agent.obey(spoil(request))

    assert (answer.status, answer.failure) == (REFUSED, FORBIDDEN)
    assert "not of a console that the agent trusts" in answer.reason
    assert left(trace) == ""


async def test_an_agent_that_trusts_nobody_says_what_to_do(tmp_path: Path, trace: Path) -> None:
    Obeying(tmp_path).state.keep_command_keys(())
    async with obeying(tmp_path) as agent:
        answer = await agent.run(f"echo run > {trace}")

    assert (answer.status, answer.failure) == (REFUSED, FORBIDDEN)
    assert "flotilla-agent trust KEY" in answer.reason
    assert left(trace) == ""


@pytest.mark.parametrize(
    ("changes", "failure", "reason"),
    [
        ({"vps_id": "0192f0c1-0000-7000-8000-000000000000"}, FORBIDDEN, "another server"),
        ({"vps_id": ""}, FORBIDDEN, "another server"),
        ({"id": ""}, INVALID, "no usable id"),
        ({"id": "x" * 65}, INVALID, "no usable id"),
        ({"id": "a.b"}, INVALID, "no usable id"),
        ({"expires_at_unix_ms": now_ms() - 1000}, FORBIDDEN, "has expired"),
        (
            {
                "not_before_unix_ms": now_ms() + 5 * MINUTE,
                "expires_at_unix_ms": now_ms() + 6 * MINUTE,
            },
            FORBIDDEN,
            "not valid yet",
        ),
        ({"not_before_unix_ms": now_ms() - 11 * MINUTE}, FORBIDDEN, "valid for more than 600 s"),
    ],
)
async def test_a_signed_command_is_refused_elsewhere_and_at_another_time(
    agent: Obeying,
    trace: Path,
    changes: dict[str, object],
    failure: CommandResponse.Failure.ValueType,
    reason: str,
) -> None:
    order = console.script(f"echo run > {trace}", **changes)

    agent.give(order)
    answer = await agent.answer()

    assert answer.failure == failure
    assert reason in answer.reason
    assert left(trace) == ""


async def test_the_servers_clock_counts_and_not_the_hosts(agent: Obeying, trace: Path) -> None:
    hours = 2 * 60 * MINUTE
    agent.hands.met(now_ms() - hours)
    there = {
        "not_before_unix_ms": now_ms() - hours - 10_000,
        "expires_at_unix_ms": now_ms() - hours + 30_000,
    }

    assert "not valid yet" in (await agent.run(f"echo run > {trace}")).reason
    assert left(trace) == ""
    assert (await agent.run("true", **there)).status == CommandResponse.STATUS_FINISHED


async def test_what_was_executed_is_not_executed_again(agent: Obeying, trace: Path) -> None:
    order = console.script(f"echo run >> {trace}; echo hello; exit 4")
    first = await agent.obey(order)

    assert await agent.obey(order) == first
    assert (first.exit_code, first.stdout) == (4, b"hello\n")
    assert left(trace) == "run\n"


async def test_what_was_executed_is_not_executed_again_after_a_restart(
    tmp_path: Path, trace: Path
) -> None:
    order = console.script(f"echo run >> {trace}; echo hello")
    async with obeying(tmp_path) as agent:
        first = await agent.obey(order)
    async with obeying(tmp_path) as agent:
        assert await agent.obey(order) == first

    assert left(trace) == "run\n"


async def test_another_command_with_a_used_id_is_refused(agent: Obeying, trace: Path) -> None:
    done = console.script("true")
    await agent.obey(done)

    answer = await agent.run(f"echo run > {trace}", id=done.id)

    assert (answer.status, answer.failure) == (REFUSED, FORBIDDEN)
    assert "had this id" in answer.reason
    assert left(trace) == ""


async def test_what_is_older_than_ten_minutes_before_the_newest_is_refused_whatever_the_clock_says(
    tmp_path: Path, trace: Path
) -> None:
    async with obeying(tmp_path) as agent:
        await agent.run("true")
    async with obeying(tmp_path) as agent:
        # Somebody sets the clock back, to have an old command executed after all.
        agent.hands.met(now_ms() - 11 * MINUTE)
        old = {
            "not_before_unix_ms": now_ms() - 11 * MINUTE,
            "expires_at_unix_ms": now_ms() - 10 * MINUTE,
        }
        answer = await agent.run(f"echo run > {trace}", **old)

    assert (answer.status, answer.failure) == (REFUSED, FORBIDDEN)
    assert "clock been set back" in answer.reason
    assert left(trace) == ""


async def test_what_was_forgotten_for_want_of_room_is_refused(
    tmp_path: Path, trace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "ROW_LIMIT", 4)
    monkeypatch.setattr(ledger, "PRUNE_ROWS", 2)
    start = now_ms() - 20_000
    orders = [
        console.script(f"echo {number} >> {trace}", not_before_unix_ms=start + number)
        for number in range(6)
    ]
    async with obeying(tmp_path) as agent:
        for order in orders:
            await agent.obey(order)
        again = [await agent.obey(order) for order in orders]

    assert left(trace) == "0\n1\n2\n3\n4\n5\n"
    assert "older than what the agent remembers" in again[0].reason
    assert again[-1].status == CommandResponse.STATUS_FINISHED


@pytest.mark.parametrize(
    ("policy", "action", "reason"),
    [
        (Policy(shell=True), {"shell": {"script": "true"}}, "commands are off"),
        (Policy(shell=True), {"file": {"operation": 1, "path": "/"}}, "files are off"),
        (Policy(shell=True), {"docker": {"operation": 1}}, "Docker is off"),
        (
            Policy(files=Powers.FILE_ACCESS_READ, file_roots=(Path("/"),)),
            {"file": {"operation": FileAction.OPERATION_MAKE_DIRECTORY, "path": "/tmp/x"}},
            "may only be read",
        ),
        (
            Policy(docker=Powers.DOCKER_ACCESS_READ),
            {"docker": {"operation": DockerAction.OPERATION_STOP, "target": "0" * 64}},
            "not to act",
        ),
        (Policy(), {"shell": {"script": "true"}}, "commands are off"),
    ],
)
async def test_what_the_policy_does_not_allow_is_refused(
    tmp_path: Path, policy: Policy, action: dict[str, object], reason: str
) -> None:
    async with obeying(tmp_path, policy) as agent:
        answer = await agent.obey(console.command(**action))

    assert (answer.status, answer.failure) == (REFUSED, FORBIDDEN)
    assert reason in answer.reason


@pytest.mark.parametrize("action", [{}, {"pty": PtyAction(session_id="s", columns=80, rows=24)}])
async def test_what_is_no_command_of_its_kind_is_refused(
    agent: Obeying, action: dict[str, object]
) -> None:
    answer = await agent.obey(console.command(**action))

    assert (answer.status, answer.failure) == (CommandResponse.STATUS_FAILED, INVALID)


async def test_a_rotated_key_is_obeyed_at_once_and_after_a_restart_and_the_old_one_is_not(
    tmp_path: Path,
) -> None:
    new = SigningKey(b"n" * 32)
    rotate = console.command(rotate=RotateAction(command_key=bytes(new.verify_key)))
    async with obeying(tmp_path) as agent:
        assert list(agent.hands.powers().command_keys) == [bytes(console.CONSOLE.verify_key)]
        assert (await agent.obey(rotate)).status == CommandResponse.STATUS_FINISHED
        assert list(agent.hands.powers().command_keys) == [bytes(new.verify_key)]
        identity = json.loads((tmp_path / "identity.json").read_text())
        assert len(identity["command_keys"]) == 1
    async with obeying(tmp_path) as agent:
        old = await agent.run("true")
        assert (old.status, old.failure) == (REFUSED, FORBIDDEN)
        agent.give(console.signed(console.script("true"), new))
        assert (await agent.answer()).status == CommandResponse.STATUS_FINISHED


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(33)])
async def test_a_key_of_another_length_is_not_rotated_to(agent: Obeying, key: bytes) -> None:
    answer = await agent.obey(console.command(rotate=RotateAction(command_key=key)))

    assert answer.failure == INVALID
    assert (await agent.run("true")).status == CommandResponse.STATUS_FINISHED


async def test_a_key_that_cannot_be_kept_is_not_rotated_to(
    agent: Obeying, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(keys: tuple[bytes, ...]) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(agent.state, "keep_command_keys", fail)
    answer = await agent.obey(console.command(rotate=RotateAction(command_key=bytes(range(32)))))

    assert answer.failure == CommandResponse.FAILURE_UNAVAILABLE
    assert (await agent.run("true")).status == CommandResponse.STATUS_FINISHED


async def test_rotating_takes_no_power(tmp_path: Path) -> None:
    async with obeying(tmp_path, Policy()) as agent:
        rotate = console.command(rotate=RotateAction(command_key=bytes(range(32))))
        assert (await agent.obey(rotate)).status == CommandResponse.STATUS_FINISHED


async def test_refusals_are_answered_to_the_id_they_bear_and_to_none_that_is_malformed(
    agent: Obeying,
) -> None:
    order = console.command(cancel=CancelAction(command_id="x"))
    unsigned = await agent.obey(CommandRequest(command=order.SerializeToString()))
    assert unsigned.command_id == order.id
    order.id = "a\nb"
    assert (await agent.obey(CommandRequest(command=order.SerializeToString()))).command_id == ""
    assert (await agent.obey(CommandRequest(command=b"\xff\xff"))).command_id == ""


def test_all_powers_are_told_with_whose_they_are_and_whom_the_agent_obeys() -> None:
    key = bytes(console.CONSOLE.verify_key)

    powers = ALL.powers((key,))

    assert (powers.shell, powers.commands, list(powers.file_roots)) == (True, True, ["/"])
    assert powers.user
    assert list(powers.command_keys) == [key]
    assert list(Policy().powers((key,)).command_keys) == []
