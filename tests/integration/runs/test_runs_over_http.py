"""Runs over HTTP: start, refusal, following, cancelling and storage."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest

from flotilla.v1.command_pb2 import Command, CommandResponse
from services.gateway.api.limits import RunLimits
from services.gateway.timing import GatewayTiming
from services.kit.agents.timing import CommandTiming
from tests.fixtures import runs
from tests.fixtures.runs import RUNNING, printed
from tests.fixtures.scripted_agent import ScriptedAgent
from tests.fixtures.waiting import until
from tests.fixtures.world import World


async def owned(world: World) -> tuple[httpx.AsyncClient, ScriptedAgent]:
    user = await world.user("member")
    agent = await world.enrolled(user)
    await agent.connect()
    return user, agent


async def audited(world: World, vps_id: str, action: str) -> list[dict[str, Any]]:
    """The entries of an action on a server, once there is one."""
    admin = await world.user()

    async def look() -> list[dict[str, Any]] | None:
        page = (await admin.get("/audit", params={"object": f"vps:{vps_id}"})).json()
        return [entry for entry in page["items"] if entry["action"] == action] or None

    found: list[dict[str, Any]] | None = await until(look)
    assert found is not None
    return found


def problem(answer: httpx.Response, status: int, kind: str) -> str:
    assert answer.status_code == status, answer.text
    assert answer.json()["type"] == f"/problems/{kind}"
    return str(answer.json()["detail"])


async def test_a_run_is_answered_at_once_and_its_result_is_kept(world: World) -> None:
    user, agent = await owned(world)
    run = await runs.start(user, agent, script="echo ä; exit 3", timeout_seconds=7)
    assert run["status"] == "queued"
    assert [(server["vps_id"], server["status"]) for server in run["servers"]] == [
        (agent.vps_id, "queued")
    ]
    request, command = await agent.commanded()
    assert Command.FromString(request.command) == command
    assert command.shell.script == "echo ä; exit 3"
    assert command.timeout_ms == 7_000
    assert command.max_output_bytes == 1024 * 1024
    assert command.actor == (await user.get("/auth/me")).json()["username"]
    assert 0 < command.expires_at_unix_ms - command.not_before_unix_ms <= 60_000
    letter = "ä".encode()
    await agent.answer(command.id, part=0, stdout=letter[:1], stderr=b"a\0", **RUNNING)
    await agent.answer(command.id, part=1, exit_code=3, stdout=letter[1:] + b"\xff", truncated=True)

    found = await runs.ended(user, run)
    (server,) = found["servers"]
    assert (found["status"], found["source"]) == ("finished", "person")
    assert (server["status"], server["exit_code"], server["problem"]) == ("finished", 3, None)
    assert (server["stdout"], server["stderr"]) == ("ä\ufffd", "a\ufffd")
    assert sorted(server["output"]) == sorted("ä\ufffda\ufffd")
    assert server["truncated"] is True
    assert server["output_omitted"] is False
    assert run["created_at"] < server["started_at"] < server["finished_at"]
    assert (await user.get(f"/runs/{run['id']}/servers/{agent.vps_id}")).json() == server
    (entry,) = await audited(world, agent.vps_id, "command.run")
    assert entry["allowed"] is True
    assert entry["username"] == found["username"]
    assert entry["detail"] == run["id"]
    assert entry["peer"] == "127.0.0.1"
    assert (await audited(world, agent.vps_id, "command.begin"))[0]["detail"] == run["id"]


async def test_a_server_that_is_offline_fails_at_once(world: World) -> None:
    user = await world.user("member")
    agent = await world.enrolled(user)
    run = await runs.start(user, agent, timeout_seconds=3600)
    server = await runs.result(user, run)
    assert (server["status"], server["problem"]) == ("failed", "/problems/agent-offline")
    assert "offline" in server["reason"]
    assert (await audited(world, agent.vps_id, "command.run"))[0]["reason"] == server["reason"]


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        ("FORBIDDEN", "agent-forbidden"),
        ("NOT_FOUND", "agent-not-found"),
        ("CONFLICT", "agent-conflict"),
        ("INVALID", "agent-invalid"),
        ("TOO_LARGE", "agent-too-large"),
        ("BUSY", "agent-busy"),
        ("UNAVAILABLE", "agent-unavailable"),
    ],
)
async def test_an_agents_refusal_fails_the_run_for_its_reason(
    world: World, failure: str, kind: str
) -> None:
    user, agent = await owned(world)
    run = await runs.start(user, agent)
    _, command = await agent.commanded()
    await agent.answer(
        command.id,
        status=CommandResponse.STATUS_REFUSED,
        failure=CommandResponse.Failure.Value(f"FAILURE_{failure}"),
        reason="commands are off in policy.toml",
    )
    found = await runs.ended(user, run)
    (server,) = found["servers"]
    assert (found["status"], server["status"]) == ("failed", "failed")
    assert server["problem"] == f"/problems/{kind}"
    assert server["reason"] == "commands are off in policy.toml"
    (entry,) = await audited(world, agent.vps_id, "command.run")
    assert entry["allowed"] is False
    assert entry["reason"] == "commands are off in policy.toml"


async def test_a_run_that_is_no_run_is_refused(world: World) -> None:
    user, agent = await owned(world)
    ids = [agent.vps_id]
    for body in (
        {"script": ""},
        {"script": "a\0b"},
        {"script": "x" * 65_537},
        {"script": "€" * 65_536},
        {"script": "true", "timeout_seconds": 0},
        {"script": "true", "timeout_seconds": 3_601},
        {"script": "true", "sudo": True},
        {},
    ):
        answer = await user.post("/runs", json={"server_ids": ids, **body})
        assert answer.status_code in {400, 422}, body
    assert (await user.get("/runs")).json() == {"items": [], "total": 0}


async def test_an_empty_selection_is_refused_and_nothing_is_everything(world: World) -> None:
    user, agent = await owned(world)
    selections: tuple[dict[str, Any], ...] = (
        {},
        {"server_ids": [], "tags": []},
        {"server_ids": [agent.vps_id] * 2},
        {"server_ids": [str(uuid4()) for _ in range(201)]},
        {"server_ids": ["*"]},
        {"server_ids": None},
        {"tags": [""]},
        {"tags": ["*"]},
        {"server_ids": [agent.vps_id], "tags": ["nobody-has-it"]},
    )
    for fields in selections:
        answer = await user.post("/runs", json={"script": "true", **fields})
        problem(answer, 422, "validation")
        assert answer.json()["errors"], fields
    assert (await user.get("/runs")).json()["total"] == 0


async def test_one_foreign_server_stops_the_whole_before_it_begins(world: World) -> None:
    user, agent = await owned(world)
    _, foreign = await owned(world)
    for other in (foreign.vps_id, str(uuid4())):
        body = {"server_ids": [agent.vps_id, other], "script": "true"}
        answer = await user.post("/runs", json=body)
        assert other in problem(answer, 404, "not-found")
        assert [wrong["field"] for wrong in answer.json()["errors"]] == ["server_ids[1]"]
    unknown = [str(uuid4()), agent.vps_id, str(uuid4())]
    answer = await user.post("/runs", json={"server_ids": unknown, "script": "true"})
    detail = problem(answer, 404, "not-found")
    assert [number for number in range(3) if unknown[number] in detail] == [0, 2]
    fields = [wrong["field"] for wrong in answer.json()["errors"]]
    assert fields == ["server_ids[0]", "server_ids[2]"]
    assert (await user.get("/runs")).json()["total"] == 0
    (entry,) = await audited(world, foreign.vps_id, "command.run")
    assert (entry["allowed"], entry["reason"]) == (False, "no right to this server")


async def test_tags_and_ids_name_servers_together_and_each_once(world: World) -> None:
    user, named = await owned(world)
    stranger, foreign = await owned(world)
    tagged = [await world.enrolled(user) for _ in range(3)]
    for agent, tags in zip(tagged, (["web", "eu"], ["web"], ["db"]), strict=True):
        answer = await user.patch(f"/vps/{agent.vps_id}", json={"tags": tags})
        assert answer.json()["tags"] == sorted(tags)
    await stranger.patch(f"/vps/{foreign.vps_id}", json={"tags": ["web"]})

    run = await runs.start(user, named, tagged[0], tags=["web", "eu"])

    ids = {server["vps_id"] for server in run["servers"]}
    assert ids == {named.vps_id, tagged[0].vps_id, tagged[1].vps_id}
    assert len(run["servers"]) == 3


async def test_tags_are_words_and_replace_those_before(world: World) -> None:
    user, agent = await owned(world)
    path = f"/vps/{agent.vps_id}"
    assert (await user.get(path)).json()["tags"] == []
    changed = await user.patch(path, json={"tags": ["web", "生产", "web", "eu-west:1"]})
    assert changed.json()["tags"] == ["eu-west:1", "web", "生产"]
    assert (await user.patch(path, json={"name": "renamed"})).json()["tags"] != []
    for wrong in (["a b"], ["a,b"], [""], ["a\0"], ["x" * 41], [f"t{n}" for n in range(33)], "web"):
        problem(await user.patch(path, json={"tags": wrong}), 422, "validation")
    assert (await user.patch(path, json={"tags": []})).json()["tags"] == []


async def test_many_servers_are_followed_in_one_stream(world: World) -> None:
    user = await world.user("member")
    agents = [await world.enrolled(user) for _ in range(3)]
    works, forbids, away = agents
    await works.connect()
    await forbids.connect()
    run = await runs.start(user, *agents)
    _, command = await works.commanded()
    await works.answer(command.id, part=0, stdout=b"one\n", **RUNNING)
    await works.answer(command.id, part=1, stderr=b"two\n", exit_code=1)
    _, command = await forbids.commanded()
    await forbids.answer(
        command.id,
        status=CommandResponse.STATUS_REFUSED,
        failure=CommandResponse.FAILURE_FORBIDDEN,
        reason="not here",
    )

    lines = await runs.lines(user, run)

    assert [line["offset"] for line in lines] == list(range(len(lines)))

    def of(agent: ScriptedAgent) -> list[tuple[str, str]]:
        return [
            (line["stream"], line["data"]) if line["event"] == "output" else ("", line["status"])
            for line in lines
            if line.get("server_id") == agent.vps_id
        ]

    assert of(works) == [
        ("", "queued"),
        ("", "running"),
        ("stdout", "one\n"),
        ("stderr", "two\n"),
        ("", "finished"),
    ]
    assert of(forbids) == [("", "queued"), ("", "running"), ("", "failed")]
    assert of(away) == [("", "queued"), ("", "running"), ("", "failed")]
    ends = {line["server_id"]: line for line in lines if line["event"] == "server"}
    assert ends[works.vps_id]["exit_code"] == 1
    assert ends[forbids.vps_id]["reason"] == "not here"
    assert ends[away.vps_id]["problem"] == "/problems/agent-offline"
    assert lines[-1] == {"event": "run", "offset": len(lines) - 1, "status": "failed"}


async def test_a_run_goes_on_though_nobody_follows_it(world: World) -> None:
    user, agent = await owned(world)
    run = await runs.start(user, agent)
    async with runs.follow(user, run) as following:
        await runs.until_line(following, status="running")
    _, command = await agent.commanded()
    await agent.answer(command.id, stdout=b"to the end")
    assert (await runs.result(user, run))["stdout"] == "to the end"


async def test_more_output_than_is_kept_is_cut_and_said(world: World) -> None:
    user, agent = await owned(world)
    run = await runs.start(user, agent)
    _, command = await agent.commanded()
    for number in range(5):  # an agent that ignores the limit
        await agent.answer(command.id, part=number, stdout=b"x" * 400_000, **RUNNING)
    await agent.answer(command.id, part=5)
    server = await runs.result(user, run)
    assert len(server["stdout"]) == 1024 * 1024
    assert server["truncated"] is True
    assert printed(await runs.lines(user, run)) == server["stdout"]


async def test_a_time_out_there_is_a_result(world: World) -> None:
    user, agent = await owned(world)
    run = await runs.start(user, agent)
    _, command = await agent.commanded()
    await agent.answer(command.id, status=CommandResponse.STATUS_TIMED_OUT, stderr=b"so far")
    found = await runs.ended(user, run)
    assert found["status"] == found["servers"][0]["status"] == "timed_out"
    assert found["servers"][0]["stderr"] == "so far"


async def test_runs_are_listed_newest_first_and_by_server_and_state(world: World) -> None:
    user, agent = await owned(world)
    other = await world.enrolled(user)
    failed = await runs.start(user, other)
    await runs.ended(user, failed)
    both = await runs.start(user, agent, other)
    await agent.commanded()

    async def listed(**filters: Any) -> list[str]:
        page = (await user.get("/runs", params=filters)).json()
        assert page["total"] >= len(page["items"])
        assert all("stdout" not in server for run in page["items"] for server in run["servers"])
        return [run["id"] for run in page["items"]]

    assert await listed() == [both["id"], failed["id"]]
    assert await listed(limit=1, offset=1) == [failed["id"]]
    assert await listed(server=agent.vps_id) == [both["id"]]
    assert await listed(server=other.vps_id) == [both["id"], failed["id"]]
    assert await listed(status="failed") == [failed["id"]]
    assert await listed(status="running") == [both["id"]]
    for wrong in ({"limit": 0}, {"limit": 201}, {"status": "refused"}, {"server": "x"}):
        problem(await user.get("/runs", params=wrong), 422, "validation")


async def test_a_run_shows_each_owner_its_own_servers(world: World) -> None:
    first, one = await owned(world)
    second, two = await owned(world)
    admin = await world.colleague(first, "operator")
    await world.sql(
        "INSERT INTO memberships (organisation_id, user_id, role)"
        " SELECT vps.organisation_id, %(me)s, 'operator' FROM vps WHERE id = %(id)s",
        me=(await admin.get("/auth/me")).json()["id"],
        id=two.vps_id,
    )
    run = await runs.start(admin, one, two)
    for agent in (one, two):
        _, command = await agent.commanded()
        await agent.answer(command.id, stdout=agent.vps_id.encode())
    whole = await runs.lines(admin, run)
    stranger = await world.user("member")

    for user, agent in ((first, one), (second, two)):
        found = await runs.ended(user, run)
        assert [server["vps_id"] for server in found["servers"]] == [agent.vps_id]
        lines = await runs.lines(user, run)
        assert printed(lines) == agent.vps_id
        assert lines[:-1] == [line for line in whole if line.get("server_id") == agent.vps_id]
        assert lines[-1] == whole[-1]
    other = f"/runs/{run['id']}/servers/{two.vps_id}"
    problem(await first.get(other), 404, "not-found")
    problem(await first.delete(other), 404, "not-found")
    for path in (f"/runs/{run['id']}", f"/runs/{run['id']}/output", f"/runs/{uuid4()}"):
        problem(await stranger.get(path), 404, "not-found")
    assert (await stranger.get("/runs")).json()["total"] == 0


async def test_a_script_that_runs_is_cancelled_and_one_that_ended_is_not(world: World) -> None:
    user, agent = await owned(world)
    run = await runs.start(user, agent)
    _, command = await agent.commanded()
    path = f"/runs/{run['id']}"
    answer = await user.delete(path)
    assert answer.status_code == 202
    assert answer.json()["servers"][0]["cancelling"] is True
    _, told = await agent.commanded()
    assert told.cancel.command_id == command.id
    await agent.answer(told.id)
    await agent.answer(command.id, status=CommandResponse.STATUS_CANCELLED, stdout=b"so far")

    found = await runs.ended(user, run)
    (server,) = found["servers"]
    assert (found["status"], server["status"]) == ("cancelled", "cancelled")
    assert (server["stdout"], server["exit_code"]) == ("so far", None)
    assert server["cancelling"] is False
    problem(await user.delete(path), 409, "already-ended")
    stranger = await world.user("member")
    problem(await stranger.delete(path), 404, "not-found")
    (entry,) = await audited(world, agent.vps_id, "command.cancel")
    assert (entry["allowed"], entry["detail"]) == (True, run["id"])


async def test_one_server_is_cancelled_and_the_others_go_on(world: World) -> None:
    user, stops = await owned(world)
    goes_on = await world.enrolled(user)
    await goes_on.connect()
    run = await runs.start(user, stops, goes_on)
    _, command = await stops.commanded()
    _, other = await goes_on.commanded()
    answer = await user.delete(f"/runs/{run['id']}/servers/{stops.vps_id}")
    cancelling = {server["vps_id"]: server["cancelling"] for server in answer.json()["servers"]}
    assert cancelling == {stops.vps_id: True, goes_on.vps_id: False}
    _, told = await stops.commanded()
    await stops.answer(told.id)
    await stops.answer(command.id, status=CommandResponse.STATUS_CANCELLED)
    await goes_on.answer(other.id)
    found = await runs.ended(user, run)
    states = {server["vps_id"]: server["status"] for server in found["servers"]}
    assert states == {stops.vps_id: "cancelled", goes_on.vps_id: "finished"}
    assert found["status"] == "cancelled"


@pytest.mark.parametrize(
    "failure", [CommandResponse.FAILURE_NOT_FOUND, CommandResponse.FAILURE_CONFLICT]
)
async def test_a_cancel_that_comes_too_late_changes_nothing(
    world: World, failure: CommandResponse.Failure.ValueType
) -> None:
    user, agent = await owned(world)
    run = await runs.start(user, agent)
    _, command = await agent.commanded()
    assert (await user.delete(f"/runs/{run['id']}")).status_code == 202
    _, told = await agent.commanded()
    await agent.answer(
        told.id,
        status=CommandResponse.STATUS_REFUSED,
        failure=failure,
        reason="nothing of that id runs",
    )
    await agent.answer(command.id)
    assert (await runs.ended(user, run))["status"] == "finished"


async def test_a_script_whose_server_is_away_is_cancelled_when_it_is_back(world: World) -> None:
    user, agent = await owned(world)
    run = await runs.start(user, agent)
    _, command = await agent.commanded()
    await agent.leave()
    answer = await user.delete(f"/runs/{run['id']}")
    assert answer.json()["servers"][0]["cancelling"] is True
    await agent.connect()
    asked = [(await agent.commanded())[1] for _ in range(2)]
    (told,) = [one for one in asked if one.HasField("cancel")]
    assert told.cancel.command_id == command.id
    await agent.answer(told.id)
    await agent.answer(command.id, status=CommandResponse.STATUS_CANCELLED)
    assert (await runs.ended(user, run))["status"] == "cancelled"


async def test_a_server_that_is_removed_leaves_the_run_to_the_others(world: World) -> None:
    user, stays = await owned(world)
    goes = await world.enrolled(user)
    await goes.connect()
    run = await runs.start(user, stays, goes)
    _, command = await stays.commanded()
    await goes.commanded()
    assert (await user.delete(f"/vps/{goes.vps_id}")).status_code == 204
    await stays.answer(command.id, stdout=b"here")
    # The agent of the removed server is disconnected, so the run no longer waits for its script.
    found = await runs.ended(user, run)
    assert [server["vps_id"] for server in found["servers"]] == [stays.vps_id]
    assert found["servers"][0]["stdout"] == "here"


async def test_a_script_is_followed_across_a_broken_connection(world: World) -> None:
    user, agent = await owned(world)
    letter = "ä".encode()
    run = await runs.start(user, agent)
    request, command = await agent.commanded()
    async with runs.follow(user, run) as following:
        await agent.answer(command.id, part=0, stdout=b"one " + letter[:1], **RUNNING)
        before = await runs.until_line(following, data="one ")
        await agent.leave()
        await agent.connect()
        again, _ = await agent.commanded()
        assert again == request
        # Agents answer a repeat with the whole output from its start.
        await agent.answer(command.id, part=0, stdout=b"one ", **RUNNING)
        await agent.answer(command.id, part=1, stdout=letter + b" two", exit_code=4)
        after = await runs.until_line(following, event="run")
    assert printed(before + after) == "one ä two"
    server = await runs.result(user, run)
    assert (server["stdout"], server["truncated"]) == ("one ä two", False)
    assert (server["status"], server["exit_code"]) == ("finished", 4)


async def test_a_script_whose_agent_does_not_come_back_is_lost(own_world: World) -> None:
    own_world.start("edge")
    own_world.start("gateway", timing=GatewayTiming(commands=CommandTiming(return_patience=-9.0)))
    await own_world.ready("edge", "gateway")
    user, agent = await owned(own_world)
    run = await runs.start(user, agent, timeout_seconds=1)
    _, command = await agent.commanded()
    await agent.answer(command.id, part=0, stdout=b"so far", **RUNNING)
    await agent.leave()
    found = await runs.ended(user, run)
    (server,) = found["servers"]
    assert (found["status"], server["status"], server["stdout"]) == ("lost", "lost", "so far")
    assert server["problem"] == "/problems/agent-unanswered"


async def test_while_the_bus_is_away_nothing_is_started_and_that_is_said_at_once(
    own_world: World,
) -> None:
    own_world.start("gateway")
    await own_world.ready("gateway")
    user = await own_world.user()
    vps_id = (await user.post("/vps", json={"name": "box"})).json()["id"]
    own_world.nats.kill()

    async def away() -> bool:
        return (await own_world.anonymous().get(f"{own_world.http}/readyz")).status_code == 503

    await until(away)
    answer = await user.post("/runs", json={"server_ids": [vps_id], "script": "true"})
    problem(answer, 503, "dependency-unavailable")
    assert (await user.get("/runs")).json()["total"] == 0


class Limited:
    """A world whose gateway has other limits."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def with_limits(self, **limits: int) -> httpx.AsyncClient:
        self.world.start("edge")
        self.world.start("gateway", options={"run_limits": RunLimits(**limits)})
        await self.world.ready("edge", "gateway")
        return await self.world.user("member")

    async def agents(self, user: httpx.AsyncClient, number: int) -> list[ScriptedAgent]:
        agents = [await self.world.enrolled(user) for _ in range(number)]
        for agent in agents:
            await agent.connect()
        return agents


