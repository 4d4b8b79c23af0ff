import asyncio
import contextlib
import io
import re
import subprocess
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.execute.channel import Channel
from agent.execute.containers import Containers
from agent.execute.failure import CommandFailedError
from tests.fixtures.engine import IMAGE, Engine
from tests.fixtures.waiting import until
from tests.unit.agent.containers.answers import asked, kind_of
from tests.unit.agent.containers.conftest import Manage
from tests.unit.agent.edge import soon


@pytest.fixture
async def container(running: Engine) -> AsyncIterator[str]:
    name = running.docker("run", "--detach", IMAGE, "/bin/sleep", "1000")
    yield name
    running.docker("rm", "--force", name)


async def typed(channel: Channel, line: str, answer: str) -> str:
    """What is on the screen once `answer`, a pattern, is."""
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
    # What is dead has none, and waits for a first process that never looks.
    return sorted(filter(None, found))


async def test_what_is_typed_runs_in_the_container(containers: Containers, container: str) -> None:
    channel = await containers.open_shell(container, 80, 24)

    screen = await typed(channel, "echo $((6*7)) $TERM $(cat /proc/1/cmdline)", r"42 \S+")

    assert "42 xterm-256color /bin/sleep1000" in screen.replace("\0", "")
    assert "flotilla" not in screen
    assert channel.program == "sh"
    await channel.close()


async def test_a_shell_has_the_size_it_is_given(containers: Containers, container: str) -> None:
    channel = await containers.open_shell(container, 91, 31)

    assert "31 91" in await typed(channel, "stty size", r"\d+ \d+\r")
    await channel.resize(120, 40)
    assert "40 120" in await typed(channel, "stty size", r"\d+ \d+\r")
    await channel.close()


async def test_a_shell_that_exits_ends_with_its_code(
    containers: Containers, container: str
) -> None:
    channel = await containers.open_shell(container, 80, 24)
    await channel.write(b"exit 7\n")

    while await soon(channel.read(100)):
        continue

    assert await soon(channel.close()) == 7
    assert await soon(channel.close()) == 7
    await channel.write(b"too late\n")
    await channel.resize(10, 10)


async def test_output_comes_in_pieces_no_larger_than_asked(
    containers: Containers, container: str
) -> None:
    channel = await containers.open_shell(container, 80, 24)
    await channel.write(b"dd if=/dev/zero bs=1000 count=3 2>/dev/null; echo do''ne\n")

    sizes, seen = [], b""
    while b"done\r\n" not in seen:
        piece = await soon(channel.read(100))
        sizes.append(len(piece))
        seen += piece

    assert max(sizes) == 100
    await channel.close()


async def test_closing_leaves_no_process_behind(containers: Containers, container: str) -> None:
    channel = await containers.open_shell(container, 80, 24)
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


async def test_a_shell_that_heeds_a_hang_up_is_not_killed(
    containers: Containers, container: str
) -> None:
    channel = await containers.open_shell(container, 80, 24)
    heeding = "trap 'echo > /heard; exit 3' HUP; echo rea\\dy; while :; do sleep 0.05; done"
    await typed(channel, f'exec sh -c "{heeding}"', "ready")

    assert await soon(channel.close()) == 3

    again = await containers.open_shell(container, 80, 24)
    assert "heard" in await typed(again, "echo /h*", r"/h\w+\r")
    await again.close()


async def test_one_shells_end_is_not_anothers(containers: Containers, container: str) -> None:
    one = await containers.open_shell(container, 80, 24)
    other = await containers.open_shell(container, 80, 24)

    await one.close()

    assert "42" in await typed(other, "echo $((6*7))", "42")
    await other.close()


async def test_who_became_another_user_is_ended_too(
    running: Engine, containers: Containers
) -> None:
    files = {"bin/sh": "/bin/busybox", "bin/sleep": "/bin/busybox"}
    files |= _dynamic("bin/as", "/usr/bin/setpriv")
    running.docker("import", "-", "sudo:1", content=_packed(files))
    name = running.docker("run", "--detach", "--user", "1000", "sudo:1", "/bin/sleep", "1000")
    channel = await containers.open_shell(name, 80, 24)
    await typed(channel, "as --reuid 0 --keep-groups sleep 2004 & echo rea''dy", "ready")
    await until(lambda: "sleep 2004" in processes(name))

    await soon(channel.close())

    assert processes(name) == ["/bin/sleep 1000"]
    running.docker("rm", "--force", name)
    running.docker("rmi", "sudo:1")


