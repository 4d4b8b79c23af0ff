"""Log-in, session cookies and access tokens."""

import json
import re
import secrets
import time
from datetime import timedelta
from http.cookies import SimpleCookie
from ipaddress import IPv4Address
from typing import Any
from uuid import UUID

import httpx
import jwt
import pytest

from services.gateway.accounts import tokens
from services.gateway.api.rules import PUBLIC
from tests.fixtures.problems import assert_problem
from tests.fixtures.routes import routes
from tests.fixtures.waiting import until
from tests.fixtures.world import PASSWORD, World

ABSENT = "6d9f0bd0-0000-4000-8000-000000000000"


async def login(
    world: World, username: str, password: str, address: str
) -> tuple[httpx.AsyncClient, httpx.Response]:
    client = world.anonymous()
    answer = await client.post(
        "/auth/login",
        json={"username": username, "password": password},
        headers={"X-Forwarded-For": address},
    )
    return client, answer


def fresh_address() -> str:
    """Return an address that no other test of this database uses."""
    return str(IPv4Address(0x0A000000 + secrets.randbelow(1 << 24)))


async def username_of(client: httpx.AsyncClient) -> str:
    return str((await client.get("/auth/me")).json()["username"])


async def test_a_wrong_password_and_an_unknown_user_are_told_the_same(world: World) -> None:
    name = await username_of(await world.user())
    _, wrong = await login(world, name, "not the password", "192.0.2.1")
    _, unknown = await login(world, "nobody-at-all", "not the password", "192.0.2.1")

    first, second = assert_problem(wrong, 401), assert_problem(unknown, 401)
    assert {**first, "request_id": ""} == {**second, "request_id": ""}
    assert wrong.headers["WWW-Authenticate"] == "Bearer"


async def test_guessing_is_slowed_down_and_told_when_to_come_back(world: World) -> None:
    name = await username_of(await world.user())
    for _ in range(5):
        assert (await login(world, name, "wrong password", "192.0.2.2"))[1].status_code == 401
    _, throttled = await login(world, name, PASSWORD, "192.0.2.2")

    assert_problem(throttled, 429)
    assert 1 <= int(throttled.headers["Retry-After"]) <= 301
    assert (await login(world, name, PASSWORD, "192.0.2.3"))[1].status_code == 200


async def refused_log_ins(world: World, user_id: str) -> list[dict[str, Any]]:
    url = f"/audit?object=user:{user_id}&limit=1000"
    page = (await (await world.user()).get(url)).json()
    return [entry for entry in page["items"] if entry["action"] == "session.login"]


async def test_refused_attempts_do_not_count(world: World) -> None:
    name, address = await username_of(await world.user()), fresh_address()
    for _ in range(25):
        await login(world, name, "wrong password", address)
    counted = await world.sql(
        "SELECT key, failures FROM login_failures WHERE key IN (%(pair)s, %(address)s)",
        pair=f"pair:{name}@{address}",
        address=f"address:{address}",
    )
    assert dict(counted) == {f"pair:{name}@{address}": 5, f"address:{address}": 5}


async def test_refused_attempts_leave_no_rows(world: World) -> None:
    address = fresh_address()
    for number in range(40):
        await login(world, f"nobody-{number}", "wrong password", address)
    (counted,) = await world.sql(
        "SELECT count(*), sum(failures) FROM login_failures WHERE key LIKE %(key)s",
        key=f"%@{address}",
    )
    assert counted == (30, 30)


async def test_guesses_from_everywhere_do_not_lock_a_known_browser_out(world: World) -> None:
    user = await world.user()
    name = await username_of(user)
    statuses = [
        (await login(world, name, "wrong password", f"198.51.100.{number}"))[1].status_code
        for number in range(55)
    ]
    assert statuses == [401] * 50 + [429] * 5
    assert (await login(world, name, PASSWORD, "192.0.2.12"))[1].status_code == 429

    body = {"username": name, "password": PASSWORD}
    headers = {"X-Forwarded-For": "198.51.100.1"}
    assert (await user.post("/auth/login", json=body, headers=headers)).status_code == 200


