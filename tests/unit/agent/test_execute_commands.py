import asyncio
import functools
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from flotilla.v1.command_pb2 import CancelAction, CommandResponse
from tests.unit.agent import console
from tests.unit.agent.edge import soon
from tests.unit.agent.obeying import Obeying, descriptors, gone, lives, number_in, obeying

FINISHED = CommandResponse.STATUS_FINISHED


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Obeying]:
    async with obeying(tmp_path) as agent:
        yield agent


async def made(path: Path) -> None:
    async def wait() -> None:
        while not path.exists():  # noqa: ASYNC110, ASYNC240  # another process makes it
            await asyncio.sleep(0.02)

    await soon(wait())


async def test_a_command_answers_with_its_output_and_its_code(agent: Obeying) -> None:
    answer = await agent.run("echo out; echo err >&2; exit 3")

    assert (answer.status, answer.exit_code) == (FINISHED, 3)
    assert (answer.stdout, answer.stderr, answer.truncated) == (b"out\n", b"err\n", False)


async def test_one_that_is_killed_answers_with_its_signal(agent: Obeying) -> None:
    assert (await agent.run("kill -USR1 $$")).exit_code == -10


async def test_a_command_hears_the_signals_that_its_agent_was_started_to_ignore(
    agent: Obeying, request: pytest.FixtureRequest
) -> None:
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        before = signal.signal(number, signal.SIG_IGN)
        request.addfinalizer(functools.partial(signal.signal, number, before))

    answer = await agent.run("grep SigIgn /proc/self/status")

    assert int(answer.stdout.split()[1], 16) & 0b111 == 0


async def test_output_comes_while_the_command_runs(agent: Obeying, tmp_path: Path) -> None:
    go = tmp_path / "go"
    agent.give(console.script(f"echo first; while [ ! -e {go} ]; do sleep 0.02; done; echo second"))

    part = await soon(agent.answers.get())
    assert (part.stdout, part.last, part.status) == (
        b"first\n",
        False,
        CommandResponse.STATUS_RUNNING,
    )
    go.touch()
    rest = [await soon(agent.answers.get())]
    while not rest[-1].last:
        rest.append(await soon(agent.answers.get()))
    assert [part.part for part in rest] == list(range(1, len(rest) + 1))
    assert b"".join(part.stdout for part in rest) == b"second\n"


async def test_large_output_comes_whole_in_parts_of_bounded_size(agent: Obeying) -> None:
    order = console.script("seq 1 100000; seq 1 50000 >&2")
    agent.give(order)
    sizes: list[int] = []
    stdout, stderr = b"", b""
    while True:
        part = await soon(agent.answers.get())
        assert (part.command_id, part.part) == (order.id, len(sizes))
        sizes.append(len(part.stdout) + len(part.stderr))
        stdout, stderr = stdout + part.stdout, stderr + part.stderr
        if part.last:
            break

    assert max(sizes) <= 64 * 1024
    assert stdout.decode() == "".join(f"{number}\n" for number in range(1, 100_001))
    assert stderr.decode() == "".join(f"{number}\n" for number in range(1, 50_001))
    assert not part.truncated


async def test_output_over_the_limit_is_dropped_and_the_command_comes_to_its_end(
    agent: Obeying, tmp_path: Path
) -> None:
    done = tmp_path / "done"

    answer = await agent.run(f"head -c 3000000 /dev/zero; touch {done}", max_output_bytes=100_000)

    assert (len(answer.stdout), answer.truncated, answer.status) == (100_000, True, FINISHED)
    assert done.exists()


