import asyncio
import re
import time

import pytest

from agent.commands.channel import Channel
from agent.commands.errors import CommandFailedError
from agent.commands.policy import Policy
from agent.docker import logs
from agent.docker.actions import DockerActions
from flotilla.v1.agent_pb2 import Powers
from tests.fixtures.agent.docker_actions import Manage, failure_of, kind_of, run_action
from tests.fixtures.docker_engine import IMAGE, Engine
from tests.fixtures.waiting import settled, soon

TIME = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z"
COUNTING = "i=0; while [ $i -lt {n} ]; do i=$((i+1)); echo line $i; done"


def ended(running: Engine, script: str, *options: str) -> str:
    """Run a script in a container until it ends; return the container."""
    name = running.docker("run", "--detach", *options, IMAGE, "/bin/sh", "-c", script)
    running.docker("wait", name)
    return name


async def until(channel: Channel, text: bytes) -> bytes:
    seen = b""
    while text not in seen:
        piece = await soon(channel.read(65_536))
        assert piece, seen
        seen += piece
    return seen


async def test_lines_have_their_time_and_stream(running: Engine, docker: DockerActions) -> None:
    name = ended(running, "echo to out; sleep 0.1; echo to err >&2; sleep 0.1; echo; printf end")

    answer = await run_action(docker, "LOGS", name)

    lines = answer.output.split(b"\n")
    assert re.fullmatch(TIME + rb" o to out", lines[0])
    assert re.fullmatch(TIME + rb" e to err", lines[1])
    assert re.fullmatch(TIME + rb" o ", lines[2])
    assert re.fullmatch(TIME + rb" o end", lines[3])
    assert lines[4:] == [b""]
    assert not answer.last.truncated
    running.docker("rm", name)


async def test_the_log_of_a_container_with_a_terminal_is_read(
    running: Engine, docker: DockerActions
) -> None:
    name = ended(running, "echo one; echo two", "--tty")

    lines = (await run_action(docker, "LOGS", name)).output.splitlines()

    assert [line.split(b" ", 1)[1] for line in lines] == [b"o one", b"o two"]
    running.docker("rm", name)


async def test_a_tail_returns_the_last_lines(running: Engine, docker: DockerActions) -> None:
    name = ended(running, COUNTING.format(n=50))

    answer = await run_action(docker, "LOGS", name, tail=3)

    assert [line.split()[-1] for line in answer.output.splitlines()] == [b"48", b"49", b"50"]
    assert not answer.last.truncated
    running.docker("rm", name)


async def test_the_number_of_lines_is_bounded(
    running: Engine, docker: DockerActions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "TAIL_LIMIT", 20)
    name = ended(running, COUNTING.format(n=50))

    for tail in (0, 21, 4_000_000_000):
        answer = await run_action(docker, "LOGS", name, tail=tail)
        lines = answer.output.splitlines()
        assert (len(lines), lines[-1][-2:], answer.last.truncated) == (20, b"50", True)
    running.docker("rm", name)


async def test_a_large_log_is_truncated_to_its_newest_lines(
    running: Engine, docker: DockerActions
) -> None:
    name = ended(running, f"i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo {'x' * 1_000} $i; done")

    answer = await run_action(docker, "LOGS", name)

    assert answer.last.truncated
    assert logs.LOG_LIMIT - 2_000 < len(answer.output) <= logs.LOG_LIMIT
    assert answer.output.endswith(b" 3000\n")
    assert answer.output.count(b"\n") == len(re.findall(rb"(?m)^" + TIME + rb" o x", answer.output))
    running.docker("rm", name)


async def test_since_and_until_bound_the_time(running: Engine, docker: DockerActions) -> None:
    name = running.docker(
        "run",
        "--detach",
        IMAGE,
        "/bin/sh",
        "-c",
        "for i in 1 2 3; do echo $i; sleep 0.5; done; i=3; while [ $i -lt 40 ]; do i=$((i+1)); echo $i; done",
    )
    running.docker("wait", name)
    lines = (await run_action(docker, "LOGS", name)).output.splitlines()
    first, second, third = (line.split(b" ")[0].decode() for line in lines[:3])
    between = [_milliseconds(first) + 250, _milliseconds(second) + 250]
    assert between[1] < _milliseconds(third)

    async def texts(**fields: int) -> list[bytes]:
        output = (await run_action(docker, "LOGS", name, **fields)).output
        return [line.split(b" ", 2)[2] for line in output.splitlines()]

    assert (await texts(since_unix_ms=between[1]))[:2] == [b"3", b"4"]
    # The last line before that time, not those of the newest lines that are before it.
    assert await texts(until_unix_ms=between[1], tail=1) == [b"2"]
    assert await texts(since_unix_ms=between[0], until_unix_ms=between[1]) == [b"2"]
    running.docker("rm", name)