async def test_a_known_browser_has_a_limit_of_its_own(world: World) -> None:
    user, other = await world.user(), await world.user()
    name = await username_of(user)
    wrong = {"username": name, "password": "wrong password"}
    statuses = [(await user.post("/auth/login", json=wrong)).status_code for _ in range(7)]
    assert statuses == [401] * 5 + [429] * 2

    # The cookie of another account and a forged cookie are ignored.
    for device in (other.cookies["flotilla_device"], "a.b", "é.", ""):
        client = world.anonymous()
        client.cookies.set("flotilla_device", device.encode("ascii", "ignore").decode())
        answer = await client.post(
            "/auth/login", json=wrong, headers={"X-Forwarded-For": "192.0.2.13"}
        )
        assert answer.status_code == 401
    (failures,) = await world.sql(
        "SELECT failures FROM login_failures WHERE key = %(key)s", key=f"pair:{name}@192.0.2.13"
    )
    assert failures == (4,)


async def test_addresses_of_one_ipv6_network_count_as_one(world: World) -> None:
    name = await username_of(await world.user())
    answers = [
        (await login(world, name, "wrong password", f"2001:db8:1:2::{number:x}"))[1].status_code
        for number in range(1, 8)
    ]
    assert answers == [401] * 5 + [429] * 2


async def test_a_failed_log_in_names_the_account_and_is_not_pushed_out(world: World) -> None:
    user = await world.user()
    account = (await user.get("/auth/me")).json()
    for _ in range(70):
        await world.anonymous().get("/vps")
    for _ in range(70):
        await login(world, "nobody-at-all", "wrong password", "203.0.113.1")
    for _ in range(70):
        await login(world, account["username"], "wrong password", "192.0.2.14")
    await login(world, account["username"], "wrong password", "192.0.2.15")

    async def named() -> bool:
        found = await refused_log_ins(world, account["id"])
        return "192.0.2.15" in {entry["peer"] for entry in found}

    await until(named, otherwise="the last failure was not stored")
    judged = [
        (entry["detail"], entry["allowed"], entry["actor"])
        for entry in await refused_log_ins(world, account["id"])
        if entry["reason"] == "wrong name or password"
    ]
    assert judged == [(account["username"], False, "anonymous")] * 6


async def test_a_name_that_no_account_has_is_not_repeated(world: World) -> None:
    await login(world, "my-password-by-mistake", "wrong password", "192.0.2.16")
    admin = await world.user()

    async def entries() -> list[dict[str, Any]]:
        page = (await admin.get("/audit", params={"actor": "anonymous", "limit": 1000})).json()
        return [entry for entry in page["items"] if entry["peer"] == "192.0.2.16"]

    async def stored() -> bool:
        return bool(await entries())

    await until(stored, otherwise="the failure was not stored")
    (entry,) = await entries()
    assert (entry["object"], entry["detail"]) == ("", "unknown account")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
    ],
)
async def test_a_foreign_page_cannot_log_its_visitor_in(
    world: World, headers: dict[str, str]
) -> None:
    name = await username_of(await world.user())
    body = json.dumps({"username": name, "password": PASSWORD}).encode()
    headers = {"Content-Type": "application/json"} | headers
    answer = await world.anonymous().post("/auth/login", content=body, headers=headers)
    assert_problem(answer, 403 if headers["Content-Type"] == "application/json" else 415)
    assert "Set-Cookie" not in answer.headers


async def test_a_foreign_page_cannot_renew_or_end_a_session(world: World) -> None:
    user = await world.user()
    headers = {"Origin": "https://evil.example"}
    assert_problem(await user.post("/auth/refresh", headers=headers), 403)
    assert_problem(await user.post("/auth/logout", headers=headers), 403)
    assert (await user.get("/auth/me")).status_code == 200


