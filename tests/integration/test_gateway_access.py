"""Who gets in, and what each may touch."""

import json
import re
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
import pytest
from litestar.handlers import HTTPRouteHandler, WebsocketRouteHandler

from services.gateway import credentials
from services.gateway.app import create_app
from services.gateway.guard import ACTION, PUBLIC
from services.kit.access import Action, needs_object
from tests.fixtures.world import PASSWORD, World

ABSENT = "6d9f0bd0-0000-4000-8000-000000000000"
DOCUMENT = "/api/v1/openapi.json"


def routes() -> list[tuple[str, str, dict[str, Any]]]:
    """Method, path and options of every route of the application."""
    found: list[tuple[str, str, dict[str, Any]]] = []
    for route in create_app(None).routes:
        for handler in route.route_handlers if hasattr(route, "route_handlers") else []:
            if isinstance(handler, HTTPRouteHandler):
                found += [
                    (str(method), route.path, handler.opt)
                    for method in handler.http_methods
                    if method != "OPTIONS"
                ]
        handler = getattr(route, "route_handler", None)
        if isinstance(handler, WebsocketRouteHandler):
            found.append(("WS", route.path, handler.opt))
    # In the same order for every worker of a run.
    return sorted(found, key=lambda entry: entry[:2])


ROUTES = routes()
# HEAD answers as GET does, without a word.
GUARDED = [
    (method, path, opt[ACTION])
    for method, path, opt in ROUTES
    if ACTION in opt and method != "HEAD"
]
FILES = "/api/v1/vps/{vps_id:uuid}/files"
FILE = {"path": "/srv/f"}
MOVE = {**FILE, "destination": "/srv/g"}
BODIES = {
    "/api/v1/vps/{vps_id:uuid}": {"name": "renamed"},
    "/api/v1/vps": {"name": "made"},
    "/api/v1/vps/{vps_id:uuid}/traffic/settings": {"reset_day": 15},
    "/api/v1/vps/{vps_id:uuid}/traffic/corrections": {
        "month": f"{datetime.now(UTC):%Y-%m}",
        "rx": 1,
        "reason": "counted by the vendor",
    },
    "/api/v1/ws-tickets": {"resource": "fleet/realtime"},
    "/api/v1/vps/{vps_id:uuid}/commands": {"script": "true"},
    "/api/v1/vps/{vps_id:uuid}/docker/images/pull": {"reference": "nginx:1"},
    "/api/v1/commands": {"vps_ids": ["<vps_id>"], "script": "true"},
    f"{FILES}/content": {"content": "", "version": None},
    f"{FILES}/download-tickets": FILE,
    f"{FILES}/mkdir": FILE,
    f"{FILES}/rename": MOVE,
    f"{FILES}/copy": MOVE,
    f"{FILES}/extract": MOVE,
    f"{FILES}/archive": {**MOVE, "names": ["f"]},
    f"{FILES}/chmod": {**FILE, "mode": 0o644},
    f"{FILES}/chown": {**FILE, "owner": "root"},
}
QUERY = {**FILE, "size": "1", "upload_id": "0" * 32}  # of what is asked of files


def assert_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert problem["request_id"] == answer.headers["X-Request-Id"]
    return problem


def test_every_route_has_a_rule() -> None:
    assert len(GUARDED) >= 9
    without = [
        (method, path)
        for method, path, opt in ROUTES
        if not path.startswith(DOCUMENT)
        and not isinstance(opt.get(ACTION), Action)
        and opt.get(PUBLIC) is not True
    ]
    assert without == []


@dataclass(frozen=True, slots=True)
class Own:
    """A server of somebody's, never enrolled, and what belongs to it, by names in routes."""

    vps_id: str
    command_id: str = ABSENT
    session_id: str = "0" * 32
    cid: str = "0" * 64
    action: str = "start"
    image_id: str = "0" * 64
    series_id: str = "0"


async def added(world: World, owner: httpx.AsyncClient) -> Own:
    vps_id = (await owner.post("/vps", json={"name": "own"})).json()["id"]
    ((series_id,),) = await world.sql(
        "INSERT INTO generic_series (vps_id, name) VALUES (%(id)s, 'own') RETURNING id", id=vps_id
    )
    own = Own(vps_id, str(uuid4()), uuid4().hex, series_id=str(series_id))
    await world.sql(
        "INSERT INTO commands (id, vps_id, username, script, timeout_seconds, lost_at)"
        " VALUES (%(id)s, %(vps_id)s, 'somebody', 'true', 60, now() + interval '1 hour')",
        id=own.command_id,
        vps_id=own.vps_id,
    )
    await world.sql(
        "INSERT INTO shell_sessions (id, vps_id, user_id, username, instance, recorded)"
        " SELECT %(id)s, id, user_id, 'somebody', 'gone', true FROM vps WHERE id = %(vps_id)s",
        id=own.session_id,
        vps_id=own.vps_id,
    )
    return own


