"""A container's log followed, and a shell in it, on a real agent and a real Docker engine."""

import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
import websockets

from tests.fixtures.dockerhost import POLICY, STAY, DockerHost, docker_host
from tests.fixtures.engine import IMAGE, Engine
from tests.fixtures.terminals import refused, screen
from tests.fixtures.waiting import until
from tests.fixtures.world import Gate, World

ABSENT = "0" * 64
FLOOD = "while :; do echo {text}; done"


def processes(container: str) -> list[str]:
    """The container's, by their commands, as the host sees them."""
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
    """What is there beside what the container itself runs."""
    return [line for line in processes(container) if STAY not in line and line != "sleep 0.1"]


async def sessions_opened(box: DockerHost) -> list[str]:
    """Those the agent was asked for, by the word of its log."""
    log = (await asyncio.to_thread(box.log.read_text)).splitlines()
    return [line for line in log if re.search(r"session \w+ of command", line)]


async def over(box: DockerHost, opened: str) -> bool:
    match = re.search(r"session (\w+) of command", opened)
    assert match is not None
    return f"session {match[1]} is over" in await asyncio.to_thread(box.log.read_text)


async def test_a_log_is_followed_until_its_container_stops(box: DockerHost) -> None:
    script = "echo before; echo bad >&2; while [ ! -f /go ]; do sleep 0.05; done; echo after"
    name = await box.run("run", "--detach", IMAGE, "/bin/sh", "-c", script)
    async with box.following(name) as follower:
        await follower.has("before")
        await follower.has("bad")
        await box.run("exec", name, "/bin/sh", "-c", ": > /go")
        await follower.has("after")

        assert await follower.ended() == (
            {"event": "end", "reason": "the container has stopped"},
            1000,
        )
    streams = {line["text"]: line["stream"] for line in follower.lines}
    assert streams == {"before": "stdout", "bad": "stderr", "after": "stdout"}
    assert all(re.fullmatch(r"\d{4}-.*T.*\.\d+Z", line["time"]) for line in follower.lines)
    await box.run("rm", name)


async def test_following_begins_with_the_last_lines(box: DockerHost) -> None:
    script = "i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo line $i; done"
    name = await box.run("run", "--detach", IMAGE, "/bin/sh", "-c", script)
    await box.run("wait", name)

    async with box.following(name) as follower:
        await follower.ended()
        assert follower.texts == [f"line {n}" for n in range(101, 301)]
    async with box.following(name, tail=2) as follower:
        await follower.ended()
        assert follower.texts == ["line 299", "line 300"]
    await box.run("rm", name)


async def test_a_screen_that_acknowledges_nothing_gets_so_many_lines_and_no_more(
    box: DockerHost,
) -> None:
    script = f"i=0; while :; do i=$((i+1)); echo {'z' * 60} $i; done"
    name = await box.run("run", "--detach", IMAGE, "/bin/sh", "-c", script)
    url = await box.follow_url(name)
    async with box.following_at(url, slow=True) as follower:
        await follower.count(5_000)
        await asyncio.sleep(1)
        assert len(follower.lines) == 5_000
        # The agent has not read on either: it sends what is next, not what was written meanwhile.
        await follower.acknowledge()
        await follower.count(10_000)
        await asyncio.sleep(0.3)
        assert len(follower.lines) == 10_000
        numbers = [int(text.split()[-1]) for text in follower.texts]
        assert numbers == list(range(numbers[0], numbers[0] + 10_000))
        assert follower.largest <= 500
    await box.run("rm", "--force", name)


@pytest.mark.parametrize(
    "said",
    [
        *("x", "[]", '{"type":"ack"}', '{"type":"ack","count":-1}', '{"type":"ack","count":1e99}'),
        *('{"type":"ack","count":99999999}', '{"type":"stop","count":0}', b"\x00\x01"),
    ],
)
async def test_what_is_no_acknowledgement_ends_it(
    box: DockerHost, container: str, said: str | bytes
) -> None:
    async with box.following(container) as follower:
        await follower.socket.send(said)

        assert (await follower.ended())[1] == 1008


