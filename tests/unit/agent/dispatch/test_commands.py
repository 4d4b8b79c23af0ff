import functools
import gc
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.commands import responses
from agent.dispatch.executor import Execution
from flotilla.v1.command_pb2 import CancelAction, CommandResponse
from tests.fixtures.agent import signed_commands
from tests.fixtures.agent.dispatcher import DispatcherHarness, running_dispatcher
from tests.fixtures.agent.host_processes import (
    is_alive,
    open_descriptors,
    read_number,
    wait_until_gone,
)
from tests.fixtures.waiting import soon, until

FINISHED = CommandResponse.STATUS_FINISHED


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[DispatcherHarness]:
    async with running_dispatcher(tmp_path) as agent:
        yield agent


async def test_a_command_answers_with_its_output_and_its_code(agent: DispatcherHarness) -> None:
    answer = await agent.run_script("echo out; echo err >&2; exit 3")

    assert (answer.status, answer.exit_code) == (FINISHED, 3)
    assert (answer.stdout, answer.stderr, answer.truncated) == (b"out\n", b"err\n", False)


async def test_a_killed_command_answers_with_its_signal(agent: DispatcherHarness) -> None:
    assert (await agent.run_script("kill -USR1 $$")).exit_code == -10


async def test_a_command_receives_signals_that_its_agent_ignores(
    agent: DispatcherHarness, request: pytest.FixtureRequest
) -> None:
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        before = signal.signal(number, signal.SIG_IGN)
        request.addfinalizer(functools.partial(signal.signal, number, before))

    answer = await agent.run_script("grep SigIgn /proc/self/status")

    assert int(answer.stdout.split()[1], 16) & 0b111 == 0


async def test_an_ended_command_leaves_no_reference_cycle(agent: DispatcherHarness) -> None:
    gc.collect()
    gc.disable()
    try:
        await agent.run_script("echo out")
        assert [found for found in gc.get_objects() if isinstance(found, Execution)] == []
    finally:
        gc.enable()


