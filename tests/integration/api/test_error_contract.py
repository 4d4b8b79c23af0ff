"""The types of problems, and the fields that they name, as a client of the real gateway sees them."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from litestar.handlers import WebsocketRouteHandler
from websockets.typing import Origin

from flotilla.v1.command_pb2 import CommandResponse
from services.gateway.api.problem_types import KINDS, ProblemType
from services.gateway.api.query_parameters import known_parameters
from services.gateway.app import create_app
from tests.fixtures import runs
from tests.fixtures.scripted_agent import ScriptedAgent
from tests.fixtures.terminals import refused
from tests.fixtures.waiting import until
from tests.fixtures.world import World

REFUSED = CommandResponse.STATUS_REFUSED


def problem(answer: httpx.Response, kind: ProblemType) -> dict[str, Any]:
    assert answer.headers["Content-Type"].startswith("application/problem+json"), answer.text
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["type"], body["title"], body["status"]) == (
        KINDS[kind].status,
        kind,
        KINDS[kind].title,
        KINDS[kind].status,
    ), body
    assert re.fullmatch(r"[A-Z`].*\.", body["detail"], re.DOTALL), body
    return body


def named(answer: httpx.Response) -> set[str]:
    return {one["field"] for one in problem(answer, ProblemType.VALIDATION)["errors"]}


@asynccontextmanager
async def ticketed(world: World, user: httpx.AsyncClient, resource: str) -> AsyncIterator[str]:
    answer = await user.post("/ws-tickets", json={"resource": resource})
    yield f"{world.ws}/{resource}?ticket={answer.json()['ticket']}"


@pytest_asyncio.fixture(loop_scope="session")
async def owner(world: World) -> httpx.AsyncClient:
    return await world.user("member")


@pytest_asyncio.fixture(loop_scope="session")
async def agent(world: World, owner: httpx.AsyncClient) -> ScriptedAgent:
    return await world.enrolled(owner)


@pytest.mark.parametrize("kind", list(ProblemType))
async def test_the_address_of_a_type_tells_what_it_means(world: World, kind: ProblemType) -> None:
    answer = await world.anonymous().get(f"{world.http}{kind}")
    known = KINDS[kind]
    assert answer.json() == {
        "type": kind,
        "title": known.title,
        "status": known.status,
        "meaning": known.meaning,
        "action": known.action,
    }


async def test_an_unknown_type_has_no_page(world: World) -> None:
    problem(await world.anonymous().get(f"{world.http}/problems/none"), ProblemType.NOT_FOUND)


async def test_every_missing_query_parameter_is_named(agent: ScriptedAgent, owner: Any) -> None:
    assert named(await owner.get(f"/vps/{agent.vps_id}/files/upload")) == {"path", "upload_id"}


async def test_every_wrong_query_parameter_is_named(owner: httpx.AsyncClient) -> None:
    answer = await owner.get("/vps", params={"limit": 0, "offset": "x"})
    assert named(answer) == {"limit", "offset"}


async def test_unknown_query_parameters_are_named_beside_the_known_and_the_wrong(
    owner: httpx.AsyncClient,
) -> None:
    answer = await owner.get("/vps", params={"limit": 0, "colour": "red", "Offset": 1})
    assert named(answer) == {"limit", "colour", "Offset"}
    detail = answer.json()["detail"]
    assert "Unknown query parameters: `colour`, `Offset`." in detail
    assert "`offset`" in detail.partition("This address accepts: ")[2]
    assert "red" not in detail


async def test_wrong_parameters_of_a_dependency_are_named_too(owner: httpx.AsyncClient) -> None:
    vps_id = (await owner.post("/vps", json={"name": "box"})).json()["id"]
    query = {"start": "soon", "colour": "red"}
    answer = await owner.get(f"/vps/{vps_id}/disks/historical", params=query)
    assert named(answer) == {"start", "colour"}


async def test_an_address_without_query_parameters_takes_none(owner: httpx.AsyncClient) -> None:
    answer = await owner.get("/auth/me", params={"token": "secret"})
    assert named(answer) == {"token"}
    assert "This address accepts none." in answer.json()["detail"]


async def test_a_ticket_is_a_parameter_of_downloads_alone(
    world: World, agent: ScriptedAgent, owner: httpx.AsyncClient
) -> None:
    files = f"/vps/{agent.vps_id}/files"
    answer = await owner.get(f"{files}/stat", params={"path": "/a", "ticket": "x"})
    assert named(answer) == {"ticket"}
    query = {"path": "/a", "ticket": "x"}
    strange = await world.anonymous().get(f"{files}/download", params=query)
    problem(strange, ProblemType.INVALID_TICKET)


async def test_a_stranger_is_told_to_log_in_before_anything_else(world: World) -> None:
    answer = await world.anonymous().get("/vps", params={"limit": 0, "colour": "red"})
    problem(answer, ProblemType.UNAUTHENTICATED)
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": 1}, "name"),
        ({"name": "box", "colour": "red"}, "colour"),
        ([], "body"),
    ],
)
async def test_a_wrong_field_of_a_body_is_named(
    owner: httpx.AsyncClient, body: Any, field: str
) -> None:
    assert named(await owner.post("/vps", json=body)) == {field}


async def test_a_missing_body_is_named(owner: httpx.AsyncClient) -> None:
    assert named(await owner.post("/vps")) == {"body"}


async def test_a_rule_between_fields_names_them_all(
    agent: ScriptedAgent, owner: httpx.AsyncClient
) -> None:
    times = {"start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"}
    answer = await owner.get(f"/vps/{agent.vps_id}/metrics/historical", params=times)
    assert named(answer) == {"start", "end"}


async def test_a_body_that_is_no_json_is_malformed(owner: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/json"}
    for body in (b"{", b"[" * 100_000):
        answer = await owner.post("/vps", content=body, headers=headers)
        problem(answer, ProblemType.MALFORMED_REQUEST)
    large = b'{"name": "' + b"a" * 1_100_000 + b'"}'
    answer = await owner.post("/vps", content=large, headers=headers)
    problem(answer, ProblemType.PAYLOAD_TOO_LARGE)


async def test_who_may_not_is_told_by_type(
    world: World, agent: ScriptedAgent, owner: httpx.AsyncClient
) -> None:
    problem(await owner.get("/audit"), ProblemType.FORBIDDEN)
    problem(await owner.get(f"/vps/{uuid4()}"), ProblemType.NOT_FOUND)
    stranger = await world.user("member")
    problem(await stranger.get(f"/vps/{agent.vps_id}"), ProblemType.NOT_FOUND)
    answer = await owner.put("/vps")
    problem(answer, ProblemType.METHOD_NOT_ALLOWED)
    assert {"GET", "POST"} <= set(answer.headers["Allow"].split(", "))
    wrong = {"username": "nobody", "password": "x" * 12}
    answer = await world.anonymous().post("/auth/login", json=wrong)
    problem(answer, ProblemType.WRONG_CREDENTIALS)
    problem(await world.anonymous().post("/auth/refresh"), ProblemType.UNAUTHENTICATED)


async def test_too_many_attempts_are_told_by_type(world: World) -> None:
    wrong = {"username": f"nobody-{uuid4()}", "password": "x" * 12}
    client = world.anonymous()
    headers = {"X-Forwarded-For": "198.51.100.77"}
    answers = [await client.post("/auth/login", json=wrong, headers=headers) for _ in range(12)]
    answer = answers[-1]
    problem(answer, ProblemType.TOO_MANY_ATTEMPTS)
    assert int(answer.headers["Retry-After"]) > 0


async def test_an_offline_server_is_told_by_type(
    agent: ScriptedAgent, owner: httpx.AsyncClient
) -> None:
    files = f"/vps/{agent.vps_id}/files"
    problem(await owner.get(files, params={"path": "/srv"}), ProblemType.AGENT_OFFLINE)
    run = await runs.start(owner, agent)
    assert (await runs.result(owner, run))["problem"] == ProblemType.AGENT_OFFLINE


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        ("FORBIDDEN", ProblemType.AGENT_FORBIDDEN),
        ("NOT_FOUND", ProblemType.AGENT_NOT_FOUND),
        ("CONFLICT", ProblemType.AGENT_CONFLICT),
        ("INVALID", ProblemType.AGENT_INVALID),
        ("TOO_LARGE", ProblemType.AGENT_TOO_LARGE),
        ("BUSY", ProblemType.AGENT_BUSY),
        ("UNAVAILABLE", ProblemType.AGENT_UNAVAILABLE),
    ],
)
async def test_a_failure_means_the_same_in_an_answer_and_in_a_stream(
    agent: ScriptedAgent, owner: httpx.AsyncClient, failure: str, kind: ProblemType
) -> None:
    await agent.connect()
    told: dict[str, Any] = {
        "status": REFUSED,
        "failure": CommandResponse.Failure.Value(f"FAILURE_{failure}"),
        "reason": "It is so.",
    }
    one = asyncio.create_task(owner.get(f"/vps/{agent.vps_id}/files", params={"path": "/srv"}))
    await agent.answer((await agent.commanded())[1].id, **told)
    assert problem(await one, kind)["detail"] == "It is so."
    run = await runs.start(owner, agent)
    await agent.answer((await agent.commanded())[1].id, **told)
    (*_, line, _) = await runs.lines(owner, run)
    assert (line["status"], line["problem"], line["reason"]) == ("failed", kind, "It is so.")


def sockets() -> dict[str, WebsocketRouteHandler]:
    return {
        route.path: handler
        for route in create_app(None).routes
        if isinstance(handler := getattr(route, "route_handler", None), WebsocketRouteHandler)
    }


def test_every_socket_knows_its_ticket() -> None:
    found = sockets()
    assert len(found) >= 4
    for path, handler in found.items():
        assert known_parameters(handler, frozenset({"vps_id", "cid"}))["ticket"] is False, path


@pytest.mark.parametrize(
    "resource",
    [
        "fleet/realtime",
        "vps/<vps_id>/metrics/realtime",
        "vps/<vps_id>/shell",
        f"vps/<vps_id>/docker/containers/{'a' * 64}/logs/follow",
    ],
)
async def test_a_socket_refuses_an_unknown_query_parameter_before_the_upgrade(
    world: World, agent: ScriptedAgent, owner: httpx.AsyncClient, resource: str
) -> None:
    async with ticketed(world, owner, resource.replace("<vps_id>", agent.vps_id)) as url:
        status, body = await refused(f"{url}&colour=red")
    assert (status, body["type"]) == (422, ProblemType.VALIDATION)
    assert [one["field"] for one in body["errors"]] == ["colour"]
    assert "`ticket`" in body["detail"]


async def test_a_socket_is_refused_with_the_types_of_requests(
    world: World, agent: ScriptedAgent, owner: httpx.AsyncClient
) -> None:
    shell = f"vps/{agent.vps_id}/shell"
    status, body = await refused(f"{world.ws}/{shell}")
    assert (status, body["type"]) == (401, ProblemType.INVALID_TICKET)
    async with ticketed(world, owner, shell) as url:
        status, body = await refused(url, origin=Origin("https://evil.example"))
    assert (status, body["type"]) == (403, ProblemType.FORBIDDEN)
    async with ticketed(world, owner, shell) as url:
        status, body = await refused(f"{url}&columns=0")
    assert (status, body["type"]) == (422, ProblemType.VALIDATION)
    assert {one["field"] for one in body["errors"]} == {"columns", "rows"}
    follow = f"vps/{agent.vps_id}/docker/containers/{'a' * 64}/logs/follow"
    async with ticketed(world, owner, follow) as url:
        status, body = await refused(url)
    assert (status, body["type"]) == (409, ProblemType.AGENT_OFFLINE)


async def test_an_unknown_query_parameter_of_a_file_is_in_the_audit_trail(
    world: World, agent: ScriptedAgent, owner: httpx.AsyncClient
) -> None:
    query = {"path": "/srv/secret", "colour": "red"}
    await owner.get(f"/vps/{agent.vps_id}/files", params=query)
    admin = await world.user()

    async def look() -> list[dict[str, Any]]:
        page = (await admin.get("/audit", params={"object": f"vps:{agent.vps_id}"})).json()
        return [entry for entry in page["items"] if "colour" in entry["reason"]]

    async def noted() -> bool:
        return bool(await look())

    await until(noted, otherwise="it was not noted")
    assert [(entry["action"], entry["allowed"]) for entry in await look()] == [
        ("files.read", False)
    ]
