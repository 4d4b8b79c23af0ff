"""What is refused on a server leaves an entry in the audit trail, and no flood of them."""

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio

from flotilla.v1.command_pb2 import CommandResponse
from services.kit import audit
from tests.fixtures.agent_script import ScriptedAgent
from tests.fixtures.terminals import refused
from tests.fixtures.waiting import until
from tests.fixtures.world import World

CONTAINER = "a" * 12
REFUSED: dict[str, Any] = {"status": CommandResponse.STATUS_REFUSED}


@dataclass
class Account:
    """Somebody with a server, and what the audit trail has of them."""

    world: World
    user: httpx.AsyncClient
    id: str
    agent: ScriptedAgent

    @property
    def vps(self) -> str:
        return f"/vps/{self.agent.vps_id}"

    async def entries(self) -> list[dict[str, Any]]:
        """The oldest first, without the log-in and the server's making."""
        rows = await self.world.sql(
            "SELECT to_jsonb(a) FROM audit_entries a WHERE actor = %(actor)s"
            " AND action NOT IN ('session.login', 'vps.create', 'vps.enrol') ORDER BY time",
            actor=f"user:{self.id}",
        )
        return [row for (row,) in rows]

    async def refused(self, action: str, *, detail: str = "", reason: str = "") -> dict[str, Any]:
        """The newest refusal of that action, once there is one with these words."""

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


async def test_what_an_offline_server_was_asked_is_an_entry(account: Account) -> None:
    listed = await account.user.get(f"{account.vps}/files", params={"path": "/srv"})
    assert listed.status_code == 409
    await account.refused("file.list", detail="/srv", reason="offline")
    started = await account.user.post(f"{account.vps}/docker/containers/{CONTAINER}/start")
    assert started.status_code == 409
    await account.refused("docker.start", detail=CONTAINER, reason="offline")


async def test_a_flood_of_nonsense_is_not_stored(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "REFUSALS_STORED", 3)
    for _ in range(20):
        await account.user.get(f"{account.vps}/docker/containers/web")
    await account.refused("docker.read")
    # They may have begun at the end of a minute.
    assert len(await account.entries()) <= 6


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
