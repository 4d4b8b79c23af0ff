"""A container's log, followed over a WebSocket."""

import asyncio
import re
from functools import partial
from pathlib import Path

import pytest
import websockets

from services.gateway.api.problem_types import ProblemType
from tests.fixtures.docker_engine import IMAGE, Engine
from tests.fixtures.docker_host import ABSENT, POLICY, DockerHost, docker_host
from tests.fixtures.terminals import refused
from tests.fixtures.waiting import until
from tests.fixtures.world import Gate, World


async def sessions_opened(box: DockerHost) -> list[str]:
    """Return the lines of the agent's log about sessions that began."""
    log = (await asyncio.to_thread(box.log.read_text)).splitlines()
    return [line for line in log if re.search(r"session \w+ of command", line)]


async def over(box: DockerHost, opened: str) -> bool:
    match = re.search(r"session (\w+) of command", opened)
    assert match is not None
    return f"session {match[1]} ended" in await asyncio.to_thread(box.log.read_text)


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


async def passed(box: DockerHost, container: str, lines: int) -> None:
    """Wait until another viewer has received this number of new lines of a container."""
    async with box.following(container, tail=1) as other:
        await other.count(lines)


async def test_a_screen_that_acknowledges_nothing_gets_so_many_lines_and_no_more(
    box: DockerHost,
) -> None:
    script = f"i=0; while :; do i=$((i+1)); echo {'z' * 60} $i; done"
    name = await box.run("run", "--detach", IMAGE, "/bin/sh", "-c", script)
    url = await box.follow_url(name)
    async with box.following_at(url, slow=True) as follower:
        await follower.count(5_000)
        await passed(box, name, 20_000)
        await (await follower.socket.ping())
        assert len(follower.lines) == 5_000
        # The agent has stopped reading too: it sends the next lines, not the newest ones.
        await follower.acknowledge()
        await follower.count(10_000)
        await passed(box, name, 20_000)
        await (await follower.socket.ping())
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


async def is_offline(box: DockerHost) -> bool:
    server = await box.owner.get(f"/vps/{box.vps_id}")
    return bool(server.json()["status"] == "offline")


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
                await until(partial(is_offline, box))
                await gate.open()
                await follower.count(len(follower.lines) + 100)
            numbers = [int(text) for text in follower.texts]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        await box.run("rm", "--force", name)
    await gate.shut()


async def test_following_offline_is_refused(
    world: World, docker_engine: Engine, tmp_path: Path
) -> None:
    async with docker_host(world, docker_engine, tmp_path / "off", 'docker = "read"\n') as box:
        await box.agent.stop()
        url = await box.follow_url(ABSENT)

        status, problem = await refused(url)

        assert (status, problem["type"]) == (409, ProblemType.AGENT_OFFLINE)


async def test_a_host_that_forbids_docker_refuses(
    world: World, docker_engine: Engine, tmp_path: Path
) -> None:
    async with docker_host(world, docker_engine, tmp_path / "no", "shell = true\n") as box:
        status, problem = await refused(await box.follow_url(ABSENT))
        assert status == 403
        assert "Docker is switched off on this server" in problem["detail"]
        answer = await box.owner.get(f"{box.path}/containers")
        assert answer.status_code in {200, 403}
        assert answer.status_code == 403 or answer.json()["live"] is False