async def test_output_comes_while_the_command_runs(
    agent: DispatcherHarness, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    agent.send(
        signed_commands.script(f"echo first; while [ ! -e {go} ]; do sleep 0.02; done; echo second")
    )

    part = await soon(agent.parts.get())
    assert (part.stdout, part.last, part.status) == (
        b"first\n",
        False,
        CommandResponse.STATUS_RUNNING,
    )
    go.touch()
    rest = [await soon(agent.parts.get())]
    while not rest[-1].last:
        rest.append(await soon(agent.parts.get()))
    assert [part.part for part in rest] == list(range(1, len(rest) + 1))
    assert b"".join(part.stdout for part in rest) == b"second\n"


async def test_large_output_is_complete_and_in_parts_of_bounded_size(
    agent: DispatcherHarness,
) -> None:
    command = signed_commands.script("seq 1 100000; seq 1 50000 >&2")
    agent.send(command)
    sizes: list[int] = []
    stdout, stderr = b"", b""
    while True:
        part = await soon(agent.parts.get())
        assert (part.command_id, part.part) == (command.id, len(sizes))
        sizes.append(len(part.stdout) + len(part.stderr))
        stdout, stderr = stdout + part.stdout, stderr + part.stderr
        if part.last:
            break

    assert max(sizes) <= 64 * 1024
    assert stdout.decode() == "".join(f"{number}\n" for number in range(1, 100_001))
    assert stderr.decode() == "".join(f"{number}\n" for number in range(1, 50_001))
    assert not part.truncated


async def test_output_over_the_limit_is_dropped_and_the_command_finishes(
    agent: DispatcherHarness, tmp_path: Path
) -> None:
    done = tmp_path / "done"

    answer = await agent.run_script(
        f"head -c 3000000 /dev/zero; touch {done}", max_output_bytes=100_000
    )

    assert (len(answer.stdout), answer.truncated, answer.status) == (100_000, True, FINISHED)
    assert done.exists()


async def test_a_command_does_not_see_the_environment_of_the_agent(
    agent: DispatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY", "sings")

    answer = await agent.run_script("env; ls -l /proc/self/fd; cat; pwd; umask")

    assert b"CANARY" not in answer.stdout
    names = {line.partition("=")[0] for line in answer.stdout.decode().splitlines() if "=" in line}
    assert names <= {
        "FLOTILLA_COMMAND",
        "HOME",
        "LANG",
        "LOGNAME",
        "OLDPWD",
        "PATH",
        "PWD",
        "SHELL",
        "SHLVL",
        "TERM",
        "USER",
        "_",
    }
    # stdin, stdout, stderr, and the folder that `ls` reads.
    assert answer.stdout.count(b" -> ") == 4
    assert answer.stdout.endswith(b"0022\n")


async def test_a_timeout_ends_all_processes_of_a_command(
    agent: DispatcherHarness, tmp_path: Path
) -> None:
    script = f"""
        trap '' TERM
        (sleep 100 & echo $! > {tmp_path}/grandchild; wait) &
        setsid sh -c 'trap "" TERM; echo $$ > {tmp_path}/apart; while :; do sleep 1; done' &
        sh -c '(setsid sleep 100 & echo $! > {tmp_path}/orphan)'
        echo begun
        while :; do sleep 1; done
    """
    agent.send(signed_commands.script(script, timeout_ms=3000))
    pids = [await read_number(tmp_path / name) for name in ("grandchild", "apart", "orphan")]
    assert all(map(is_alive, pids))

    answer = await agent.response()

    assert answer.status == CommandResponse.STATUS_TIMED_OUT
    assert answer.reason == "The command was ended after its timeout of 3 s."
    assert answer.stdout == b"begun\n"
    await wait_until_gone(*pids)


async def test_a_process_that_keeps_the_output_open_does_not_delay_the_response(
    agent: DispatcherHarness, tmp_path: Path
) -> None:
    answer = await agent.run_script(f"sleep 100 & echo $! > {tmp_path}/left; echo done")

    assert (answer.stdout, answer.status) == (b"done\n", FINISHED)
    await wait_until_gone(await read_number(tmp_path / "left"))


async def test_a_daemon_with_its_own_session_outlives_the_command(
    agent: DispatcherHarness, tmp_path: Path
) -> None:
    answer = await agent.run_script(
        f"setsid sh -c 'echo $$ > {tmp_path}/daemon; exec sleep 100' >/dev/null 2>&1 &\n"
        f"while [ ! -s {tmp_path}/daemon ]; do sleep 0.02; done"
    )

    daemon = await read_number(tmp_path / "daemon")
    assert answer.status == FINISHED
    assert is_alive(daemon)
    await agent.run_script(f"kill {daemon}")
    await wait_until_gone(daemon)


async def test_a_cancelled_command_ends_with_all_its_processes(
    agent: DispatcherHarness, tmp_path: Path
) -> None:
    command = signed_commands.script(f"echo begun; sleep 100 & echo $! > {tmp_path}/child; wait")
    agent.send(command)
    child = await read_number(tmp_path / "child")

    agent.send(signed_commands.command(cancel=CancelAction(command_id=command.id)))

    cancelled = await agent.response(command.id)
    assert (cancelled.status, cancelled.reason) == (
        CommandResponse.STATUS_CANCELLED,
        "Cancelled by ada.",
    )
    assert (await agent.response()).status == FINISHED
    await wait_until_gone(child)


async def test_a_command_that_does_not_run_cannot_be_cancelled(agent: DispatcherHarness) -> None:
    command = signed_commands.script("true")
    await agent.execute(command)

    late = await agent.execute(signed_commands.command(cancel=CancelAction(command_id=command.id)))

    assert (late.status, late.failure) == (
        CommandResponse.STATUS_FAILED,
        CommandResponse.FAILURE_CONFLICT,
    )


async def test_a_ninth_concurrent_command_is_refused_as_busy(
    agent: DispatcherHarness, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    commands = [
        signed_commands.script(f"while [ ! -e {go} ]; do sleep 0.05; done") for _ in range(8)
    ]
    for command in commands:
        agent.send(command)

    ninth = await agent.run_script("true")
    assert (ninth.status, ninth.failure) == (
        CommandResponse.STATUS_REFUSED,
        CommandResponse.FAILURE_BUSY,
    )
    # Cancelling still works.
    agent.send(signed_commands.command(cancel=CancelAction(command_id=commands[0].id)))
    both = {(await agent.response()).status, (await agent.response()).status}
    assert both == {FINISHED, CommandResponse.STATUS_CANCELLED}

    go.touch()
    assert {(await agent.response()).status for _ in commands[1:]} == {FINISHED}
    assert (await agent.run_script("true")).status == FINISHED


async def test_a_stream_that_sends_nothing_holds_the_command_back(
    agent: DispatcherHarness, tmp_path: Path
) -> None:
    await agent.disconnect()
    agent.dispatcher.stream_opened()  # its messages are not read
    command = signed_commands.script(
        f"seq 1 300000; touch {tmp_path}/done", max_output_bytes=1024 * 1024
    )

    agent.send(command)
    await until(lambda: len(agent.dispatcher.responses._waiting) == responses.LIMIT)

    assert not (tmp_path / "done").exists()
    await agent.disconnect()
    # Without a stream, the command does not wait for its output to be sent.
    await until((tmp_path / "done").exists)


async def test_a_command_survives_its_stream_and_a_repeat_gets_its_result(
    agent: DispatcherHarness, tmp_path: Path
) -> None:
    count = tmp_path / "count"
    command = signed_commands.script(
        f"echo run >> {count}; seq 1 50000; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done; echo end"
    )
    agent.send(command)
    await soon(agent.parts.get())
    await agent.disconnect()
    agent.connect()

    # While the command runs, and after it has ended.
    agent.send(command)
    (tmp_path / "go").touch()
    waited = await agent.response(command.id)
    again = await agent.execute(command)

    for answer in (waited, again):
        assert answer.status == FINISHED
        assert answer.stdout.decode() == "".join(f"{n}\n" for n in range(1, 50_001)) + "end\n"
    assert count.read_text() == "run\n"


async def test_a_command_delivered_twice_at_once_is_executed_once(
    agent: DispatcherHarness, tmp_path: Path
) -> None:
    command = signed_commands.script(f"echo run >> {tmp_path}/count; echo hello")
    agent.send(command)
    agent.send(command)

    answer = await agent.response()

    assert (answer.status, answer.stdout) == (FINISHED, b"hello\n")
    assert (tmp_path / "count").read_text() == "run\n"
    assert agent.parts.empty()


@pytest.mark.parametrize(
    ("script", "failure"),
    [
        ("echo \0", CommandResponse.FAILURE_INVALID),
        ("x" * 131_072, CommandResponse.FAILURE_TOO_LARGE),
    ],
)
async def test_a_script_that_no_shell_can_run_is_refused(
    agent: DispatcherHarness, script: str, failure: int
) -> None:
    answer = await agent.run_script(script)

    assert (answer.status, answer.failure) == (CommandResponse.STATUS_FAILED, failure)


async def test_stopping_the_agent_cancels_commands_and_reports_it(
    agent: DispatcherHarness, tmp_path: Path
) -> None:
    agent.send(signed_commands.script(f"sleep 100 & echo $! > {tmp_path}/child; wait"))
    child = await read_number(tmp_path / "child")

    await soon(agent.dispatcher.stop())

    answer = await agent.response()
    assert (answer.status, answer.reason) == (
        CommandResponse.STATUS_CANCELLED,
        "The agent was stopped.",
    )
    assert not is_alive(child)


async def test_commands_leave_no_descriptor_open(agent: DispatcherHarness) -> None:
    await agent.run_script("true")
    before = open_descriptors()
    for _ in range(5):
        await agent.run_script("true")

    assert len(open_descriptors()) == len(before)