@pytest.fixture
def limited(own_world: World) -> Limited:
    return Limited(own_world)


async def test_so_many_servers_run_at_once_and_the_others_wait(limited: Limited) -> None:
    assert RunLimits().servers == 20
    user = await limited.with_limits(servers=2)
    agents = await limited.agents(user, 5)
    run = await runs.start(user, *agents)
    at_once: set[str] = set()
    most = 0

    async def act(agent: ScriptedAgent) -> None:
        nonlocal most
        _, command = await agent.commanded()
        at_once.add(agent.vps_id)
        most = max(most, len(at_once))
        states = [server["status"] for server in (await runs.read(user, run))["servers"]]
        assert states.count("running") <= 2
        at_once.discard(agent.vps_id)
        await agent.answer(command.id)

    await asyncio.gather(*map(act, agents))
    assert most <= 2
    found = await runs.ended(user, run)
    assert [server["status"] for server in found["servers"]] == ["finished"] * 5


async def test_what_waits_is_cancelled_and_never_begun(limited: Limited) -> None:
    user = await limited.with_limits(servers=1)
    agents = await limited.agents(user, 2)
    run = await runs.start(user, *agents)
    async with runs.follow(user, run) as following:
        (*_, begun) = await runs.until_line(following, status="running")
    agent = next(agent for agent in agents if agent.vps_id == begun["server_id"])
    (waits,) = set(agents) - {agent}
    _, command = await agent.commanded()
    answer = await user.delete(f"/runs/{run['id']}/servers/{waits.vps_id}")
    states = {server["vps_id"]: server["status"] for server in answer.json()["servers"]}
    assert states == {agent.vps_id: "running", waits.vps_id: "cancelled"}
    await agent.answer(command.id)
    found = await runs.ended(user, run)
    servers = {server["vps_id"]: server for server in found["servers"]}
    assert servers[agent.vps_id]["status"] == "finished"
    assert servers[waits.vps_id]["started_at"] is None
    assert "Cancelled by" in servers[waits.vps_id]["reason"]