async def call(client: httpx.AsyncClient, method: str, path: str, own: Own) -> httpx.Response:
    url, body = path.removeprefix("/api/v1"), json.dumps(BODIES.get(path))
    for name, value in asdict(own).items():
        url = re.sub(rf"{{{name}:\w+}}", value, url)
        body = body.replace(f"<{name}>", value)
    query = QUERY if path.startswith(FILES) else {}
    if method not in {"POST", "PATCH", "PUT"}:
        return await client.request(method, url, params=query)
    return await client.request(
        method, url, params=query, content=body, headers={"Content-Type": "application/json"}
    )


def is_done(answer: httpx.Response) -> bool:
    """Whether the actor may; a server that never connected can be told nothing."""
    return answer.is_success or (answer.status_code == 409 and answer.json()["title"] == "Offline")


@pytest.mark.parametrize(("method", "path", "action"), GUARDED)
async def test_a_route_answers_each_role_as_its_rule_says(
    world: World, method: str, path: str, action: Action
) -> None:
    owner, other, admin = [await world.user(role) for role in ("member", "member", "admin")]
    own = await added(world, owner)

    answers = {
        "anonymous": await call(world.anonymous(), method, path, own),
        "other": await call(other, method, path, own),
        "owner": await call(owner, method, path, own),
    }
    # The owner may have removed it.
    answers["admin"] = await call(admin, method, path, await added(world, owner))

    assert_problem(answers["anonymous"], 401)
    assert is_done(answers["admin"]), answers["admin"].text
    if needs_object(action):
        assert is_done(answers["owner"]), answers["owner"].text
        absent = assert_problem(await call(other, method, path, Own(ABSENT)), 404)
        foreign = assert_problem(answers["other"], 404)
        assert {**foreign, "request_id": ""} == {**absent, "request_id": ""}
    elif action is Action.AUDIT_READ:
        assert_problem(answers["owner"], 403)
        assert_problem(answers["other"], 403)
    else:
        assert is_done(answers["owner"]), answers["owner"].text
        assert is_done(answers["other"])


async def test_a_member_lists_its_own_and_an_admin_lists_all(world: World) -> None:
    first, second, admin = [await world.user(role) for role in ("member", "member", "admin")]
    mine = (await first.post("/vps", json={"name": "mine"})).json()["id"]
    theirs = (await second.post("/vps", json={"name": "theirs"})).json()["id"]

    assert [v["id"] for v in (await first.get("/vps")).json()["items"]] == [mine]
    everything = (await admin.get("/vps", params={"limit": 1000})).json()
    assert {mine, theirs} <= {v["id"] for v in everything["items"]}


async def test_a_ticket_for_anothers_server_is_not_given(world: World) -> None:
    owner, other = await world.user("member"), await world.user("member")
    own = (await owner.post("/vps", json={"name": "own"})).json()["id"]
    for socket in ("metrics/realtime", "shell", f"docker/containers/{'a' * 64}/logs/follow"):
        wanted = {"resource": f"vps/{own}/{socket}"}
        assert (await owner.post("/ws-tickets", json=wanted)).status_code == 201
        assert_problem(await other.post("/ws-tickets", json=wanted), 404)
    for nonsense in ("vps/../x", f"vps/{own}/docker/containers/../../x/logs/follow", f"vps/{own}"):
        assert_problem(await owner.post("/ws-tickets", json={"resource": nonsense}), 422)


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


async def test_the_cookie_is_for_the_session_routes_alone_and_out_of_scripts_reach(
    world: World,
) -> None:
    name = await username_of(await world.user())
    _, answer = await login(world, name, PASSWORD, "192.0.2.4")
    (cookie,) = SimpleCookie(answer.headers["Set-Cookie"]).values()

    assert cookie.key == "flotilla_session"
    assert cookie["httponly"] is True
    assert cookie["samesite"].lower() == "strict"
    assert cookie["path"] == "/api/v1/auth"
    assert int(cookie["max-age"]) == timedelta(days=14).total_seconds()
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
    assert timedelta(minutes=15) >= credentials.ACCESS_LIFETIME
    assert UUID(payload["sub"]).version == 4