async def test_every_address_that_changes_something_checks_the_origin(world: World) -> None:
    user = await world.user()
    made = (await user.post("/vps", json={"name": "box"})).json()["id"]
    for method, path, opt in routes():
        if method in {"GET", "HEAD", "WS"} or not path.startswith("/api/v1/") or PUBLIC in opt:
            continue
        address = re.sub(r"{vps_id:uuid}", made, path)
        address = re.sub(r"{\w+:(\w+)}", lambda m: ABSENT if m[1] == "uuid" else "0" * 32, address)
        answer = await user.request(
            method, f"{world.http}{address}", headers={"Origin": "https://evil.example"}
        )
        assert answer.status_code == 403, (method, address, answer.text)


async def test_the_cookie_is_for_the_session_routes_alone_and_out_of_scripts_reach(
    world: World,
) -> None:
    name = await username_of(await world.user())
    _, answer = await login(world, name, PASSWORD, "192.0.2.4")
    cookies = {
        name: cookie
        for header in answer.headers.get_list("Set-Cookie")
        for name, cookie in SimpleCookie(header).items()
    }

    days = {"flotilla_session": 14, "flotilla_device": 365}
    assert cookies.keys() == days.keys()
    for name, cookie in cookies.items():
        assert cookie["httponly"] is True
        assert cookie["samesite"].lower() == "strict"
        assert cookie["path"] == "/api/v1/auth"
        assert int(cookie["max-age"]) == timedelta(days=days[name]).total_seconds()
        assert cookie.value not in answer.text


async def test_only_the_cookie_refreshes(world: World) -> None:
    user = await world.user()
    bearer = {"Authorization": user.headers["Authorization"]}
    assert_problem(await world.anonymous().post("/auth/refresh", headers=bearer), 401)

    del user.headers["Authorization"]
    renewed = await user.post("/auth/refresh")
    assert renewed.status_code == 200
    user.headers["Authorization"] = f"Bearer {renewed.json()['access_token']}"
    assert (await user.get("/auth/me")).status_code == 200


async def test_logging_out_kills_the_access_token_at_once(world: World) -> None:
    user = await world.user()
    assert (await user.get("/auth/me")).status_code == 200
    assert (await user.post("/auth/logout")).status_code == 204

    assert_problem(await user.get("/auth/me"), 401)
    assert_problem(await user.post("/auth/refresh"), 401)


async def test_a_disabled_users_token_is_dead_at_once(world: World) -> None:
    user = await world.user()
    name = await username_of(user)
    await world.sql("UPDATE users SET enabled = false WHERE username = %(n)s", n=name)

    assert_problem(await user.get("/vps"), 401)
    assert_problem(await user.post("/auth/refresh"), 401)
    assert_problem((await login(world, name, PASSWORD, "192.0.2.5"))[1], 401)


async def test_forged_tokens_are_refused(world: World) -> None:
    user = await world.user()
    good = user.headers["Authorization"].removeprefix("Bearer ")
    payload = jwt.decode(good, options={"verify_signature": False})
    fresh = {**payload, "exp": int(time.time()) + 600}
    forged = {
        "no algorithm": jwt.encode(fresh, "", "none"),
        "another key": jwt.encode(fresh, "k" * 40, "HS256"),
        "another audience": jwt.encode({**fresh, "aud": "x"}, world.token_secret, "HS256"),
        "another issuer": jwt.encode({**fresh, "iss": "x"}, world.token_secret, "HS256"),
        "expired": jwt.encode({**fresh, "exp": 1}, world.token_secret, "HS256"),
        "another algorithm": jwt.encode(fresh, world.token_secret.ljust(64, "x"), "HS512"),
        "garbage": "a.b.c",
        "another's session": jwt.encode({**fresh, "sid": ABSENT}, world.token_secret, "HS256"),
        "no session": jwt.encode({**fresh, "sid": 5}, world.token_secret, "HS256"),
    }
    for what, token in forged.items():
        answer = await world.anonymous().get("/vps", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401, what
    assert timedelta(minutes=15) >= tokens.ACCESS_LIFETIME
    assert UUID(payload["sub"]).version == 4


async def test_a_token_in_the_address_is_not_taken(world: World) -> None:
    token = (await world.user()).headers["Authorization"].removeprefix("Bearer ")
    for name in ("token", "access_token", "ticket"):
        assert_problem(await world.anonymous().get("/vps", params={name: token}), 401)
