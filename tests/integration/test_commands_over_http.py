"""Scripts run on servers over HTTP: refused, followed, cancelled, kept."""

import asyncio
import json
import time
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from flotilla.v1.command_pb2 import Command, CommandResponse
from services.gateway import following, orphans, scripts, upkeep
from services.gateway.command_schemas import CommandLine
from services.gateway.store import audit as audit_store
from services.gateway.store import commands as store
from services.kit import database
from services.kit.health import Health
from services.kit.settings import DatabaseSettings
from tests.fixtures.agent_script import ScriptedAgent
from tests.fixtures.waiting import until
from tests.fixtures.world import World

RUNNING: dict[str, Any] = {"status": CommandResponse.STATUS_RUNNING, "last": False}


async def owned(world: World) -> tuple[httpx.AsyncClient, ScriptedAgent]:
    user = await world.user("member")
    agent = await world.enrolled(user)
    await agent.connect()
    return user, agent


def run(
    user: httpx.AsyncClient, agent: ScriptedAgent, script: str = "true", **fields: Any
) -> asyncio.Task[httpx.Response]:
    body = {"script": script, **fields}
    return asyncio.create_task(user.post(f"/vps/{agent.vps_id}/commands", json=body))


async def only(user: httpx.AsyncClient, vps_id: str) -> dict[str, Any]:
    """The one command in the server's history, with its output."""
    page = (await user.get(f"/vps/{vps_id}/commands")).json()
    assert page["total"] == len(page["items"]) == 1
    assert "stdout" not in page["items"][0]
    answer = await user.get(f"/vps/{vps_id}/commands/{page['items'][0]['id']}")
    found: dict[str, Any] = answer.json()
    assert page["items"][0].items() <= found.items()
    return found


async def audited(world: World, vps_id: str, action: str) -> list[dict[str, Any]]:
    """The entries of an action on a server, once there is one."""
    admin = await world.user()

    async def look() -> list[dict[str, Any]]:
        page = (await admin.get("/audit", params={"object": f"vps:{vps_id}"})).json()
        return [entry for entry in page["items"] if entry["action"] == action]

    async def there() -> bool:
        return bool(await look())

    await until(there)
    return await look()


def problem(answer: httpx.Response, status: int, title: str) -> str:
    assert answer.status_code == status, answer.text
    assert answer.json()["title"] == title
    return str(answer.json()["detail"])


async def test_a_script_runs_and_its_result_is_kept(world: World) -> None:
    user, agent = await owned(world)
    answer = run(user, agent, "echo ä; exit 3", timeout_seconds=7)
    _, command = await agent.commanded()
    assert command.shell.script == "echo ä; exit 3"
    assert command.timeout_ms == 7_000
    assert command.max_output_bytes == 1024 * 1024
    letter = "ä".encode()
    await agent.answer(command.id, part=0, stdout=letter[:1], stderr=b"a\0", **RUNNING)
    await agent.answer(command.id, part=1, exit_code=3, stdout=letter[1:] + b"\xff", truncated=True)

    result = (await answer).json()
    assert (await answer).status_code == 200
    assert (result["status"], result["exit_code"]) == ("finished", 3)
    assert (result["stdout"], result["stderr"]) == ("ä\ufffd", "a\ufffd")
    assert result["truncated"] is True
    assert result["username"] == (await user.get("/auth/me")).json()["username"]
    assert await only(user, agent.vps_id) == result
    (entry,) = await audited(world, agent.vps_id, "command.run")
    assert entry["allowed"] is True
    assert entry["username"] == result["username"]
    assert entry["detail"] == result["id"]
    assert entry["peer"] == "127.0.0.1"


async def test_offline_is_said_at_once(world: World) -> None:
    user = await world.user("member")
    agent = await world.enrolled(user)
    started = time.monotonic()
    problem(await run(user, agent, timeout_seconds=3600), 409, "Offline")
    assert time.monotonic() - started < 2
    kept = await only(user, agent.vps_id)
    assert (kept["status"], kept["finished_at"] is None) == ("failed", False)
    assert (await audited(world, agent.vps_id, "command.run"))[0]["reason"] == kept["reason"]


