import asyncio
import contextlib
import io
import re
import subprocess
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.commands.channel import Channel
from agent.commands.errors import CommandFailedError
from agent.docker.actions import DockerActions
from tests.fixtures.agent.docker_actions import Manage, kind_of, run_action
from tests.fixtures.docker_engine import IMAGE, Engine
from tests.fixtures.waiting import settled, soon, until


@pytest.fixture
async def container(running: Engine) -> AsyncIterator[str]:
    name = running.docker("run", "--detach", IMAGE, "/bin/sleep", "1000")
    yield name
    running.docker("rm", "--force", name)


async def typed(channel: Channel, line: str, answer: str) -> str:
    """Wait for the pattern `answer`; return the text of the screen."""
    await channel.write(f"{line}\n".encode())
    return await shown(channel, answer)


async def shown(channel: Channel, answer: str) -> str:
    seen = ""
    while not re.search(answer, seen):
        piece = await soon(channel.read(65_536))
        assert piece, seen
        seen += piece.decode(errors="replace")
    return seen


def processes(container: str) -> list[str]:
    """The container's processes, by their commands, as the host sees them."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if container in (folder / "cgroup").read_text():
                words = (folder / "cmdline").read_bytes().rstrip(b"\0")
                found.append(words.replace(b"\0", b" ").decode())
    # A dead process has no command line. It stays because the first process never waits for it.
    return sorted(filter(None, found))


async def test_input_runs_in_the_container(docker: DockerActions, container: str) -> None:
    channel = await docker.open_shell(container, 80, 24)

    screen = await typed(channel, "echo $((6*7)) $TERM $(cat /proc/1/cmdline)", r"42 \S+")

    assert "42 xterm-256color /bin/sleep1000" in screen.replace("\0", "")
    assert "flotilla" not in screen
    assert channel.program == "sh"
    await channel.close()


async def test_a_shell_has_the_size_it_is_given(docker: DockerActions, container: str) -> None:
    channel = await docker.open_shell(container, 91, 31)

    assert "31 91" in await typed(channel, "stty size", r"\d+ \d+\r")
    await channel.resize(120, 40)
    assert "40 120" in await typed(channel, "stty size", r"\d+ \d+\r")
    await channel.close()


async def test_a_shell_that_exits_ends_with_its_code(docker: DockerActions, container: str) -> None:
    channel = await docker.open_shell(container, 80, 24)
    await channel.write(b"exit 7\n")

    while await soon(channel.read(100)):
        continue

    assert await soon(channel.close()) == 7
    assert await soon(channel.close()) == 7
    await channel.write(b"too late\n")
    await channel.resize(10, 10)


async def test_output_is_read_in_bounded_chunks(docker: DockerActions, container: str) -> None:
    channel = await docker.open_shell(container, 80, 24)
    await channel.write(b"dd if=/dev/zero bs=1000 count=3 2>/dev/null; echo do''ne\n")

    sizes, seen = [], b""
    while b"done\r\n" not in seen:
        piece = await soon(channel.read(100))
        sizes.append(len(piece))
        seen += piece

    assert max(sizes) == 100
    await channel.close()


async def test_closing_leaves_no_process_behind(docker: DockerActions, container: str) -> None:
    channel = await docker.open_shell(container, 80, 24)
    before = processes(container)
    await typed(
        channel,
        "trap '' HUP; sleep 2001 & (trap '' HUP TERM; sleep 2002) & echo rea''dy; sleep 2003",
        "ready",
    )
    await until(lambda: len(processes(container)) >= len(before) + 3)

    code = await soon(channel.close())

    assert code == -9
    assert processes(container) == ["/bin/sleep 1000"]


async def test_a_shell_that_exits_on_sighup_is_not_killed(
    docker: DockerActions, container: str
) -> None:
    channel = await docker.open_shell(container, 80, 24)
    heeding = "trap 'echo > /heard; exit 3' HUP; echo rea\\dy; while :; do sleep 0.05; done"
    await typed(channel, f'exec sh -c "{heeding}"', "ready")

    assert await soon(channel.close()) == 3

    again = await docker.open_shell(container, 80, 24)
    assert "heard" in await typed(again, "echo /h*", r"/h\w+\r")
    await again.close()


async def test_closing_one_shell_leaves_another_open(docker: DockerActions, container: str) -> None:
    one = await docker.open_shell(container, 80, 24)
    other = await docker.open_shell(container, 80, 24)

    await one.close()

    assert "42" in await typed(other, "echo $((6*7))", "42")
    await other.close()


async def test_a_process_that_changed_its_user_is_ended_too(
    running: Engine, docker: DockerActions
) -> None:
    files = {"bin/sh": "/bin/busybox", "bin/sleep": "/bin/busybox"}
    files |= _dynamic("bin/as", "/usr/bin/setpriv")
    running.docker("import", "-", "sudo:1", content=_packed(files))
    name = running.docker("run", "--detach", "--user", "1000", "sudo:1", "/bin/sleep", "1000")
    channel = await docker.open_shell(name, 80, 24)
    await typed(channel, "as --reuid 0 --keep-groups sleep 2004 & echo rea''dy", "ready")
    await until(lambda: "sleep 2004" in processes(name))

    await soon(channel.close())

    assert processes(name) == ["/bin/sleep 1000"]
    running.docker("rm", "--force", name)
    running.docker("rmi", "sudo:1")


async def test_closing_the_actions_ends_their_shells(
    manage: Manage, docker: DockerActions, container: str
) -> None:
    mine = manage()
    channel = await mine.open_shell(container, 80, 24)
    await typed(channel, "sleep 2005 & echo rea''dy", "ready")

    await soon(mine.close())

    assert processes(container) == ["/bin/sleep 1000"]


async def test_shells_of_a_killed_agent_are_ended_only_by_its_next_process(
    manage: Manage, container: str
) -> None:
    killed, others = manage(agent_tag="mine"), manage(agent_tag="another's")
    left = await killed.open_shell(container, 80, 24)
    await typed(left, "trap '' HUP; sleep 2007 & echo rea''dy", "ready")
    other = await others.open_shell(container, 80, 24)
    assert "sleep 2007" in processes(container)

    again = manage(agent_tag="mine")
    await run_action(again, "LIST")
    mine = await again.open_shell(container, 80, 24)

    assert "sleep 2007" not in processes(container)
    for channel in (other, mine):
        assert "42" in await typed(channel, "echo $((6*7))", "42")
        await channel.close()
    await left.close()


async def test_a_cancelled_close_goes_on(docker: DockerActions, container: str) -> None:
    channel = await docker.open_shell(container, 80, 24)
    await typed(channel, "trap '' HUP; sleep 2006 & echo rea''dy", "ready")
    closing = asyncio.ensure_future(channel.close())
    await asyncio.sleep(0)
    closing.cancel()

    await until(lambda: processes(container) == ["/bin/sleep 1000"])
    await soon(channel.close())


async def test_a_container_that_stops_ends_its_shells(
    running: Engine, docker: DockerActions
) -> None:
    name = running.docker("run", "--detach", IMAGE, "/bin/sleep", "1000")
    channel = await docker.open_shell(name, 80, 24)
    await shown(channel, "#|\\$")
    running.docker("rm", "--force", name)

    while await soon(channel.read(100)):
        continue

    assert await soon(channel.close()) == 137


async def test_a_container_without_a_shell_is_a_conflict(
    running: Engine, docker: DockerActions
) -> None:
    running.docker(
        "import",
        "--change",
        'CMD ["/busybox"]',
        "-",
        "bare:1",
        content=_packed({"busybox": "/bin/busybox"}),
    )
    name = running.docker("run", "--detach", "bare:1", "/busybox", "sleep", "1000")

    with pytest.raises(CommandFailedError) as failed:
        await docker.open_shell(name, 80, 24)

    assert kind_of(failed.value) == "CONFLICT"
    assert "No shell could be started in this container" in str(failed.value)
    assert "/bin/sh" in str(failed.value)
    running.docker("rm", "--force", name)
    running.docker("rmi", "bare:1")


def _packed(files: dict[str, str]) -> bytes:
    """Return a file system with these files of the host, which all run with the rights of their owner."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for folder in sorted({f for target in files for f in Path(target).parents}):
            inside = tarfile.TarInfo(str(folder))
            inside.type, inside.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(inside)
        for target, source in files.items():
            entry = tar.gettarinfo(Path(source).resolve(), target)
            entry.mode = 0o4755
            with Path(source).open("rb") as content:
                tar.addfile(entry, content)
    return packed.getvalue()


