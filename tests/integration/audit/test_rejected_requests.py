"""Refused requests leave an entry in the audit trail, but no flood of entries."""

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio

from flotilla.v1.command_pb2 import CommandResponse
from services.kit.bus import audit
from tests.fixtures.scripted_agent import ScriptedAgent
from tests.fixtures.terminals import refused
from tests.fixtures.waiting import until
from tests.fixtures.world import World

CONTAINER = "a" * 12
REFUSED: dict[str, Any] = {"status": CommandResponse.STATUS_REFUSED}


@dataclass
class Account:
    """A user with a server, and the user's entries in the audit log."""

    world: World
    user: httpx.AsyncClient
    id: str
    agent: ScriptedAgent

    @property
    def vps(self) -> str:
        return f"/vps/{self.agent.vps_id}"

    async def entries(self) -> list[dict[str, Any]]:
        """Return the entries, oldest first, without the log-in and the creation of the server."""
        rows = await self.world.sql(
            "SELECT to_jsonb(a) FROM audit_entries a WHERE actor = %(actor)s"
            " AND NOT (allowed AND action IN ('session.login', 'vps.create', 'vps.enrol'))"
            " ORDER BY time",
            actor=f"user:{self.id}",
        )
        return [row for (row,) in rows]

    async def refused(self, action: str, *, detail: str = "", reason: str = "") -> dict[str, Any]:
        """Wait for a refusal of this action with these texts; return the newest one."""

        async def look() -> Any:
            for entry in reversed(await self.entries()):
                is_it = (entry["action"], entry["allowed"]) == (action, False)
                if is_it and detail in entry["detail"] and reason in entry["reason"]:
                    return entry
            return None

        found: dict[str, Any] = await until(look, otherwise=f"no refusal of {action} {detail}")
        return found


@pytest_asyncio.fixture(loop_scope="session")
async def account(world: World) -> Account:
    user = await world.user("member")
    agent = await world.enrolled(user)
    return Account(world, user, (await user.get("/auth/me")).json()["id"], agent)


async def test_a_poll_that_fails_is_no_entry_and_one_that_is_forbidden_is(
    account: Account,
) -> None:
    agent = account.agent
    await agent.connect()
    for failure, status in (
        (CommandResponse.FAILURE_UNAVAILABLE, 503),
        (CommandResponse.FAILURE_NOT_FOUND, 404),
        (CommandResponse.FAILURE_FORBIDDEN, 403),
    ):
        url = f"{account.vps}/docker/containers/{CONTAINER}"
        answer = asyncio.create_task(account.user.get(url))
        _, command = await agent.commanded()
        await agent.answer(command.id, failure=failure, reason="so it is", **REFUSED)
        assert (await answer).status_code == status
    await account.refused("docker.inspect", detail=CONTAINER, reason="so it is")
    assert [entry["action"] for entry in await account.entries()] == ["docker.inspect"]


async def test_a_path_that_is_none_is_an_entry(account: Account) -> None:
    path = "../../etc/passwd"
    answer = await account.user.get(f"{account.vps}/files", params={"path": path})
    assert answer.status_code == 422
    entry = await account.refused("files.read", detail=path)
    assert entry["object"] == f"vps:{account.agent.vps_id}"
    assert "path" in entry["reason"]
    moved = await account.user.post(
        f"{account.vps}/files/rename", json={"path": "/a", "destination": "b", "secret": "canary"}
    )
    assert moved.status_code == 422
    entry = await account.refused("files.write", detail="/files/rename")
    assert "canary" not in str(entry)


async def test_a_download_tickets_secret_is_in_no_entry(account: Account) -> None:
    made = await account.user.post(f"{account.vps}/files/download-tickets", json={"path": "/a"})
    ticket = made.json()["ticket"]
    url = f"{account.vps}/files/download"
    answer = await account.world.anonymous().get(url, params={"path": "/a", "ticket": "x" * 101})
    assert answer.status_code == 401
    await account.user.get(url, params={"path": "../a", "ticket": ticket})
    assert ticket not in str(await account.refused("files.read", detail="../a"))


@pytest.mark.parametrize(
    ("cid", "action"),
    [
        ("x%3fforce=1", "docker.read"),
        ("web", "docker.read"),
        ("a" * 65, "docker.read"),
        ("..%2f..%2fimages%2fjson", "docker.request"),
        ("a" * 12 + "%2fstart", "docker.request"),
    ],
)
async def test_a_containers_id_that_is_a_path_is_an_entry(
    account: Account, cid: str, action: str
) -> None:
    answer = await account.user.get(f"{account.vps}/docker/containers/{cid}")
    assert answer.status_code in {404, 405, 422}
    entry = await account.refused(action, detail="/docker/containers/")
    assert entry["object"] == f"vps:{account.agent.vps_id}"


