"""Members of an organisation see and do what their role allows, and no more."""

from typing import Any

import httpx
import pytest

from services.gateway.api.problem_types import ProblemType
from tests.fixtures.problems import assert_problem
from tests.fixtures.world import World


async def own(client: httpx.AsyncClient) -> str:
    """Return the id of the client's first organisation."""
    return str((await client.get("/auth/me")).json()["organisations"][0]["id"])


async def user_id(client: httpx.AsyncClient) -> str:
    return str((await client.get("/auth/me")).json()["id"])


async def added(client: httpx.AsyncClient, **fields: Any) -> str:
    answer = await client.post("/vps", json={"name": "box", **fields})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


@pytest.mark.parametrize("role", ["owner", "admin", "operator", "viewer"])
async def test_a_role_decides_what_a_member_may_do_with_a_server(world: World, role: str) -> None:
    owner = await world.user("member")
    vps_id = await added(owner)
    member = await world.colleague(owner, role)

    assert [one["id"] for one in (await member.get("/vps")).json()["items"]] == [vps_id]
    assert (await member.get(f"/vps/{vps_id}")).status_code == 200
    assert (await member.get("/fleet/overview")).json()["total"] == 1
    may_act = role != "viewer"
    run = await member.post("/runs", json={"server_ids": [vps_id], "script": "true"})
    assert run.status_code == (201 if may_act else 404), run.text
    files = await member.get(f"/vps/{vps_id}/files", params={"path": "/"})
    assert_problem(files, 409 if may_act else 404)
    may_change = role in {"owner", "admin"}
    renamed = await member.patch(f"/vps/{vps_id}", json={"name": "renamed"})
    assert renamed.status_code == (200 if may_change else 404)
    new = await member.post("/vps", json={"name": "second"})
    assert new.status_code == (201 if may_change else 403)


async def test_a_tag_selects_only_servers_on_which_one_may_act(world: World) -> None:
    owner, other = [await world.user("member") for _ in range(2)]
    theirs, mine = await added(owner), await added(other)
    for client, vps_id in ((owner, theirs), (other, mine)):
        await client.patch(f"/vps/{vps_id}", json={"tags": ["web"]})
    # A viewer of the first organisation, and the owner of the second one.
    await world.sql(
        "INSERT INTO memberships (organisation_id, user_id, role) VALUES (%(o)s, %(u)s, 'viewer')",
        o=await own(owner),
        u=await user_id(other),
    )
    assert len((await other.get("/vps")).json()["items"]) == 2
    run = await other.post("/runs", json={"tags": ["web"], "script": "true"})
    assert [one["vps_id"] for one in run.json()["servers"]] == [mine]


async def test_who_may_add_to_several_organisations_names_one(world: World) -> None:
    first, second = [await world.user("member") for _ in range(2)]
    await world.sql(
        "INSERT INTO memberships (organisation_id, user_id, role) VALUES (%(o)s, %(u)s, 'admin')",
        o=await own(second),
        u=await user_id(first),
    )
    problem = assert_problem(await first.post("/vps", json={"name": "box"}), 422)
    assert [error["field"] for error in problem["errors"]] == ["organisation_id"]
    vps_id = await added(first, organisation_id=await own(second))
    assert (await second.get(f"/vps/{vps_id}")).json()["organisation_id"] == await own(second)

    stranger = await world.user("member")
    refused = await stranger.post(
        "/vps", json={"name": "box", "organisation_id": await own(second)}
    )
    assert_problem(refused, 404)


async def test_an_organisation_with_servers_is_not_deleted(world: World) -> None:
    owner = await world.user("member")
    organisation = await own(owner)
    vps_id = await added(owner)
    member = await world.colleague(owner, "admin")
    assert_problem(await member.delete(f"/organisations/{organisation}"), 403)
    answer = await owner.delete(f"/organisations/{organisation}")
    assert_problem(answer, 409, ProblemType.STILL_NEEDED)
    await owner.delete(f"/vps/{vps_id}")
    assert (await owner.delete(f"/organisations/{organisation}")).status_code == 204
    assert (await owner.get("/auth/me")).json()["organisations"] == []
    assert_problem(await owner.post("/vps", json={"name": "box"}), 403)