async def test_a_command_sees_nothing_of_the_agents_surroundings(
    agent: Obeying, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY", "sings")

    answer = await agent.run("env; ls -l /proc/self/fd; cat; pwd; umask")

    assert b"CANARY" not in answer.stdout
    names = {line.partition("=")[0] for line in answer.stdout.decode().splitlines() if "=" in line}
    assert names <= {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TERM", "PWD", "OLDPWD", "_"),
        *("SHLVL", "FLOTILLA_COMMAND"),
    }
    # Its own three, and the one by which `ls` looks.
    assert answer.stdout.count(b" -> ") == 4
    assert answer.stdout.endswith(b"0022\n")


async def test_after_its_time_all_that_a_command_started_is_ended(
    agent: Obeying, tmp_path: Path
) -> None:
    script = f"""
        trap '' TERM
        (sleep 100 & echo $! > {tmp_path}/grandchild; wait) &
        setsid sh -c 'trap "" TERM; echo $$ > {tmp_path}/apart; while :; do sleep 1; done' &
        sh -c '(setsid sleep 100 & echo $! > {tmp_path}/orphan)'
        echo begun
        while :; do sleep 1; done
    """
    started = time.monotonic()
    agent.give(console.script(script, timeout_ms=700))
    pids = [await number_in(tmp_path / name) for name in ("grandchild", "apart", "orphan")]
    assert all(map(lives, pids))

    answer = await agent.answer()

    assert answer.status == CommandResponse.STATUS_TIMED_OUT
    assert answer.reason == "it took longer than 0.7 s"
    assert answer.stdout == b"begun\n"
    assert time.monotonic() - started < 6
    await gone(*pids)


async def test_what_holds_the_output_does_not_hold_up_the_answer(
    agent: Obeying, tmp_path: Path
) -> None:
    started = time.monotonic()

    answer = await agent.run(f"sleep 100 & echo $! > {tmp_path}/left; echo done")

    assert (answer.stdout, answer.status) == (b"done\n", FINISHED)
    assert time.monotonic() - started < 5
    await gone(await number_in(tmp_path / "left"))


async def test_a_daemon_that_made_a_session_of_its_own_outlives_the_command(
    agent: Obeying, tmp_path: Path
) -> None:
    answer = await agent.run(
        f"setsid sh -c 'echo $$ > {tmp_path}/daemon; exec sleep 100' >/dev/null 2>&1 &\n"
        f"while [ ! -s {tmp_path}/daemon ]; do sleep 0.02; done"
    )

    daemon = await number_in(tmp_path / "daemon")
    assert answer.status == FINISHED
    assert lives(daemon)
    await agent.run(f"kill {daemon}")
    await gone(daemon)


async def test_a_command_that_is_cancelled_ends_with_all_it_started(
    agent: Obeying, tmp_path: Path
) -> None:
    order = console.script(f"echo begun; sleep 100 & echo $! > {tmp_path}/child; wait")
    agent.give(order)
    child = await number_in(tmp_path / "child")

    agent.give(console.command(cancel=CancelAction(command_id=order.id)))

    cancelled = await agent.answer(order.id)
    assert (cancelled.status, cancelled.reason) == (
        CommandResponse.STATUS_CANCELLED,
        "cancelled by ada",
    )
    assert (await agent.answer()).status == FINISHED
    await gone(child)


async def test_what_does_not_run_cannot_be_cancelled(agent: Obeying) -> None:
    order = console.script("true")
    await agent.obey(order)

    late = await agent.obey(console.command(cancel=CancelAction(command_id=order.id)))

    assert (late.status, late.failure) == (
        CommandResponse.STATUS_FAILED,
        CommandResponse.FAILURE_CONFLICT,
    )


async def test_beyond_eight_at_once_commands_are_refused_as_busy(
    agent: Obeying, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    orders = [console.script(f"while [ ! -e {go} ]; do sleep 0.05; done") for _ in range(8)]
    for order in orders:
        agent.give(order)

    ninth = await agent.run("true")
    assert (ninth.status, ninth.failure) == (
        CommandResponse.STATUS_REFUSED,
        CommandResponse.FAILURE_BUSY,
    )
    # Cancelling goes through all the same.
    agent.give(console.command(cancel=CancelAction(command_id=orders[0].id)))
    both = {(await agent.answer()).status, (await agent.answer()).status}
    assert both == {FINISHED, CommandResponse.STATUS_CANCELLED}

    go.touch()
    assert {(await agent.answer()).status for _ in orders[1:]} == {FINISHED}
    assert (await agent.run("true")).status == FINISHED


async def test_a_stream_that_takes_nothing_holds_the_command_back_and_no_memory(
    agent: Obeying, tmp_path: Path
) -> None:
    await agent.cut()
    agent.hands.opened()  # nobody asks for its messages
    order = console.script(f"seq 1 300000; touch {tmp_path}/done", max_output_bytes=1024 * 1024)

    agent.give(order)
    await asyncio.sleep(1.0)

    assert not (tmp_path / "done").exists()
    assert len(agent.hands.outgoing._answers) == 8
    await agent.cut()
    # Nobody listens, so nothing holds it back.
    await made(tmp_path / "done")


async def test_a_command_whose_stream_breaks_runs_on_and_a_repeat_gets_its_result(
    agent: Obeying, tmp_path: Path
) -> None:
    count = tmp_path / "count"
    order = console.script(f"echo run >> {count}; seq 1 50000; sleep 0.3; echo end")
    agent.give(order)
    await soon(agent.answers.get())
    await agent.cut()
    agent.connect()

    # While it runs, and when it is over.
    waited = await agent.obey(order)
    again = await agent.obey(order)

    for answer in (waited, again):
        assert answer.status == FINISHED
        assert answer.stdout.decode() == "".join(f"{n}\n" for n in range(1, 50_001)) + "end\n"
    assert count.read_text() == "run\n"


async def test_a_command_delivered_twice_at_once_is_executed_once(
    agent: Obeying, tmp_path: Path
) -> None:
    order = console.script(f"echo run >> {tmp_path}/count; echo hello")
    agent.give(order)
    agent.give(order)

    answer = await agent.answer()

    assert (answer.status, answer.stdout) == (FINISHED, b"hello\n")
    assert (tmp_path / "count").read_text() == "run\n"
    assert agent.answers.empty()


@pytest.mark.parametrize(
    ("script", "failure"),
    [
        ("echo \0", CommandResponse.FAILURE_INVALID),
        ("x" * 131_072, CommandResponse.FAILURE_TOO_LARGE),
    ],
)
async def test_a_script_that_no_shell_can_be_given_is_refused(
    agent: Obeying, script: str, failure: int
) -> None:
    answer = await agent.run(script)

    assert (answer.status, answer.failure) == (CommandResponse.STATUS_FAILED, failure)


async def test_stopping_the_agent_ends_commands_and_says_so(agent: Obeying, tmp_path: Path) -> None:
    agent.give(console.script(f"sleep 100 & echo $! > {tmp_path}/child; wait"))
    child = await number_in(tmp_path / "child")

    await soon(agent.hands.stop())

    answer = await agent.answer()
    assert (answer.status, answer.reason) == (
        CommandResponse.STATUS_CANCELLED,
        "the agent was stopped",
    )
    assert not lives(child)


async def test_commands_leave_no_descriptor_open(agent: Obeying) -> None:
    await agent.run("true")
    before = descriptors()
    for _ in range(5):
        await agent.run("true")

    assert len(descriptors()) == len(before)