@pytest.mark.parametrize(
    ("failure", "status", "title"),
    [
        ("FORBIDDEN", 403, "Not allowed there"),
        ("NOT_FOUND", 404, "Not found there"),
        ("CONFLICT", 409, "In conflict"),
        ("INVALID", 422, "Not acceptable"),
        ("TOO_LARGE", 413, "Too large"),
        ("BUSY", 429, "Busy"),
        ("UNAVAILABLE", 503, "Not available there"),
    ],
)
async def test_an_agents_refusal_is_told_with_its_reason(
    world: World, failure: str, status: int, title: str
) -> None:
    user, agent = await owned(world)
    answer = run(user, agent)
    _, command = await agent.commanded()
    await agent.answer(
        command.id,
        status=CommandResponse.STATUS_REFUSED,
        failure=CommandResponse.Failure.Value(f"FAILURE_{failure}"),
        reason="commands are off in policy.toml",
    )
    assert problem(await answer, status, title) == "commands are off in policy.toml"
    assert ("Retry-After" in (await answer).headers) is (status == 429)
    kept = await only(user, agent.vps_id)
    assert (kept["status"], kept["reason"]) == ("refused", "commands are off in policy.toml")
    (entry,) = await audited(world, agent.vps_id, "command.run")
    assert entry["allowed"] is False
    assert entry["reason"] == "commands are off in policy.toml"


async def test_a_command_that_is_no_command_is_refused(world: World) -> None:
    user, agent = await owned(world)
    path = f"/vps/{agent.vps_id}/commands"
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
        assert (await user.post(path, json=body)).status_code in {400, 422}, body
    assert (await user.get(path)).json() == {"items": [], "total": 0}


async def test_an_empty_selection_is_refused_and_nothing_is_everything(world: World) -> None:
    user, agent = await owned(world)
    for ids in ([], [agent.vps_id] * 2, [str(uuid4()) for _ in range(201)], ["*"], None):
        answer = await user.post("/commands", json={"vps_ids": ids, "script": "true"})
        assert answer.status_code in {400, 422}, ids
    assert (await user.post("/commands", json={"script": "true"})).status_code in {400, 422}
    assert (await user.get(f"/vps/{agent.vps_id}/commands")).json()["total"] == 0


async def test_one_foreign_server_stops_the_whole_before_it_begins(world: World) -> None:
    user, agent = await owned(world)
    _, foreign = await owned(world)
    for other in (foreign.vps_id, str(uuid4())):
        answer = await user.post(
            "/commands", json={"vps_ids": [agent.vps_id, other], "script": "true"}
        )
        problem(answer, 404, "Not found")
    assert (await user.get(f"/vps/{agent.vps_id}/commands")).json()["total"] == 0
    (entry,) = await audited(world, foreign.vps_id, "command.run")
    assert (entry["allowed"], entry["reason"]) == (False, "not the owner")


async def lines_of(answer: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line) async for line in answer.aiter_lines()]


async def test_many_servers_are_followed_line_by_line(world: World) -> None:
    user = await world.user("member")
    agents = [await world.enrolled(user) for _ in range(3)]
    works, forbids, away = agents
    await works.connect()
    await forbids.connect()

    async def work() -> None:
        _, command = await works.commanded()
        await works.answer(command.id, part=0, stdout=b"one\n", **RUNNING)
        await works.answer(command.id, part=1, stderr=b"two\n", exit_code=1)

    async def forbid() -> None:
        _, command = await forbids.commanded()
        await forbids.answer(
            command.id,
            status=CommandResponse.STATUS_REFUSED,
            failure=CommandResponse.FAILURE_FORBIDDEN,
            reason="not here",
        )

    acting = asyncio.gather(work(), forbid())
    body = {"vps_ids": [agent.vps_id for agent in agents], "script": "true"}
    async with user.stream("POST", "/commands", json=body) as answer:
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("application/x-ndjson")
        lines = await lines_of(answer)
    await acting

    def of(agent: ScriptedAgent) -> list[dict[str, Any]]:
        return [line for line in lines if line["vps_id"] == agent.vps_id]

    began, first, second, end = of(works)
    command_id = began["command_id"]
    assert began["event"] == "started"
    assert (first["event"], first["stdout"], second["stderr"]) == ("output", "one\n", "two\n")
    assert end == {
        "vps_id": works.vps_id,
        "command_id": command_id,
        "event": "finished",
        "status": "finished",
        "exit_code": 1,
        "truncated": False,
        "reason": "",
    }
    assert [line["event"] for line in of(forbids)] == ["started", "failed"]
    assert (of(forbids)[-1]["status"], of(forbids)[-1]["reason"]) == ("refused", "not here")
    assert "offline" in of(away)[-1]["reason"]
    assert len(lines) == 4 + 2 + 2
    kept = await user.get(f"/vps/{works.vps_id}/commands/{command_id}")
    assert (kept.json()["stdout"], kept.json()["stderr"]) == ("one\n", "two\n")


