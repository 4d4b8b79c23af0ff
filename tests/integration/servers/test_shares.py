"""Servers are shared with single users, and moved between organisations."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.fixtures.problems import assert_problem
from tests.fixtures.world import World


async def account(client: httpx.AsyncClient) -> Any:
    return (await client.get("/auth/me")).json()


async def added(client: httpx.AsyncClient) -> str:
    return str((await client.post("/vps", json={"name": "box"})).json()["id"])


async def test_a_server_is_shared_and_the_share_is_ended(world: World) -> None:
    owner, guest = [await world.user("member") for _ in range(2)]
    vps_id, other = await added(owner), await added(owner)
    name = (await account(guest))["username"]
    shares = f"/vps/{vps_id}/shares"
    assert_problem(await guest.get(f"/vps/{vps_id}"), 404)

    made = await owner.post(shares, json={"username": name, "level": "viewer"})
    assert made.status_code == 201, made.text
    assert [one["id"] for one in (await guest.get("/vps")).json()["items"]] == [vps_id]
    assert_problem(await guest.get(f"/vps/{other}"), 404)
    run = {"server_ids": [vps_id], "script": "true"}
    assert_problem(await guest.post("/runs", json=run), 404)

    await owner.post(shares, json={"username": name, "level": "operator"})
    assert (await guest.post("/runs", json=run)).status_code == 201
    assert_problem(await guest.patch(f"/vps/{vps_id}", json={"name": "mine"}), 404)
    assert_problem(await guest.get(shares), 404)
    listed = (await owner.get(shares)).json()
    assert [(one["username"], one["level"]) for one in listed["items"]] == [(name, "operator")]

    assert (await owner.delete(f"{shares}/{made.json()['user_id']}")).status_code == 204
    assert_problem(await guest.get(f"/vps/{vps_id}"), 404)
    assert_problem(await owner.delete(f"{shares}/{made.json()['user_id']}"), 404)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"username": "nobody-knows"}, "username"),
        ({"level": "owner"}, "level"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "tomorrow"}, "expires_at"),
    ],
)
async def test_a_wrong_field_of_a_share_is_named(
    world: World, change: dict[str, Any], field: str
) -> None:
    owner = await world.user("member")
    vps_id = await added(owner)
    body = {"username": (await account(owner))["username"], "level": "viewer"} | change
    problem = assert_problem(await owner.post(f"/vps/{vps_id}/shares", json=body), 422)
    assert [error["field"] for error in problem["errors"]] == [field]


async def test_a_share_has_an_end(world: World) -> None:
    owner, guest = [await world.user("member") for _ in range(2)]
    vps_id = await added(owner)
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    body = {"username": (await account(guest))["username"], "level": "viewer", "expires_at": until}
    made = await owner.post(f"/vps/{vps_id}/shares", json=body)
    assert made.json()["expires_at"] is not None
    assert (await guest.get(f"/vps/{vps_id}")).status_code == 200
    await world.sql("UPDATE server_shares SET expires_at = now() WHERE vps_id = %(id)s", id=vps_id)
    assert_problem(await guest.get(f"/vps/{vps_id}"), 404)


async def test_a_server_moves_with_both_rights_only(world: World) -> None:
    owner, other, guest = [await world.user("member") for _ in range(3)]
    vps_id = await added(owner)
    target = (await account(other))["organisations"][0]["id"]
    name = (await account(guest))["username"]
    await owner.post(f"/vps/{vps_id}/shares", json={"username": name, "level": "viewer"})
    token = (await owner.post(f"/vps/{vps_id}/enrolment")).json()["token"]
    move = {"organisation_id": target}
    assert_problem(await owner.patch(f"/vps/{vps_id}", json=move), 404)
    assert_problem(await other.patch(f"/vps/{vps_id}", json=move), 404)

    mine = (await account(owner))["id"]
    await world.sql(
        "INSERT INTO memberships (organisation_id, user_id, role) VALUES (%(o)s, %(u)s, 'operator')",
        o=target,
        u=mine,
    )
    assert_problem(await owner.patch(f"/vps/{vps_id}", json=move), 403)
    await world.sql(
        "UPDATE memberships SET role = 'admin' WHERE organisation_id = %(o)s AND user_id = %(u)s",
        o=target,
        u=mine,
    )
    moved = await owner.patch(f"/vps/{vps_id}", json=move)
    assert moved.json()["organisation_id"] == target
    assert (await other.get(f"/vps/{vps_id}")).status_code == 200
    assert_problem(await guest.get(f"/vps/{vps_id}"), 404)
    agent = world.agent()
    with pytest.raises(Exception, match="token"):
        await agent.enrol(token)


async def test_put_changes_a_server_as_patch_does(world: World) -> None:
    owner = await world.user("member")
    vps_id = await added(owner)
    changed = await owner.put(f"/vps/{vps_id}", json={"name": "new", "tags": ["b", "a"]})
    assert changed.status_code == 200
    assert changed.json() | {"name": "new", "tags": ["a", "b"]} == changed.json()


async def test_an_install_line_ends_with_the_right_of_its_maker(world: World) -> None:
    owner = await world.user("member")
    admin = await world.colleague(owner, "admin")
    made = (await admin.post("/vps", json={"name": "box"})).json()
    await world.sql(
        "UPDATE memberships SET role = 'operator' WHERE user_id = %(id)s",
        id=(await account(admin))["id"],
    )
    agent = world.agent()
    with pytest.raises(Exception, match="token"):
        await agent.enrol(made["enrolment"]["token"])
