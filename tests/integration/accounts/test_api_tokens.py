"""API tokens act for their user, within their scopes and servers."""

import asyncio
from contextlib import suppress
from typing import Any
from uuid import uuid4

import httpx
import pytest
import websockets

from services.gateway.api.errors import RequestError
from services.gateway.api.limits import REQUESTS_OF_TOKEN, TokenUses
from tests.fixtures.problems import assert_problem
from tests.fixtures.world import World


async def created(user: httpx.AsyncClient, *scopes: str, **fields: Any) -> dict[str, Any]:
    body = {"name": "ci", "scopes": list(scopes), "expires_in_days": 1} | fields
    answer = await user.post("/tokens", json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def program(world: World, token: str) -> httpx.AsyncClient:
    client = world.anonymous()
    client.headers["Authorization"] = f"Bearer {token}"
    return client


async def server(user: httpx.AsyncClient, *tags: str) -> str:
    vps_id = str((await user.post("/vps", json={"name": "box"})).json()["id"])
    if tags:
        await user.patch(f"/vps/{vps_id}", json={"tags": list(tags)})
    return vps_id


async def test_a_token_does_what_its_scopes_say(world: World) -> None:
    user = await world.user("member")
    vps_id = await server(user)
    reader = program(world, (await created(user, "fleet:read"))["token"])
    assert (await reader.get("/vps")).json()["total"] == 1
    assert (await reader.get(f"/vps/{vps_id}")).status_code == 200
    assert (await reader.get("/auth/me")).status_code == 200
    for answer, status in (
        (await reader.get(f"/vps/{vps_id}/metrics/historical"), 404),
        (await reader.patch(f"/vps/{vps_id}", json={"name": "n"}), 404),
        (await reader.post("/vps", json={"name": "n"}), 403),
        (await reader.post("/runs", json={"server_ids": [vps_id], "script": "true"}), 404),
        (await reader.get("/runs"), 403),
        (await reader.get(f"/vps/{vps_id}/files", params={"path": "/"}), 404),
        (await reader.get("/audit"), 403),
    ):
        assert_problem(answer, status)
    runner = program(world, (await created(user, "runs:write"))["token"])
    run = await runner.post("/runs", json={"server_ids": [vps_id], "script": "true"})
    assert run.status_code == 201
    assert_problem(await runner.get("/vps"), 403)
    metrics = program(world, (await created(user, "metrics:read"))["token"])
    assert (await metrics.get(f"/vps/{vps_id}/metrics/historical")).status_code == 200
    assert_problem(await metrics.get(f"/vps/{vps_id}"), 404)


async def test_a_token_changes_no_account(world: World) -> None:
    user = await world.user("admin")
    scopes = ["fleet:read", "fleet:write", "audit:read", "runs:write", "files:write"]
    made = await created(user, *scopes)
    client = program(world, made["token"])
    for answer in (
        await client.post("/tokens", json={"name": "x", "scopes": ["fleet:read"]}),
        await client.delete(f"/tokens/{made['id']}"),
        await client.put("/auth/password", json={"current": "x", "new": "x" * 12}),
        await client.delete("/sessions"),
        await client.get("/users"),
        await client.post("/organisations", json={"name": "x"}),
        await client.post("/ws-tickets", json={"resource": "fleet/realtime"}),
    ):
        assert_problem(answer, 403)


@pytest.mark.parametrize("limit", ["server_ids", "tags", "both"])
async def test_a_token_is_limited_to_servers(world: World, limit: str) -> None:
    user = await world.user("member")
    first, second, third = await server(user), await server(user, "web"), await server(user)
    fields: dict[str, Any] = {}
    allowed = set()
    if limit != "tags":
        fields["server_ids"] = [first]
        allowed.add(first)
    if limit != "server_ids":
        fields["tags"] = ["web"]
        allowed.add(second)
    made = await created(user, "fleet:read", "fleet:write", "runs:write", **fields)
    client = program(world, made["token"])
    assert {one["id"] for one in (await client.get("/vps")).json()["items"]} == allowed
    for vps_id in (first, second, third):
        status = 200 if vps_id in allowed else 404
        assert (await client.get(f"/vps/{vps_id}")).status_code == status
        run = await client.post("/runs", json={"server_ids": [vps_id], "script": "true"})
        assert run.status_code == (201 if vps_id in allowed else 404)
    assert_problem(await client.post("/vps", json={"name": "more"}), 403)
    listed = (await client.get("/runs")).json()["items"]
    assert {one["servers"][0]["vps_id"] for one in listed} == allowed


@pytest.mark.parametrize("change", ["deleted", "expired", "disabled", "demoted"])
async def test_a_token_ends_with_its_right_and_what_is_open_closes(
    world: World, change: str
) -> None:
    owner = await world.user("member")
    vps_id = await server(owner)
    user = await world.colleague(owner, "viewer")
    made = await created(user, "fleet:read")
    client = program(world, made["token"])
    path = f"{world.ws}/vps/{vps_id}/metrics/realtime"
    bearer = {"Authorization": f"Bearer {made['token']}"}
    mine = (await user.get("/auth/me")).json()["id"]
    async with websockets.connect(path, additional_headers=bearer) as socket:
        match change:
            case "deleted":
                assert (await user.delete(f"/tokens/{made['id']}")).status_code == 204
            case "expired":
                await world.sql(
                    "UPDATE api_tokens SET expires_at = now() WHERE id = %(id)s", id=made["id"]
                )
            case "disabled":
                await world.sql("UPDATE users SET enabled = false WHERE id = %(id)s", id=mine)
            case "demoted":
                await world.sql("DELETE FROM memberships WHERE user_id = %(id)s", id=mine)
        async with asyncio.timeout(5):
            with suppress(websockets.ConnectionClosed):
                async for _ in socket:
                    pass
        assert socket.close_code == 4401
    answer = await client.get(f"/vps/{vps_id}")
    assert_problem(answer, 404 if change == "demoted" else 401)


async def test_tokens_are_listed_without_their_secret(world: World) -> None:
    user, other = [await world.user("member") for _ in range(2)]
    made = await created(user, "fleet:read", "fleet:read")
    assert made["scopes"] == ["fleet:read"]
    await program(world, made["token"]).get("/vps")
    listed = await user.get("/tokens")
    assert made["token"] not in listed.text
    assert listed.json()["items"][0]["used_at"] is not None
    assert (await other.get("/tokens")).json()["items"] == []
    assert_problem(await other.delete(f"/tokens/{made['id']}"), 404)
    stored = await world.sql("SELECT t::text FROM api_tokens t WHERE id = %(id)s", id=made["id"])
    assert made["token"] not in str(stored)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"scopes": []}, "scopes"),
        ({"scopes": ["everything"]}, "scopes[0]"),
        ({"server_ids": []}, "server_ids"),
        ({"tags": []}, "tags"),
        ({"expires_in_days": 0}, "expires_in_days"),
        ({"expires_in_days": 100_000}, "expires_in_days"),
        ({"name": ""}, "name"),
        ({"name": "a\u202eb"}, "name"),
    ],
)
async def test_a_wrong_field_of_a_token_is_named(
    world: World, change: dict[str, Any], field: str
) -> None:
    user = await world.user("member")
    body = {"name": "ci", "scopes": ["fleet:read"]} | change
    problem = assert_problem(await user.post("/tokens", json=body), 422)
    assert [error["field"] for error in problem["errors"]] == [field]


async def test_a_token_is_not_for_servers_of_others(world: World) -> None:
    user, other = [await world.user("member") for _ in range(2)]
    body = {"name": "ci", "scopes": ["fleet:read"], "server_ids": [await server(other)]}
    problem = assert_problem(await user.post("/tokens", json=body), 422)
    assert [error["field"] for error in problem["errors"]] == ["server_ids[0]"]


@pytest.mark.parametrize("token", ["flt_", "flt_wrong", "flt_" + "x" * 5000])
async def test_an_invalid_token_is_refused(world: World, token: str) -> None:
    assert_problem(await program(world, token).get("/vps"), 401)


async def test_the_requests_of_a_token_are_limited(world: World) -> None:
    uses, token_id = TokenUses(), uuid4()
    for _ in range(REQUESTS_OF_TOKEN):
        uses.count(token_id)
    uses.count(uuid4())
    with pytest.raises(RequestError):
        uses.count(token_id)