async def test_at_most_twenty_servers_run_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert scripts.SERVERS_AT_ONCE == 20
    monkeypatch.setattr(scripts, "SERVERS_AT_ONCE", 2)
    user = await world.user("member")
    agents = [await world.enrolled(user) for _ in range(5)]
    for agent in agents:
        await agent.connect()
    at_once = most = 0

    async def act(agent: ScriptedAgent) -> None:
        nonlocal at_once, most
        _, command = await agent.commanded()
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.1)
        at_once -= 1
        await agent.answer(command.id)

    acting = asyncio.gather(*map(act, agents))
    body = {"vps_ids": [agent.vps_id for agent in agents], "script": "true"}
    async with user.stream("POST", "/commands", json=body) as answer:
        lines = await lines_of(answer)
    await acting
    assert most == 2
    assert [line["event"] for line in lines].count("finished") == 5


async def test_a_client_that_goes_away_stops_nothing_that_began(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripts, "SERVERS_AT_ONCE", 1)
    user = await world.user("member")
    agents = [await world.enrolled(user) for _ in range(2)]
    for agent in agents:
        await agent.connect()
    body = {"vps_ids": [agent.vps_id for agent in agents], "script": "true"}
    async with user.stream("POST", "/commands", json=body) as answer:
        began = json.loads(await anext(answer.aiter_lines()))
    agent = next(agent for agent in agents if agent.vps_id == began["vps_id"])
    _, command = await agent.commanded()
    await agent.answer(command.id, stdout=b"to the end")

    async def kept() -> bool:
        page = (await user.get(f"/vps/{agent.vps_id}/commands")).json()
        return bool(page["items"][0]["status"] == "finished")

    await until(kept)
    assert (await only(user, agent.vps_id))["stdout"] == "to the end"
    (other,) = set(agents) - {agent}
    assert (await user.get(f"/vps/{other.vps_id}/commands")).json()["total"] == 0


async def test_output_a_client_does_not_read_is_left_out_for_it_and_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scripts, "UNREAD_LIMIT", 1_000)
    lines, vps_id = scripts.Lines(), uuid4()
    for _ in range(100):
        lines.put(CommandLine(vps_id=vps_id, event="output", stdout="x" * 500))
    lines.put(CommandLine(vps_id=vps_id, event="finished", truncated=False))
    lines.end()
    read = [json.loads(line) async for line in lines.read()]
    assert len(read) == 3
    assert (read[-1]["event"], read[-1]["truncated"]) == ("finished", True)


async def test_more_output_than_is_kept_is_cut_and_said(world: World) -> None:
    user, agent = await owned(world)
    answer = run(user, agent)
    _, command = await agent.commanded()
    for number in range(5):  # an agent that heeds no bound
        await agent.answer(command.id, part=number, stdout=b"x" * 400_000, **RUNNING)
    await agent.answer(command.id, part=5)
    result = (await answer).json()
    assert len(result["stdout"]) == 1024 * 1024
    assert result["truncated"] is True


async def cancelling(user: httpx.AsyncClient, agent: ScriptedAgent) -> httpx.Response:
    command = (await user.get(f"/vps/{agent.vps_id}/commands")).json()["items"][0]
    return await user.delete(f"/vps/{agent.vps_id}/commands/{command['id']}")