async def test_when_the_screen_leaves_the_agent_stops_reading(
    box: DockerHost, container: str
) -> None:
    before = len(await sessions_opened(box))
    async with box.following(container):
        opened = (await sessions_opened(box))[before:]
        assert len(opened) == 1
        assert not await over(box, opened[0])

    async def is_over() -> bool:
        return await over(box, opened[0])

    await until(is_over)


async def test_what_cannot_be_followed_is_refused_before_the_upgrade(
    box: DockerHost, container: str
) -> None:
    assert (await refused(await box.follow_url(ABSENT)))[0] == 404
    for tail in ("0", "-1", "10001", "x", "1e3", "٣"):
        assert (await refused(await box.follow_url(container, tail=tail)))[0] == 422
    url = await box.follow_url(container)
    status, _ = await refused(url.replace(container, "b" * 64))
    assert status == 401  # the ticket is for another
    async with websockets.connect(url):
        pass
    assert (await refused(url))[0] == 401  # it was used
    url = await box.follow_url(container)
    assert (await refused(url, origin="https://elsewhere.example"))[0] == 403


async def test_nobody_gets_a_ticket_for_anothers_log_or_for_what_is_none(
    box: DockerHost, container: str
) -> None:
    resource = f"vps/{box.vps_id}/docker/containers/{container}/logs/follow"
    other = await box.world.user("member")
    assert (await other.post("/ws-tickets", json={"resource": resource})).status_code == 404
    for wrong in (f"{resource}/../x", resource.replace(container, "..%2f"), resource + "?tail=1"):
        answer = await box.owner.post("/ws-tickets", json={"resource": wrong})
        assert answer.status_code == 422


async def test_a_log_goes_on_when_the_agents_stream_comes_back(
    own_world: World, docker_engine: Engine, tmp_path: Path
) -> None:
    gate = Gate(own_world.grpc_port)
    await gate.open()
    own_world.start("edge")
    own_world.start("gateway", agent_address=f"127.0.0.1:{gate.port}")
    await own_world.ready("edge", "gateway")
    async with docker_host(own_world, docker_engine, tmp_path / "host", POLICY) as box:
        script = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done"
        name = await box.run("run", "--detach", IMAGE, "/bin/sh", "-c", script)
        async with box.following(name, tail=1) as follower:
            for _ in range(2):
                await follower.count(len(follower.lines) + 20)
                await gate.shut()
                await asyncio.sleep(0.5)
                await gate.open()
                await follower.count(len(follower.lines) + 100)
            numbers = [int(text) for text in follower.texts]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        await box.run("rm", "--force", name)
    await gate.shut()


async def test_following_offline_is_refused_at_once(
    world: World, docker_engine: Engine, tmp_path: Path
) -> None:
    async with docker_host(world, docker_engine, tmp_path / "off", 'docker = "read"\n') as box:
        await box.agent.stop()
        url = await box.follow_url(ABSENT)
        began = time.monotonic()

        status, problem = await refused(url)

        assert (status, problem["title"]) == (409, "Offline")
        assert time.monotonic() - began < 3


async def test_a_host_that_forbids_docker_refuses(
    world: World, docker_engine: Engine, tmp_path: Path
) -> None:
    async with docker_host(world, docker_engine, tmp_path / "no", "shell = true\n") as box:
        status, problem = await refused(await box.follow_url(ABSENT))
        assert status == 403
        assert "Docker is off on this host" in problem["detail"]
        answer = await box.owner.get(f"{box.path}/containers")
        assert answer.status_code in {200, 403}
        assert answer.status_code == 403 or answer.json()["live"] is False


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
            await asyncio.sleep(0.2)
            return b"40 120\r\n" in terminal.shown

        await until(resized)
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
        await terminal.shows(b"y" * 60 + b"\r\n" + b"y" * 60)
        await asyncio.sleep(1)
        began = time.monotonic()
        await terminal.type(b"\x03")
        await terminal.type(b"echo quie''t\n")
        await terminal.shows(b"quiet\r\n")
        assert time.monotonic() - began < 3
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
