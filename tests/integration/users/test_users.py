"""Platform administrators manage users; nobody else does."""

import secrets
from typing import Any

import httpx
import pytest

from services.gateway.api.problem_types import ProblemType
from tests.fixtures.problems import assert_problem
from tests.fixtures.world import PASSWORD, World


def new_name() -> str:
    return f"u-{secrets.token_hex(4)}"


async def created(admin: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    body = {"username": new_name(), "password": PASSWORD} | fields
    answer = await admin.post("/users", json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def logged_in(world: World, username: str, password: str = PASSWORD) -> httpx.AsyncClient:
    client = world.anonymous()
    answer = await client.post("/auth/login", json={"username": username, "password": password})
    assert answer.status_code == 200, answer.text
    client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    return client


async def test_an_administrator_adds_a_user_who_can_add_servers(world: World) -> None:
    admin = await world.user("admin")
    made = await created(admin, email="alice@example.com")
    assert made["role"] == "member"
    assert made["enabled"] is True
    assert made["organisations"] == [made["username"]]

    user = await logged_in(world, made["username"])
    assert (await user.post("/vps", json={"name": "mine"})).status_code == 201
    me = (await user.get("/auth/me")).json()
    assert [one["role"] for one in me["organisations"]] == ["owner"]

    listed = (await admin.get("/users", params={"search": made["username"]})).json()
    assert [one["id"] for one in listed["items"]] == [made["id"]]
    assert "password" not in str(listed)


async def test_a_platform_administrator_does_not_see_the_servers_of_others(world: World) -> None:
    owner, admin = [await world.user(role) for role in ("member", "admin")]
    vps_id = (await owner.post("/vps", json={"name": "theirs"})).json()["id"]
    listed = (await admin.get("/vps", params={"limit": 1000})).json()["items"]
    assert vps_id not in {one["id"] for one in listed}
    assert_problem(await admin.get(f"/vps/{vps_id}"), 404)
    assert_problem(await admin.delete(f"/vps/{vps_id}"), 404)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"username": "Upper Case"}, "username"),
        ({"username": ""}, "username"),
        ({"username": "x" * 64}, "username"),
        ({"password": "short"}, "password"),
        ({"email": "nobody"}, "email"),
        ({"email": "a@b\n"}, "email"),
        ({"role": "owner"}, "role"),
        ({"admin": True}, "admin"),
    ],
)
async def test_a_wrong_field_of_a_new_user_is_named(
    world: World, body: dict[str, Any], field: str
) -> None:
    admin = await world.user("admin")
    answer = await admin.post("/users", json={"username": new_name(), "password": PASSWORD} | body)
    problem = assert_problem(answer, 422)
    assert [error["field"] for error in problem["errors"]] == [field]


async def test_a_name_is_used_once(world: World) -> None:
    admin = await world.user("admin")
    made = await created(admin)
    answer = await admin.post("/users", json={"username": made["username"], "password": PASSWORD})
    problem = assert_problem(answer, 409, ProblemType.ALREADY_EXISTS)
    assert [error["field"] for error in problem["errors"]] == ["username"]


async def test_members_manage_no_users(world: World) -> None:
    member, other = [await world.user("member") for _ in range(2)]
    user_id = (await other.get("/auth/me")).json()["id"]
    for answer in (
        await member.get("/users"),
        await member.post("/users", json={"username": new_name(), "password": PASSWORD}),
        await member.patch(f"/users/{user_id}", json={"enabled": False}),
        await member.delete(f"/users/{user_id}"),
        await member.post("/organisations", json={"name": "mine"}),
    ):
        assert_problem(answer, 403)
    assert (await other.get("/auth/me")).status_code == 200


@pytest.mark.parametrize("change", [{"enabled": False}, {"role": "admin"}])
async def test_a_changed_user_is_logged_out(world: World, change: dict[str, Any]) -> None:
    admin = await world.user("admin")
    made = await created(admin)
    user = await logged_in(world, made["username"])
    answer = await admin.patch(f"/users/{made['id']}", json=change)
    assert answer.status_code == 200
    assert answer.json() | change == answer.json()
    assert_problem(await user.get("/auth/me"), 401)
    assert_problem(await user.post("/auth/refresh"), 401)
    if change == {"enabled": False}:
        again = await world.anonymous().post(
            "/auth/login", json={"username": made["username"], "password": PASSWORD}
        )
        assert_problem(again, 401)
        enabled = await admin.patch(f"/users/{made['id']}", json={"enabled": True})
        assert enabled.json()["enabled"] is True
        await logged_in(world, made["username"])


async def test_a_change_of_nothing_logs_nobody_out(world: World) -> None:
    admin = await world.user("admin")
    made = await created(admin)
    user = await logged_in(world, made["username"])
    for change in ({}, {"enabled": True}, {"role": "member"}):
        assert (await admin.patch(f"/users/{made['id']}", json=change)).status_code == 200
    assert (await user.get("/auth/me")).status_code == 200


async def test_the_last_administrator_stays(world: World) -> None:
    admin = await world.user("admin")
    me = (await admin.get("/auth/me")).json()["id"]
    others = await world.sql(
        "UPDATE users SET enabled = false WHERE role = 'admin' AND id <> %(id)s AND enabled"
        " RETURNING id",
        id=me,
    )
    try:
        for answer in (
            await admin.patch(f"/users/{me}", json={"role": "member"}),
            await admin.patch(f"/users/{me}", json={"enabled": False}),
            await admin.delete(f"/users/{me}"),
        ):
            assert_problem(answer, 409, ProblemType.STILL_NEEDED)
    finally:
        await world.sql(
            "UPDATE users SET enabled = true WHERE id = ANY(%(ids)s)",
            ids=[one for (one,) in others],
        )


async def test_a_deleted_user_leaves_servers_and_runs_behind(world: World) -> None:
    admin, owner = [await world.user(role) for role in ("admin", "member")]
    second = await world.colleague(owner, "owner")
    vps_id = (await second.post("/vps", json={"name": "stays"})).json()["id"]
    run = await second.post("/runs", json={"server_ids": [vps_id], "script": "true"})
    gone = (await second.get("/auth/me")).json()["id"]

    assert (await admin.delete(f"/users/{gone}")).status_code == 204
    assert_problem(await second.get("/auth/me"), 401)
    assert (await owner.get(f"/vps/{vps_id}")).status_code == 200
    assert (await owner.get(f"/runs/{run.json()['id']}")).status_code == 200
    assert_problem(await admin.patch(f"/users/{gone}", json={"enabled": True}), 404)


async def test_the_only_owner_of_servers_is_not_deleted(world: World) -> None:
    admin, owner = [await world.user(role) for role in ("admin", "member")]
    await owner.post("/vps", json={"name": "stays"})
    me = (await owner.get("/auth/me")).json()["id"]
    assert_problem(await admin.delete(f"/users/{me}"), 409, ProblemType.STILL_NEEDED)
    assert (await owner.get("/auth/me")).status_code == 200
