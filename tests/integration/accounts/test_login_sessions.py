"""Users see and end their login sessions, and change their password."""

import httpx
import pytest

from services.gateway.api.problem_types import ProblemType
from tests.fixtures.problems import assert_problem
from tests.fixtures.world import PASSWORD, World

NEW = "another long password"
COOKIE = "flotilla_session"


async def another_login(world: World, of: httpx.AsyncClient, agent: str) -> httpx.AsyncClient:
    username = (await of.get("/auth/me")).json()["username"]
    client = world.anonymous()
    answer = await client.post(
        "/auth/login",
        json={"username": username, "password": PASSWORD},
        headers={"User-Agent": agent},
    )
    client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    return client


async def test_sessions_are_listed_and_ended(world: World) -> None:
    first = await world.user("member")
    second = await another_login(world, first, "Browser/1.0 " + "x" * 1000)
    listed = (await first.get("/sessions")).json()["items"]
    assert [one["is_current"] for one in listed].count(True) == 1
    (other,) = [one for one in listed if not one["is_current"]]
    assert other["user_agent"].startswith("Browser/1.0 ")
    assert len(other["user_agent"]) == 300
    assert other["address"] == "127.0.0.1"

    assert (await first.delete(f"/sessions/{other['id']}")).status_code == 204
    assert_problem(await second.get("/auth/me"), 401)
    assert_problem(await second.post("/auth/refresh"), 401)
    assert_problem(await first.delete(f"/sessions/{other['id']}"), 404)


async def test_all_others_are_ended_at_once(world: World) -> None:
    first = await world.user("member")
    others = [await another_login(world, first, "b") for _ in range(3)]
    assert (await first.delete("/sessions")).status_code == 204
    for other in others:
        assert_problem(await other.get("/auth/me"), 401)
    assert (await first.get("/sessions")).json()["total"] == 1


async def test_sessions_of_others_do_not_exist(world: World) -> None:
    first, second = [await world.user("member") for _ in range(2)]
    theirs = (await second.get("/sessions")).json()["items"][0]["id"]
    assert_problem(await first.delete(f"/sessions/{theirs}"), 404)
    assert (await second.get("/auth/me")).status_code == 200


async def test_a_new_password_ends_the_other_sessions(world: World) -> None:
    first = await world.user("member")
    username = (await first.get("/auth/me")).json()["username"]
    second = await another_login(world, first, "b")
    answer = await first.put("/auth/password", json={"current": PASSWORD, "new": NEW})
    assert answer.status_code == 204, answer.text
    assert (await first.get("/auth/me")).status_code == 200
    assert_problem(await second.get("/auth/me"), 401)
    login = world.anonymous()
    old = await login.post("/auth/login", json={"username": username, "password": PASSWORD})
    assert_problem(old, 401, ProblemType.WRONG_CREDENTIALS)
    new = await login.post("/auth/login", json={"username": username, "password": NEW})
    assert new.status_code == 200


@pytest.mark.parametrize(
    ("current", "new", "status"),
    [(PASSWORD, "short", 422), (PASSWORD, PASSWORD, 422), ("wrong password", NEW, 401)],
)
async def test_a_password_that_is_not_changed(
    world: World, current: str, new: str, status: int
) -> None:
    user = await world.user("member")
    answer = await user.put("/auth/password", json={"current": current, "new": new})
    assert_problem(answer, status)
    assert (await user.get("/auth/me")).status_code == 200


async def test_guesses_of_the_current_password_are_limited(world: World) -> None:
    user = await world.user("member")
    codes = [
        (await user.put("/auth/password", json={"current": f"guess {n}", "new": NEW})).status_code
        for n in range(8)
    ]
    assert codes[0] == 401
    assert codes[-1] == 429


async def test_the_cookie_changes_with_each_use(world: World) -> None:
    user = await world.user("member")
    secrets = [user.cookies[COOKIE]]
    for _ in range(3):
        assert (await user.post("/auth/refresh")).status_code == 200
        secrets.append(user.cookies[COOKIE])
    assert len(set(secrets)) == 4


async def test_two_pages_renew_at_the_same_time(world: World) -> None:
    user = await world.user("member")
    path = user.base_url.path.rstrip("/") + "/auth"
    before = user.cookies[COOKIE]
    assert (await user.post("/auth/refresh")).status_code == 200
    other = world.anonymous()
    other.cookies.set(COOKIE, before, path=path)
    answer = await other.post("/auth/refresh")
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    assert (await user.post("/auth/refresh")).status_code == 200


async def test_a_copied_cookie_ends_the_session(world: World) -> None:
    user = await world.user("member")
    path = user.base_url.path.rstrip("/") + "/auth"
    thief = world.anonymous()
    thief.cookies.set(COOKIE, user.cookies[COOKIE], path=path)
    assert (await user.post("/auth/refresh")).status_code == 200
    await world.sql("UPDATE sessions SET rotated_at = now() - interval '2 minutes'")
    assert_problem(await thief.post("/auth/refresh"), 401)
    assert_problem(await user.post("/auth/refresh"), 401)
    assert_problem(await user.get("/auth/me"), 401)


async def test_logging_out_with_the_cookie_before_ends_the_session(world: World) -> None:
    user = await world.user("member")
    before = user.cookies[COOKIE]
    await user.post("/auth/refresh")
    user.cookies.clear()
    user.cookies.set(COOKIE, before, path=user.base_url.path.rstrip("/") + "/auth")
    assert (await user.post("/auth/logout")).status_code == 204
    assert_problem(await user.get("/auth/me"), 401)
