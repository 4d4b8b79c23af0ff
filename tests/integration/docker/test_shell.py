"""A shell in a container, on a real agent and a real Docker engine."""

import json
from pathlib import Path
from typing import Any

from tests.fixtures.docker_engine import IMAGE
from tests.fixtures.docker_host import ABSENT, STAY, DockerHost
from tests.fixtures.terminals import refused, screen
from tests.fixtures.waiting import until

FLOOD = "while :; do echo {text}; done"


def processes(container: str) -> list[str]:
    """Return the commands of the container's processes, as the host sees them."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if container in (folder / "cgroup").read_text():
                words = (folder / "cmdline").read_bytes().rstrip(b"\0")
                found.append(words.replace(b"\0", b" ").decode())
        except OSError:
            continue
    return sorted(filter(None, found))


def left(container: str) -> list[str]:
    """Return the processes in a container besides its main program."""
    return [line for line in processes(container) if STAY not in line and line != "sleep 0.1"]


async def test_a_shell_in_a_container_types_resizes_and_leaves_nothing(
    box: DockerHost, container: str
) -> None:
    query: dict[str, Any] = {"container": container, "columns": 101, "rows": 31}
    async with screen(box.world.ws, box.owner, box.vps_id, **query) as terminal:
        await terminal.frame(type="ready")
        await terminal.type(b"stty size; echo $((6*7))-$TERM\n")
        await terminal.shows(b"31 101\r\n42-xterm-256color")
        await terminal.say(type="resize", columns=120, rows=40)
        await terminal.frame(type="resize", columns=120, rows=40)

        async def resized() -> bool:
            await terminal.type(b"stty size\n")
            return b"40 120\r\n" in terminal.shown

        await until(resized, interval=0.2)
        await terminal.type(b"trap '' HUP; sleep 3001 & sleep 3002\n")
        await until(lambda: len(left(container)) == 3)
        await terminal.say(type="close")
        await terminal.ended()

    await until(lambda: left(container) == [])


async def test_a_shell_in_a_container_ends_with_its_exit_code(
    box: DockerHost, container: str
) -> None:
    async with screen(box.world.ws, box.owner, box.vps_id, container=container) as terminal:
        await terminal.frame(type="ready")
        await terminal.type(b"exit 7\n")
        assert (await terminal.frame(type="exit"))["code"] == 7


async def test_ctrl_c_reaches_what_floods_a_shell_in_a_container(
    box: DockerHost, container: str
) -> None:
    async with screen(box.world.ws, box.owner, box.vps_id, container=container) as terminal:
        await terminal.frame(type="ready")
        await terminal.type(FLOOD.format(text="y" * 60).encode() + b"\n")
        await terminal.grows(1024 * 1024)
        await terminal.type(b"\x03")
        await terminal.type(b"echo quie''t\n")
        await terminal.shows(b"quiet\r\n")
    answer = await box.owner.get("/shell-sessions", params={"vps_id": box.vps_id})
    (session, *_) = answer.json()["items"]
    assert (session["kind"], session["container"]) == ("container", container)
    assert (await box.owner.delete(f"/shell-sessions/{session['id']}")).status_code == 204
    await until(lambda: left(container) == [])


async def test_a_shell_in_what_does_not_run_is_refused(box: DockerHost) -> None:
    name = await box.run("create", IMAGE, "/bin/sh")
    resource = f"vps/{box.vps_id}/shell"
    for container, statuses in ((name, {409}), (ABSENT, {404})):
        answer = await box.owner.post("/ws-tickets", json={"resource": resource})
        ticket = answer.json()["ticket"]
        url = f"{box.world.ws}/{resource}?ticket={ticket}&container={container}"
        status, problem = await refused(url)
        assert status in statuses, json.dumps(problem)
    await box.run("rm", name)