def _milliseconds(stamp: str) -> int:
    seconds, fraction = stamp.removesuffix("Z").split(".")
    whole = time.mktime(time.strptime(seconds + " UTC", "%Y-%m-%dT%H:%M:%S %Z")) - time.timezone
    return int(whole) * 1000 + int(fraction[:3])


async def test_a_container_without_a_readable_log_is_a_conflict(
    running: Engine, docker: DockerActions
) -> None:
    name = ended(running, "echo unheard", "--log-driver", "none")

    kind, reason = await failure_of(docker, "LOGS", name)

    assert kind == "CONFLICT"
    assert "does not support reading" in reason
    assert (await failure_of(docker, "LOGS", "0" * 64))[0] == "NOT_FOUND"
    running.docker("rm", name)


async def test_a_log_is_followed_until_its_container_ends(
    running: Engine, docker: DockerActions
) -> None:
    script = "echo before; while [ ! -f /go ]; do sleep 0.05; done; echo after; echo bad >&2"
    name = running.docker("run", "--detach", IMAGE, "/bin/sh", "-c", script)
    channel = await docker.follow_logs(name, 10, 0)

    assert re.fullmatch(TIME + rb" o before\n", await until(channel, b"before\n"))
    running.docker("exec", name, "/bin/sh", "-c", ": > /go")
    seen = await until(channel, b"bad\n")
    while piece := await soon(channel.read(4)):
        seen += piece

    assert b" o after\n" in seen
    assert b" e bad\n" in seen
    assert await channel.read(100) == b""
    assert await channel.close() == 0
    running.docker("rm", name)


async def test_following_starts_at_the_given_line_and_time(
    running: Engine, docker: DockerActions
) -> None:
    name = ended(running, COUNTING.format(n=30))

    channel = await docker.follow_logs(name, 2, 0)
    seen = b""
    while piece := await soon(channel.read(10)):
        assert len(piece) <= 10
        seen += piece
    await channel.close()
    assert [line.split()[-1] for line in seen.splitlines()] == [b"29", b"30"]

    channel = await docker.follow_logs(name, 2, int(time.time() + 60) * 1000)
    assert await soon(channel.read(100)) == b""
    await channel.close()
    running.docker("rm", name)


async def test_a_log_that_is_not_read_is_not_fetched_from_the_engine(
    running: Engine, docker: DockerActions
) -> None:
    name = running.docker(
        "run", "--detach", IMAGE, "/bin/sh", "-c", f"while :; do echo {'y' * 500}; done"
    )
    channel = await docker.follow_logs(name, 1, 0)
    await until(channel, b"\n")
    assert isinstance(channel, logs.LogChannel)
    content = channel._response.content

    # No matter how much is written, only the buffers of the kernel and the library are filled.
    assert await settled(lambda: content.total_bytes) < 2_000_000
    await until(channel, b"\n")
    await channel.close()
    running.docker("rm", "--force", name)


async def test_a_followed_log_ends_when_the_engine_stops(
    running: Engine, docker: DockerActions
) -> None:
    name = running.docker("run", "--detach", IMAGE, "/bin/sleep", "100")
    channel = await docker.follow_logs(name, 1, 0)
    reading = asyncio.ensure_future(channel.read(100))
    await asyncio.to_thread(running.stop)

    assert await soon(reading) == b""
    await channel.close()

    await asyncio.to_thread(running.start)
    running.docker("rm", "--force", name)


async def test_following_needs_a_policy_and_a_container(
    manage: Manage, docker: DockerActions
) -> None:
    with pytest.raises(CommandFailedError) as failed:
        await manage(Policy()).follow_logs("a" * 12, 1, 0)
    assert kind_of(failed.value) == "FORBIDDEN"
    reading = manage(Policy(docker=Powers.DOCKER_ACCESS_READ))
    with pytest.raises(CommandFailedError) as failed:
        await reading.follow_logs("0" * 64, 1, 0)
    assert kind_of(failed.value) == "NOT_FOUND"
