"""Limits per user: requests beyond a limit are refused, and other users are not affected."""

from typing import Any

import httpx
import pytest

from services.gateway.api.problem_types import ProblemType
from tests.fixtures import runs
from tests.fixtures.terminal_agent import TerminalAgent
from tests.fixtures.terminals import refused, screen, shell_url, terminal_agent
from tests.fixtures.waiting import until
from tests.fixtures.world import PASSWORD, World


async def id_of(user: httpx.AsyncClient) -> str:
    return str((await user.get("/auth/me")).json()["id"])


def is_refused(answer: httpx.Response, status: int, type_: ProblemType, words: str) -> None:
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    assert body["type"] == type_
    assert words in body["detail"]


async def test_unfinished_runs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.runs.routes.RUNS_OF_USER", 2)
    user, other = await world.user("member"), await world.user("member")
    agent = await world.enrolled(user)
    for _ in range(2):
        await runs.start(user, agent)
    answer = await user.post("/runs", json={"script": "true", "server_ids": [agent.vps_id]})
    is_refused(answer, 429, ProblemType.BUSY, "2 runs that have not ended")
    assert answer.headers["Retry-After"]
    await runs.start(other, await world.enrolled(other))


async def test_open_terminals(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.terminals.socket.TERMINALS_OF_USER", 1)
    user = await world.user("member")
    agent: TerminalAgent = await terminal_agent(world, user)
    await agent.online()

    async def known() -> bool:
        server = (await user.get(f"/vps/{agent.vps_id}")).json()
        return bool(server["powers"] and server["powers"]["shell"])

    await until(known)
    async with screen(world.ws, user, agent.vps_id) as terminal:
        await terminal.frame(type="ready")
        status, problem = await refused(await shell_url(world.ws, user, agent.vps_id))
        assert (status, problem["type"]) == (429, ProblemType.BUSY)
        await terminal.say(type="close")
    await agent.close()


async def test_unused_tickets(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.accounts.tickets.TICKETS_OF_USER", 2)
    user, other = await world.user("member"), await world.user("member")
    wanted = {"resource": "fleet/realtime"}
    for _ in range(2):
        assert (await user.post("/ws-tickets", json=wanted)).status_code == 201
    is_refused(
        await user.post("/ws-tickets", json=wanted), 429, ProblemType.BUSY, "2 unused tickets"
    )
    assert (await other.post("/ws-tickets", json=wanted)).status_code == 201


async def test_servers(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.servers.routes.SERVERS_OF_ORGANISATION", 1)
    user, other = await world.user("member"), await world.user("member")
    assert (await user.post("/vps", json={"name": "a"})).status_code == 201
    is_refused(
        await user.post("/vps", json={"name": "b"}), 409, ProblemType.LIMIT_REACHED, "1 servers"
    )
    assert (await other.post("/vps", json={"name": "a"})).status_code == 201


async def test_a_further_log_in_ends_the_oldest_session(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.accounts.login.SESSIONS_OF_USER", 2)
    user = await world.user("member")
    name = (await user.get("/auth/me")).json()["username"]
    clients = [user]
    for _ in range(2):
        client = world.anonymous()
        answer = await client.post("/auth/login", json={"username": name, "password": PASSWORD})
        client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        clients.append(client)
    found = [(await client.get("/auth/me")).status_code for client in clients]
    assert found == [401, 200, 200]


@pytest.mark.parametrize(
    "name",
    ["evil\u202etxt", "a\u200bb", "a\u2028b", "a\x85b", "\ufeffa", "a\nb", "a\x00b", " a", ""],
)
async def test_names_without_hidden_characters(world: World, name: str) -> None:
    user = await world.user("member")
    answer = await user.post("/vps", json={"name": name})
    assert answer.status_code in {400, 422}, answer.text
    made = (await user.post("/vps", json={"name": "a"})).json()["id"]
    answer = await user.patch(f"/vps/{made}", json={"tags": [f"x{name}y"]})
    assert (answer.status_code == 200) is (name == ""), answer.text


@pytest.mark.parametrize("name", ["数据 1", "família 👨‍👩‍👧", "می‌خواهم", "é"])
async def test_names_in_any_script(world: World, name: str) -> None:
    user = await world.user("member")
    assert (await user.post("/vps", json={"name": name})).status_code == 201