async def test_a_log_that_is_a_path_is_an_entry(account: Account) -> None:
    resource = f"vps/{account.agent.vps_id}/docker/containers/../../x/logs/follow"
    answer = await account.user.post("/ws-tickets", json={"resource": resource})
    assert answer.status_code == 422
    await account.refused("ticket.create", detail=resource)

    resource = f"vps/{account.agent.vps_id}/docker/containers/{CONTAINER}/logs/follow"
    ticket = (await account.user.post("/ws-tickets", json={"resource": resource})).json()["ticket"]
    url = f"{account.world.ws}/{resource}?ticket={ticket}&tail=-1"
    assert (await refused(url))[0] == 422
    await account.refused("docker.follow", detail=CONTAINER, reason="`tail`")


@pytest.mark.parametrize("session", ["x", "..%2f..%2fx", "0" * 31, "%00" * 32])
async def test_a_sessions_id_that_is_none_is_an_entry(account: Account, session: str) -> None:
    for method, path, action in (
        ("DELETE", f"/shell-sessions/{session}", "shell.open"),
        ("GET", f"/shell-sessions/{session}/recording", "shell.read"),
    ):
        answer = await account.user.request(method, path)
        assert answer.status_code in {404, 405}
        await account.refused("shell.request" if "%2f" in session else action)


@pytest.mark.parametrize(
    ("request_line", "body", "status", "action", "reason"),
    [
        ("POST /runs", {"script": "true"}, 422, "command.run", "server"),
        ("POST /runs", {"script": "x" * 140_000, "tags": ["a"]}, 422, "command.run", "script"),
        ("POST /runs", {"script": "true", "tags": ["no-such"]}, 422, "command.run", "no-such"),
        ("POST /vps", {"name": ""}, 422, "vps.create", "422"),
        ("PATCH {vps}", {"name": 7}, 422, "vps.update", "name"),
        ("PUT {vps}/traffic/settings", {"reset_day": 99}, 422, "traffic.update", "reset_day"),
        ("DELETE /shell-sessions/" + "0" * 32, None, 404, "shell.open", "does not exist"),
        ("GET /shell-sessions/" + "0" * 32 + "/recording", None, 404, "shell.read", "exist"),
        ("PUT {vps}/files", None, 405, "files.request", "method"),
    ],
)
async def test_a_refused_change_is_one_entry(
    account: Account,
    *,
    request_line: str,
    body: dict[str, Any] | None,
    status: int,
    action: str,
    reason: str,
) -> None:
    method, path = request_line.format(vps=account.vps).split()
    answer = await account.user.request(method, path, json=body)
    assert answer.status_code == status, answer.text
    await account.refused(action, reason=reason)
    assert len(await account.entries()) == 1


async def test_a_change_of_something_that_ended_is_an_entry(account: Account) -> None:
    await account.agent.connect()
    started = await account.user.post(
        "/runs", json={"script": "true", "server_ids": [account.agent.vps_id]}
    )
    _, command = await account.agent.commanded()
    await account.agent.answer(command.id, exit_code=0)
    run = f"/runs/{started.json()['id']}"

    async def ended() -> bool:
        return bool((await account.user.get(run)).json()["status"] == "finished")

    await until(ended)
    assert (await account.user.delete(run)).status_code == 409
    await account.refused("command.run", detail=run, reason="already ended")


async def test_a_run_cancelled_before_it_began_has_its_start_in_the_trail(
    account: Account,
) -> None:
    started = await account.user.post(
        "/runs", json={"script": "true", "server_ids": [account.agent.vps_id]}
    )
    run_id = started.json()["id"]
    await account.user.delete(f"/runs/{run_id}")

    async def entry() -> Any:
        found = [one for one in await account.entries() if one["action"] == "command.start"]
        return found[0] if found else None

    found = await until(entry, otherwise="no entry of the start")
    assert (found["object"], found["allowed"]) == (f"run:{run_id}", True)


async def test_what_an_offline_server_was_asked_is_an_entry(account: Account) -> None:
    listed = await account.user.get(f"{account.vps}/files", params={"path": "/srv"})
    assert listed.status_code == 409
    await account.refused("file.list", detail="/srv", reason="offline")
    started = await account.user.post(f"{account.vps}/docker/containers/{CONTAINER}/start")
    assert started.status_code == 409
    await account.refused("docker.start", detail=CONTAINER, reason="offline")


async def test_a_flood_of_nonsense_is_not_stored(account: Account) -> None:
    for _ in range(3 * audit.REFUSALS_STORED):
        await account.user.get(f"{account.vps}/docker/containers/web")
    await account.refused("docker.read")
    # The limit is per minute, and a minute may have ended in between.
    assert len(await account.entries()) <= 2 * audit.REFUSALS_STORED


async def test_what_a_stranger_asks_at_no_address_is_no_entry(account: Account) -> None:
    stranger = account.world.anonymous()
    url = f"{account.vps}/docker/containers/..%2f..%2fx"
    assert (await stranger.get(url)).status_code == 404
    stranger.headers["Authorization"] = "Bearer forged"
    assert (await stranger.get(url)).status_code == 404
    await account.user.get(url)
    await account.refused("docker.request")
    found = await account.world.sql(
        "SELECT actor FROM audit_entries WHERE object = %(o)s AND action = 'docker.request'",
        o=f"vps:{account.agent.vps_id}",
    )
    assert found == [(f"user:{account.id}",)]
