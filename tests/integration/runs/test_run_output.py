"""The output of a run: the same lines for everybody, from any offset, through any gateway."""

import asyncio
import json
from typing import Any

import httpx

from flotilla.v1.command_pb2 import Command
from tests.fixtures import runs
from tests.fixtures.runs import RUNNING, Line, printed
from tests.fixtures.scripted_agent import ScriptedAgent
from tests.fixtures.world import World


async def started(world: World) -> tuple[httpx.AsyncClient, ScriptedAgent, dict[str, Any], Command]:
    """Start a run whose script the agent has received."""
    user = await world.user("member")
    agent = await world.enrolled(user)
    await agent.connect()
    run = await runs.start(user, agent)
    _, command = await agent.commanded()
    return user, agent, run, command


async def say(agent: ScriptedAgent, command: Command, *texts: str, part: int = 0) -> int:
    """Print each text as a separate part; return the number of the next part."""
    for text in texts:
        await agent.answer(command.id, part=part, stdout=text.encode(), **RUNNING)
        part += 1
    return part


async def test_every_offset_gives_the_rest_while_it_runs_and_afterwards(world: World) -> None:
    user, agent, run, command = await started(world)
    part = 0
    seen: list[Line] = []
    async with runs.follow(user, run) as following:
        # Each text is a line of its own, because it is printed after the previous one was shown.
        for number in range(4):
            part = await say(agent, command, f"{number}\n", part=part)
            seen += await runs.until_line(following, data=f"{number}\n")
    for line in seen:
        async with runs.follow(user, run, line["offset"]) as again:
            assert await anext(again) == line
    following_up = asyncio.create_task(runs.lines(user, run, seen[-1]["offset"] + 1))
    await agent.answer(command.id, part=part, stdout=b"last\n", exit_code=0)

    rest = await following_up

    assert printed(rest) == "last\n"
    whole = await runs.lines(user, run)
    assert seen + rest == whole
    for offset in range(len(whole)):
        assert await runs.lines(user, run, offset) == whole[offset:]
    end = len(whole) - 1
    for beyond in (end, end + 1, 1_000):
        last = await runs.lines(user, run, beyond)
        assert last == [{"event": "run", "offset": end, "status": "finished"}]


async def test_an_offset_beyond_the_end_of_a_running_script_misses_nothing_later(
    world: World,
) -> None:
    user, agent, run, command = await started(world)
    async with runs.follow(user, run) as following:
        await say(agent, command, "earlier\n")
        await runs.until_line(following, data="earlier\n")
    async with runs.follow(user, run, 999) as following:
        await agent.answer(command.id, part=1, stdout=b"later\n", exit_code=0)
        lines = [line async for line in following]

    assert printed(lines) == "later\n"
    assert lines[-1]["event"] == "run"


async def test_a_second_gateway_shows_the_same_lines_live(world: World) -> None:
    user, agent, run, command = await started(world)
    other = await runs.second_gateway(world, user)
    try:
        async with runs.follow(user, run) as here, runs.follow(other, run) as there:
            part = await say(agent, command, "one\n")
            first = await runs.until_line(here, data="one\n")
            assert await runs.until_line(there, data="one\n") == first
            await say(agent, command, "two\n", part=part)
            second = await runs.until_line(there, data="two\n")
            await agent.answer(command.id, part=2, exit_code=3)
            assert await runs.until_line(here, event="run") == second + await runs.until_line(
                there, event="run"
            )
        # A gateway can cancel a run that another gateway drives.
        again, at_agent = await runs.start(other, agent), (await agent.commanded())[1]
        assert (await user.delete(f"/runs/{again['id']}")).status_code == 202
        _, told = await agent.commanded()
        assert told.cancel.command_id == at_agent.id
        await agent.answer(told.id)
        await agent.answer(at_agent.id)
        await runs.ended(other, again)
    finally:
        await world.stop("gateway-2")


async def test_a_viewer_that_does_not_read_holds_up_nobody_and_misses_nothing(
    world: World,
) -> None:
    user, agent, run, command = await started(world)
    reader, writer = await asyncio.open_connection("127.0.0.1", world.http_port, limit=1024)
    writer.write(
        f"GET /api/v1/runs/{run['id']}/output HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: {user.headers['Authorization']}\r\nConnection: close\r\n\r\n".encode()
    )
    await writer.drain()
    assert b"200" in await reader.readline()
    # More than the buffers of the sockets between them hold.
    text = "x" * 60_000
    part = await say(agent, command, *[text] * 17)
    await agent.answer(command.id, part=part, exit_code=0)

    prompt = await runs.lines(user, run)

    assert printed(prompt) == text * 17
    slow = await reader.read(-1)
    writer.close()
    body = b"".join(chunk for chunk in _dechunked(slow.partition(b"\r\n\r\n")[2]))
    assert [json.loads(line) for line in body.splitlines()] == prompt


def _dechunked(body: bytes) -> list[bytes]:
    """The chunks of an HTTP/1.1 body."""
    chunks = []
    while body:
        size, _, body = body.partition(b"\r\n")
        chunks.append(body[: int(size, 16)])
        body = body[int(size, 16) + 2 :]
    return chunks


async def test_characters_that_parts_cut_in_two_are_whole_in_a_line(world: World) -> None:
    user, agent, run, command = await started(world)
    letters = "äß漢🚢".encode()
    async with runs.follow(user, run) as following:
        for number in range(len(letters)):
            await agent.answer(
                command.id, part=number, stdout=letters[number : number + 1], **RUNNING
            )
        await agent.answer(command.id, part=len(letters))
        lines = await runs.until_line(following, event="run")
    assert printed(lines) == "äß漢🚢"


async def test_a_viewer_loses_what_it_may_not_see_any_more(world: World) -> None:
    user, agent, run, command = await started(world)
    async with runs.follow(user, run) as following:
        await runs.until_line(following, status="running")
        new = await world.user("member")
        mine = (await new.get("/auth/me")).json()["organisations"][0]["id"]
        await world.sql(
            "UPDATE vps SET organisation_id = %(new)s WHERE id = %(id)s",
            new=mine,
            id=agent.vps_id,
        )
        await say(agent, command, "secret")
        assert [line async for line in following] == []
    await agent.answer(command.id, part=1)
    assert printed(await runs.lines(new, run)) == "secret"


async def test_a_long_output_of_many_servers_is_cut_in_one_answer_and_whole_elsewhere(
    world: World,
) -> None:
    user = await world.user("member")
    agents = [await world.enrolled(user) for _ in range(5)]
    for agent in agents:
        await agent.connect()
    run = await runs.start(user, *agents)
    for agent in agents:
        _, command = await agent.commanded()
        for number in range(15):
            await agent.answer(command.id, part=number, stdout=b"%x" % number * 65_000, **RUNNING)
        await agent.answer(command.id, part=15, stderr=b"end")

    found = await runs.ended(user, run)

    for server in found["servers"]:
        assert server["output_omitted"] is True
        assert server["truncated"] is False
        whole = (await user.get(f"/runs/{run['id']}/servers/{server['vps_id']}")).json()
        assert len(whole["stdout"]) == 15 * 65_000
        assert whole["stderr"] == "end"
        assert whole["output_omitted"] is False
        assert whole["stdout"].startswith(server["stdout"])
    assert sum(len(server["output"]) for server in found["servers"]) <= 5 * 1024 * 1024
    without = (await user.get(f"/runs/{run['id']}", params={"output": "false"})).json()
    assert {(server["output"], server["output_omitted"]) for server in without["servers"]} == {
        ("", True)
    }