async def test_a_token_in_the_address_is_not_taken(world: World) -> None:
    token = (await world.user()).headers["Authorization"].removeprefix("Bearer ")
    for name in ("token", "access_token", "ticket"):
        assert_problem(await world.anonymous().get("/vps", params={name: token}), 401)


MALFORMED = [
    ("POST", "/auth/login", b"{", {400}),
    ("POST", "/auth/login", b'{"username": "a"}', {400, 422}),
    ("POST", "/auth/login", b'{"username": "a\\u0000", "password": "b"}', {400, 422}),
    ("POST", "/auth/login", b'{"username": "a", "password": "b", "role": "admin"}', {400, 422}),
    ("POST", "/auth/login", b"[" * 100_000, {400, 422}),
    ("POST", "/auth/login", b'{"password": "' + b"a" * 1_100_000 + b'"}', {413}),
    ("POST", "/vps", b'{"name": ""}', {400, 422}),
    ("POST", "/vps", b'{"name": " a"}', {400, 422}),
    ("POST", "/vps", b'{"name": "a\\u0000b"}', {400, 422}),
    ("POST", "/vps", b'{"name": "a\\nb"}', {400, 422}),
    ("POST", "/vps", b'{"name": "' + b"a" * 101 + b'"}', {400, 422}),
    ("GET", "/vps?limit=0", b"", {400, 422}),
    ("GET", "/vps?limit=1001", b"", {400, 422}),
    ("GET", "/vps?offset=-1", b"", {400, 422}),
    ("GET", "/vps?offset=99999999999999999999", b"", {400, 422}),
    ("GET", "/vps?search=a%00b", b"", {400, 422}),
    ("GET", "/vps/not-an-id", b"", {404}),
    ("GET", "/nothing/here", b"", {404}),
    ("DELETE", "/auth/me", b"", {405}),
    ("PUT", "/vps", b"", {405}),
]


@pytest.mark.parametrize(("method", "path", "body", "statuses"), MALFORMED)
async def test_what_is_malformed_is_a_problem_and_never_an_error(
    world: World, method: str, path: str, body: bytes, statuses: set[int]
) -> None:
    user = await world.user()
    answer = await user.request(
        method, path, content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code in statuses, answer.text
    assert_problem(answer, answer.status_code)


@pytest.mark.parametrize("path", ["/%00", "/" + "a" * 3000, "/..%2f..%2fetc/passwd", "/api/x"])
async def test_odd_addresses_of_the_console_are_not_found(world: World, path: str) -> None:
    assert_problem(await world.anonymous().get(world.http + path), 404)


async def test_every_answer_has_an_id_and_a_good_one_given_is_kept(world: World) -> None:
    async with world.anonymous() as client:
        given = await client.get("/vps", headers={"X-Request-Id": "abcd-1234"})
        odd = await client.get("/vps", headers={"X-Request-Id": "a b<script>"})
        fine = await client.get("/agent/bootstrap")

    assert given.headers["X-Request-Id"] == given.json()["request_id"] == "abcd-1234"
    assert odd.headers["X-Request-Id"] not in {"", "a b<script>"}
    assert fine.headers["X-Request-Id"]
    assert fine.headers["X-Content-Type-Options"] == "nosniff"
    assert "frame-ancestors 'none'" in fine.headers["Content-Security-Policy"]


async def test_metrics_are_for_this_machine_alone(world: World) -> None:
    async with world.anonymous() as client:
        local = await client.get(f"{world.http}/metrics")
        proxied = await client.get(
            f"{world.http}/metrics", headers={"X-Forwarded-For": "192.0.2.7"}
        )
    assert "flotilla_http_seconds" in local.text
    assert_problem(proxied, 404)


async def test_the_api_describes_itself(world: World) -> None:
    async with world.anonymous() as client:
        document = (await client.get(f"{world.http}{DOCUMENT}")).json()
        page = await client.get("/docs")
    described = {
        (method.upper(), path) for path, item in document["paths"].items() for method in item
    }
    served = {
        (method, re.sub(r":\w+}", "}", path))
        for method, path, opt in ROUTES
        if path.startswith("/api/v1/") and method != "WS" and not path.startswith(DOCUMENT)
    } - {("GET", "/api/v1/docs")}
    assert described == served
    assert "http://" not in page.text
    assert "https://" not in page.text