async def test_a_script_that_runs_is_cancelled_and_one_that_ended_is_not(world: World) -> None:
    user, agent = await owned(world)
    answer = run(user, agent)
    _, command = await agent.commanded()
    cancel = asyncio.create_task(cancelling(user, agent))
    _, told = await agent.commanded()
    assert told.cancel.command_id == command.id
    await agent.answer(told.id)
    assert (await cancel).status_code == 204
    await agent.answer(command.id, status=CommandResponse.STATUS_CANCELLED, stdout=b"so far")

    result = (await answer).json()
    assert ((await answer).status_code, result["status"]) == (200, "cancelled")
    assert (result["stdout"], result["exit_code"]) == ("so far", None)
    problem(await cancelling(user, agent), 409, "Over")
    stranger = await world.user("member")
    problem(await stranger.delete(f"/vps/{agent.vps_id}/commands/{result['id']}"), 404, "Not found")
    problem(await user.delete(f"/vps/{agent.vps_id}/commands/{uuid4()}"), 404, "Not found")


@pytest.mark.parametrize(
    "failure", [CommandResponse.FAILURE_NOT_FOUND, CommandResponse.FAILURE_CONFLICT]
)
async def test_a_cancel_that_comes_too_late_is_over(
    world: World, failure: CommandResponse.Failure.ValueType
) -> None:
    user, agent = await owned(world)
    answer = run(user, agent)
    _, command = await agent.commanded()
    cancel = asyncio.create_task(cancelling(user, agent))
    _, told = await agent.commanded()
    await agent.answer(
        told.id,
        status=CommandResponse.STATUS_REFUSED,
        failure=failure,
        reason="nothing of that id runs",
    )
    problem(await cancel, 409, "Over")
    await agent.answer(command.id)
    await answer


async def test_a_script_is_followed_across_a_broken_connection(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "REPEAT_INTERVAL", 0.2)
    user, agent = await owned(world)
    letter = "ä".encode()
    body = {"vps_ids": [agent.vps_id], "script": "true"}
    async with user.stream("POST", "/commands", json=body) as answer:
        reading = asyncio.create_task(lines_of(answer))
        request, command = await agent.commanded()
        await agent.answer(command.id, part=0, stdout=b"one " + letter[:1], **RUNNING)
        await agent.leave()
        await asyncio.sleep(0.5)  # it is asked for in vain meanwhile
        await agent.connect()
        again, _ = await agent.commanded()
        assert again == request
        # Agents answer a repeat with the whole, from its start.
        await agent.answer(command.id, part=0, stdout=b"one ", **RUNNING)
        await agent.answer(command.id, part=1, stdout=letter + b" two", exit_code=4)
        lines = await reading
    texts = [line["stdout"] for line in lines if line["event"] == "output"]
    assert "".join(texts) == "one ä two"
    assert (lines[-1]["event"], lines[-1]["exit_code"]) == ("finished", 4)
    kept = await only(user, agent.vps_id)
    assert (kept["stdout"], kept["truncated"]) == ("one ä two", False)


async def test_a_script_whose_agent_does_not_come_back_is_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "RETURN_PATIENCE", -9.0)  # 10 s of grace are left
    user, agent = await owned(world)
    answer = run(user, agent, timeout_seconds=1)
    _, command = await agent.commanded()
    await agent.answer(command.id, part=0, stdout=b"so far", **RUNNING)
    await agent.leave()
    problem(await answer, 503, "No answer")
    kept = await only(user, agent.vps_id)
    assert (kept["status"], kept["stdout"]) == ("lost", "so far")


async def test_while_the_bus_is_away_nothing_is_begun_and_that_is_said_at_once(
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
    started = time.monotonic()
    answer = await user.post(f"/vps/{vps_id}/commands", json={"script": "true"})
    problem(answer, 503, "Not available now")
    many = await user.post("/commands", json={"vps_ids": [vps_id], "script": "true"})
    assert [json.loads(line)["event"] for line in many.text.splitlines()] == ["failed"]
    assert time.monotonic() - started < 2
    assert (await user.get(f"/vps/{vps_id}/commands")).json()["total"] == 0


async def test_a_time_out_there_is_a_result(world: World) -> None:
    user, agent = await owned(world)
    answer = run(user, agent)
    _, command = await agent.commanded()
    await agent.answer(command.id, status=CommandResponse.STATUS_TIMED_OUT, stderr=b"so far")
    result = (await answer).json()
    assert ((await answer).status_code, result["status"]) == (200, "timed_out")
    assert result["stderr"] == "so far"


async def test_too_many_at_once_are_told_to_come_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripts, "SINGLES", 1)
    monkeypatch.setattr(scripts, "FAN_OUTS", 0)
    user, agent = await owned(world)
    answer = run(user, agent)
    _, command = await agent.commanded()
    problem(await run(user, agent), 429, "Busy")
    many = await user.post("/commands", json={"vps_ids": [agent.vps_id], "script": "true"})
    problem(many, 429, "Busy")
    assert int(many.headers["Retry-After"]) > 0
    await agent.answer(command.id)
    assert (await answer).status_code == 200