async def test_a_run_waits_for_a_place_and_too_many_are_told_to_come_back(
    limited: Limited,
) -> None:
    user = await limited.with_limits(runs=1, waiting=1)
    agents = await limited.agents(user, 2)
    first = await runs.start(user, agents[0])
    _, command = await agents[0].commanded()
    second = await runs.start(user, agents[1])
    third = await user.post("/runs", json={"server_ids": [agents[0].vps_id], "script": "true"})
    problem(third, 429, "busy")
    assert int(third.headers["Retry-After"]) > 0
    assert (await runs.read(user, second))["status"] == "queued"
    await agents[0].answer(command.id)
    assert (await runs.ended(user, first))["status"] == "finished"
    _, command = await agents[1].commanded()
    await agents[1].answer(command.id)
    assert (await runs.ended(user, second))["status"] == "finished"


async def test_the_output_of_a_run_has_a_bound_and_says_whose_was_cut(limited: Limited) -> None:
    user = await limited.with_limits(output=1_000)
    much, little = await limited.agents(user, 2)
    run = await runs.start(user, much, little)
    _, command = await little.commanded()
    await little.answer(command.id, stdout=b"little")
    async with runs.follow(user, run) as following:
        await runs.until_line(following, status="finished")
    _, command = await much.commanded()
    await much.answer(command.id, part=0, stdout=b"x" * 500, **RUNNING)
    async with runs.follow(user, run) as following:
        await runs.until_line(following, data="x" * 500)
    await much.answer(command.id, part=1, stdout=b"y" * 500)
    found = await runs.ended(user, run)
    servers = {server["vps_id"]: server for server in found["servers"]}
    assert (servers[much.vps_id]["stdout"], servers[much.vps_id]["truncated"]) == ("x" * 500, True)
    assert (servers[little.vps_id]["stdout"], servers[little.vps_id]["truncated"]) == (
        "little",
        False,
    )


async def test_too_many_viewers_are_told_to_come_back(limited: Limited) -> None:
    user = await limited.with_limits(viewers=1)
    (agent,) = await limited.agents(user, 1)
    run = await runs.start(user, agent)
    async with runs.follow(user, run) as following:
        await anext(following)
        problem(await user.get(f"/runs/{run['id']}/output"), 429, "busy")
    _, command = await agent.commanded()
    await agent.answer(command.id)
    await runs.ended(user, run)