async def test_the_agents_end_ends_its_shells(
    manage: Manage, containers: Containers, container: str
) -> None:
    mine = manage()
    channel = await mine.open_shell(container, 80, 24)
    await typed(channel, "sleep 2005 & echo rea''dy", "ready")

    await soon(mine.close())

    assert processes(container) == ["/bin/sleep 1000"]


async def test_what_a_killed_agent_left_is_ended_by_its_next_life_alone(
    manage: Manage, container: str
) -> None:
    killed, others = manage(mark="mine"), manage(mark="another's")
    left = await killed.open_shell(container, 80, 24)
    await typed(left, "trap '' HUP; sleep 2007 & echo rea''dy", "ready")
    other = await others.open_shell(container, 80, 24)
    assert "sleep 2007" in processes(container)

    again = manage(mark="mine")
    await asked(again, "LIST")
    mine = await again.open_shell(container, 80, 24)

    assert "sleep 2007" not in processes(container)
    for channel in (other, mine):
        assert "42" in await typed(channel, "echo $((6*7))", "42")
        await channel.close()
    await left.close()


async def test_a_close_that_is_cancelled_goes_on(containers: Containers, container: str) -> None:
    channel = await containers.open_shell(container, 80, 24)
    await typed(channel, "trap '' HUP; sleep 2006 & echo rea''dy", "ready")
    closing = asyncio.ensure_future(channel.close())
    await asyncio.sleep(0)
    closing.cancel()

    await until(lambda: processes(container) == ["/bin/sleep 1000"])
    await soon(channel.close())


async def test_a_container_that_stops_ends_its_shells(
    running: Engine, containers: Containers
) -> None:
    name = running.docker("run", "--detach", IMAGE, "/bin/sleep", "1000")
    channel = await containers.open_shell(name, 80, 24)
    await shown(channel, "#|\\$")
    running.docker("rm", "--force", name)

    while await soon(channel.read(100)):
        continue

    assert await soon(channel.close()) == 137


async def test_a_container_without_a_shell_says_so(running: Engine, containers: Containers) -> None:
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
        await containers.open_shell(name, 80, 24)

    assert kind_of(failed.value) == "CONFLICT"
    assert "no shell starts in this container" in str(failed.value)
    assert "/bin/sh" in str(failed.value)
    running.docker("rm", "--force", name)
    running.docker("rmi", "bare:1")


def _packed(files: dict[str, str]) -> bytes:
    """A file system of these of the host's, all of which run as their owner."""
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
async def test_a_shell_opens_only_in_what_runs(
    running: Engine, containers: Containers, container: str, state: str
) -> None:
    if state == "stopped":
        running.docker("stop", "--time", "0", container)
    elif state == "paused":
        running.docker("pause", container)

    with pytest.raises(CommandFailedError) as failed:
        await containers.open_shell("0" * 64 if state == "absent" else container, 80, 24)

    assert kind_of(failed.value) == ("NOT_FOUND" if state == "absent" else "CONFLICT")


async def test_a_shell_in_a_paused_container_ends_when_that_goes_on(
    containers: Containers, container: str
) -> None:
    channel = await containers.open_shell(container, 80, 24)
    await shown(channel, "#|\\$")
    await asked(containers, "PAUSE", container)

    await soon(channel.close())
    await asked(containers, "UNPAUSE", container)

    await until(lambda: processes(container) == ["/bin/sleep 1000"])


async def test_nothing_is_taken_from_a_shell_that_nobody_reads(
    containers: Containers, container: str
) -> None:
    channel = await containers.open_shell(container, 80, 24)
    await channel.write(
        b"while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done\n"
    )
    await asyncio.sleep(0.5)
    queue = channel._stream._queue  # type: ignore[attr-defined]

    sizes = []
    for _ in range(8):
        await asyncio.sleep(0.1)
        sizes.append(queue._flow_size)

    assert sizes[-1] == sizes[-4]
    assert sizes[-1] < 1_000_000
    # It is interrupted at once all the same.
    await channel.write(b"\x03")
    await soon(channel.close())
    assert processes(container) == ["/bin/sleep 1000"]