async def test_what_is_not_asked_for_any_more_is_called_lost(world: World) -> None:
    user, agent = await owned(world)
    me = (await user.get("/auth/me")).json()
    command_id = uuid4()
    async with database.open_pool(
        world.settings(DatabaseSettings), Health("gateway"), size=1
    ) as pool:

        async def given_up() -> int:
            async with database.transaction(pool) as connection:
                return await store.give_up(connection, reason=orphans.LOST)

        async with database.transaction(pool) as connection:
            await store.insert(
                connection,
                command_id=command_id,
                vps_id=UUID(agent.vps_id),
                user_id=me["id"],
                username=me["username"],
                script="sleep 9",
                request=b"",
                timeout_seconds=9,
                lost_after=timedelta(seconds=-1),
            )
        assert await given_up() == 0
        await world.sql(
            "UPDATE commands SET started_at = now() - interval '25 hours' WHERE id = %(id)s",
            id=command_id,
        )
        assert await given_up() == 1
    kept = await only(user, agent.vps_id)
    assert (kept["status"], kept["reason"]) == ("lost", orphans.LOST)
    assert kept["finished_at"] is not None


async def test_what_is_old_is_deleted_in_steps(own_world: World) -> None:
    settings = own_world.settings(DatabaseSettings)
    await own_world.sql(
        "INSERT INTO audit_entries SELECT gen_random_uuid(), now() - interval '500 days'"
        " - n * interval '1 second', 'anonymous', 'old.thing', '', '', true, '', ''"
        " FROM generate_series(1, 25) n"
    )
    async with database.open_pool(settings, Health("gateway"), size=1) as pool:
        gone = []
        for _ in range(4):
            async with database.transaction(pool) as connection:
                gone.append(
                    await audit_store.delete_old(connection, keep=upkeep.KEEP_AUDIT, limit=10)
                )
    assert gone == [10, 10, 5, 0]


async def test_the_audit_trail_is_the_administrators_and_says_what_was_refused(
    world: World,
) -> None:
    user, agent = await owned(world)
    stranger = await world.user("member")
    me = (await stranger.get("/auth/me")).json()
    problem(await stranger.get("/audit"), 403, "Not allowed")
    problem(await stranger.get(f"/vps/{agent.vps_id}"), 404, "Not found")
    admin = await world.user()

    async def seen() -> list[dict[str, Any]]:
        page = (await admin.get("/audit", params={"actor": f"user:{me['id']}"})).json()
        assert page["total"] == len(page["items"])
        return list(page["items"])

    async def all_seen() -> bool:
        return len(await seen()) == 3

    await until(all_seen)
    newest, before, first = await seen()
    assert (first["action"], first["allowed"]) == ("session.login", True)
    assert (before["action"], before["allowed"]) == ("audit.read", False)
    assert (newest["action"], newest["object"]) == ("vps.read", f"vps:{agent.vps_id}")
    assert {entry["username"] for entry in (newest, before, first)} == {me["username"]}
    (added,) = await audited(world, agent.vps_id, "vps.create")
    assert added["actor"] == f"user:{(await user.get('/auth/me')).json()['id']}"


async def test_a_command_names_who_asked_and_expires(world: World) -> None:
    user, agent = await owned(world)
    answer = run(user, agent)
    request, command = await agent.commanded()
    assert Command.FromString(request.command) == command
    assert command.actor == (await user.get("/auth/me")).json()["username"]
    assert 0 < command.expires_at_unix_ms - command.not_before_unix_ms <= 60_000
    await agent.answer(command.id)
    await answer