def _dynamic(target: str, program: str) -> dict[str, str]:
    listed = subprocess.run(["ldd", program], capture_output=True, check=True).stdout.decode()
    libraries = re.findall(r"/\S+", listed)
    return {target: program, **{path.lstrip("/"): path for path in libraries}}


@pytest.mark.parametrize("state", ["stopped", "paused", "absent"])
async def test_a_shell_opens_only_in_a_running_container(
    running: Engine, docker: DockerActions, container: str, state: str
) -> None:
    if state == "stopped":
        running.docker("stop", "--time", "0", container)
    elif state == "paused":
        running.docker("pause", container)

    with pytest.raises(CommandFailedError) as failed:
        await docker.open_shell("0" * 64 if state == "absent" else container, 80, 24)

    assert kind_of(failed.value) == ("NOT_FOUND" if state == "absent" else "CONFLICT")


async def test_a_shell_closed_while_its_container_is_paused_ends_after_the_pause(
    docker: DockerActions, container: str
) -> None:
    channel = await docker.open_shell(container, 80, 24)
    await shown(channel, "#|\\$")
    await run_action(docker, "PAUSE", container)

    await soon(channel.close())
    await run_action(docker, "UNPAUSE", container)

    await until(lambda: processes(container) == ["/bin/sleep 1000"])


async def test_a_shell_that_is_not_read_is_not_fetched_from_the_engine(
    docker: DockerActions, container: str
) -> None:
    channel = await docker.open_shell(container, 80, 24)
    await channel.write(
        b"while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done\n"
    )
    queue = channel._stream._queue  # type: ignore[attr-defined]
    await until(lambda: queue._flow_size > 0)

    assert await settled(lambda: queue._flow_size) < 1_000_000
    # The program can still be interrupted.
    await channel.write(b"\x03")
    await soon(channel.close())
    assert processes(container) == ["/bin/sleep 1000"]
