"""People register with an invitation, and in no other way."""

import asyncio
import secrets
from typing import Any

import httpx
import pytest

from services.gateway.api.problem_types import ProblemType
from tests.fixtures.problems import assert_problem
from tests.fixtures.world import PASSWORD, World


async def invited(client: httpx.AsyncClient, role: str = "operator", **fields: Any) -> Any:
    address = f"{secrets.token_hex(4)}@example.com"
    answer = await client.post("/invitations", json={"email": address, "role": role} | fields)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def register(world: World, token: str, **fields: Any) -> httpx.Response:
    body = {"token": token, "username": f"r-{secrets.token_hex(4)}", "password": PASSWORD}
    # Registrations are limited per address.
    forwarded = {"X-Forwarded-For": f"10.1.{secrets.randbelow(256)}.{secrets.randbelow(256)}"}
    client = world.anonymous()
    return await client.post("/auth/register", json=body | fields, headers=forwarded)


async def test_an_invited_person_registers_and_is_a_member(world: World) -> None:
    owner = await world.user("member")
    vps_id = (await owner.post("/vps", json={"name": "box"})).json()["id"]
    invitation = await invited(owner, "operator")
    assert invitation["url"].startswith(f"{world.http}/register#")
    assert invitation["url"].endswith(invitation["token"])

    made = await register(world, invitation["token"], email=invitation["email"].upper())
    assert made.status_code == 201, made.text
    assert made.json()["email"] == invitation["email"]
    assert [one["role"] for one in made.json()["organisations"]] == ["operator"]
    login = await world.anonymous().post(
        "/auth/login", json={"username": made.json()["username"], "password": PASSWORD}
    )
    bearer = {"Authorization": f"Bearer {login.json()['access_token']}"}
    seen = await world.anonymous().get(f"/vps/{vps_id}", headers=bearer)
    assert seen.status_code == 200
    assert (await owner.get("/invitations")).json()["total"] == 0


async def test_an_invitation_is_used_once(world: World) -> None:
    token = (await invited(await world.user("member")))["token"]
    answers = await asyncio.gather(*(register(world, token) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 403, 403, 403]


async def test_an_invitation_is_for_its_address_alone(world: World) -> None:
    token = (await invited(await world.user("member")))["token"]
    answer = await register(world, token, email="other@example.com")
    assert_problem(answer, 403, ProblemType.INVALID_INVITATION)
    assert (await register(world, token)).status_code == 201  # the attempt did not use it up


@pytest.mark.parametrize("change", ["expired", "withdrawn", "replaced", "disabled", "demoted"])
async def test_an_invitation_ends(world: World, change: str) -> None:
    owner = await world.user("member")
    admin = await world.colleague(owner, "admin")
    invitation = await invited(admin)
    mine = (await admin.get("/auth/me")).json()["id"]
    match change:
        case "expired":
            await world.sql(
                "UPDATE invitations SET expires_at = now() WHERE id = %(id)s", id=invitation["id"]
            )
        case "withdrawn":
            answer = await owner.delete(f"/invitations/{invitation['id']}")
            assert answer.status_code == 204
        case "replaced":
            await invited(admin, email=invitation["email"].upper())
        case "disabled":
            await world.sql("UPDATE users SET enabled = false WHERE id = %(id)s", id=mine)
        case "demoted":
            organisation = invitation["organisation_id"]
            path = f"/organisations/{organisation}/members/{mine}"
            await owner.patch(path, json={"role": "operator"})
    answer = await register(world, invitation["token"])
    assert_problem(answer, 403, ProblemType.INVALID_INVITATION)


@pytest.mark.parametrize("token", ["x", "x" * 43])
async def test_nobody_registers_without_an_invitation(world: World, token: str) -> None:
    answer = await register(world, token)
    assert_problem(answer, 403, ProblemType.INVALID_INVITATION)


async def test_guesses_of_tokens_are_slowed_down(world: World) -> None:
    client = world.anonymous()
    headers = {"X-Forwarded-For": "10.9.9.9"}
    body = {"token": "guess", "username": "somebody", "password": PASSWORD}
    for _ in range(30):
        await client.post("/auth/register", json=body, headers=headers)
    answer = await client.post("/auth/register", json=body, headers=headers)
    assert_problem(answer, 429, ProblemType.TOO_MANY_ATTEMPTS)
    assert int(answer.headers["retry-after"]) > 0


async def test_a_taken_name_leaves_the_invitation_valid(world: World) -> None:
    owner = await world.user("member")
    taken = (await owner.get("/auth/me")).json()["username"]
    token = (await invited(owner))["token"]
    answer = await register(world, token, username=taken)
    assert_problem(answer, 409, ProblemType.ALREADY_EXISTS)
    assert (await register(world, token)).status_code == 201


async def test_nobody_invites_above_the_own_role(world: World) -> None:
    owner = await world.user("member")
    for role, refused in (
        ("admin", {"owner"}),
        ("operator", {"owner", "admin", "operator", "viewer"}),
        ("viewer", {"owner", "admin", "operator", "viewer"}),
    ):
        member = await world.colleague(owner, role)
        for wanted in ("owner", "admin", "operator", "viewer"):
            body = {"email": f"{secrets.token_hex(4)}@example.com", "role": wanted}
            answer = await member.post("/invitations", json=body)
            assert answer.status_code == (403 if wanted in refused else 201), answer.text


async def test_invitations_of_others_do_not_exist(world: World) -> None:
    owner, other = [await world.user("member") for _ in range(2)]
    invitation = await invited(owner)
    assert_problem(await other.delete(f"/invitations/{invitation['id']}"), 404)
    assert invitation["id"] not in (await other.get("/invitations")).text
    listed = (await owner.get("/invitations")).text
    assert invitation["id"] in listed
    assert invitation["token"] not in listed