async def test_organisations_of_others_do_not_exist(world: World) -> None:
    owner, other, admin = [await world.user(role) for role in ("member", "member", "admin")]
    organisation = await own(owner)
    path = f"/organisations/{organisation}"
    for client in (other, admin):
        assert_problem(await client.get(path), 404)
        assert_problem(await client.patch(path, json={"name": "mine"}), 404)
        assert_problem(await client.delete(path), 404)
        assert_problem(await client.get(f"{path}/members"), 404)
        member = f"{path}/members/{await user_id(owner)}"
        assert_problem(await client.patch(member, json={"role": "viewer"}), 404)
        assert_problem(await client.delete(member), 404)
        invited = {"email": "x@example.com", "role": "viewer", "organisation_id": organisation}
        assert_problem(await client.post("/invitations", json=invited), 404)
    assert organisation not in (await other.get("/organisations")).text
    listed = (await admin.get("/organisations", params={"limit": 200})).json()["items"]
    seen = {one["id"]: one["role"] for one in listed}
    if organisation in seen:  # on the first page
        assert seen[organisation] is None


async def test_members_are_listed_changed_and_removed(world: World) -> None:
    owner = await world.user("member")
    organisation = await own(owner)
    members = f"/organisations/{organisation}/members"
    viewer = await world.colleague(owner, "viewer")
    viewer_id = await user_id(viewer)
    vps_id = await added(owner)

    listed = (await viewer.get(members)).json()
    assert {one["role"] for one in listed["items"]} == {"owner", "viewer"}
    assert_problem(await viewer.patch(f"{members}/{viewer_id}", json={"role": "owner"}), 403)
    changed = await owner.patch(f"{members}/{viewer_id}", json={"role": "admin"})
    assert changed.json()["role"] == "admin"
    assert (await viewer.patch(f"/vps/{vps_id}", json={"name": "n"})).status_code == 200

    # An administrator makes no owner, and changes none.
    assert_problem(await viewer.patch(f"{members}/{viewer_id}", json={"role": "owner"}), 403)
    owner_id = await user_id(owner)
    assert_problem(await viewer.patch(f"{members}/{owner_id}", json={"role": "viewer"}), 403)
    assert_problem(await viewer.delete(f"{members}/{owner_id}"), 403)
    # The only owner stays.
    alone = await owner.patch(f"{members}/{owner_id}", json={"role": "viewer"})
    assert_problem(alone, 409, ProblemType.STILL_NEEDED)
    assert_problem(await owner.delete(f"{members}/{owner_id}"), 409, ProblemType.STILL_NEEDED)

    assert (await viewer.delete(f"{members}/{viewer_id}")).status_code == 204  # everybody may leave
    assert_problem(await viewer.get(f"/vps/{vps_id}"), 404)
    assert_problem(await viewer.get(members), 404)


async def test_a_renamed_organisation_has_its_new_name_everywhere(world: World) -> None:
    owner = await world.user("member")
    path = f"/organisations/{await own(owner)}"
    assert (await owner.patch(path, json={"name": "Ops team"})).json()["name"] == "Ops team"
    assert (await owner.get("/auth/me")).json()["organisations"][0]["name"] == "Ops team"
    for name in ("", " x", "a\u202eb", "x" * 101):
        assert_problem(await owner.patch(path, json={"name": name}), 422)


async def test_a_platform_administrator_adds_an_organisation(world: World) -> None:
    admin = await world.user("admin")
    made = await admin.post("/organisations", json={"name": "Second"})
    assert made.status_code == 201
    assert made.json() | {"name": "Second", "role": "owner", "members": 1} == made.json()
    vps_id = await added(admin, organisation_id=made.json()["id"])
    assert (await admin.get(f"/vps/{vps_id}")).status_code == 200
