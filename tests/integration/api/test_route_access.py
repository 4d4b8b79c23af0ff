"""Access to every route, by role and owner."""

import json
import re
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from secrets import token_bytes, token_hex
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from litestar.routes import HTTPRoute

from services.gateway.api.problem_types import ProblemType
from services.gateway.api.query_parameters import known_parameters
from services.gateway.api.rules import ACTION, PUBLIC
from services.gateway.app import create_app
from services.kit.access import PLATFORM, SHARE_LEVELS, Action, OrganisationRole, only_object
from tests.fixtures.problems import assert_problem
from tests.fixtures.routes import routes
from tests.fixtures.world import PASSWORD, World

ABSENT = "6d9f0bd0-0000-4000-8000-000000000000"


def parameters() -> dict[tuple[str, str], set[str]]:
    """The query parameters of each route of the application, by method and path."""
    return {
        (str(method), route.path): set(known_parameters(handler, frozenset(route.path_parameters)))
        for route in create_app(None).routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        for method in handler.http_methods
    }


ROUTES = routes()
KNOWN = parameters()
# HEAD answers like GET, but without a body.
GUARDED = [
    (method, path, opt[ACTION])
    for method, path, opt in ROUTES
    if ACTION in opt and method not in {"HEAD", "WS"}
]
FILES = "/api/v1/vps/{vps_id:uuid}/files"
FILE = {"path": "/srv/f"}
MOVE = {**FILE, "destination": "/srv/g"}
FACTORS = "/api/v1/auth/factors"
RULE = {
    "name": "made",
    "metric_type": "cpu_usage",
    "comparison_operator": ">",
    "threshold": 90,
    "duration_seconds": 60,
    "scope": {"all": True},
    "organisation_id": "<organisation_id>",
}
BODIES = {
    f"{FACTORS}/totp": {"password": PASSWORD},
    f"{FACTORS}/totp/confirmation": {"code": "000000"},
    f"{FACTORS}/totp/removal": {"password": PASSWORD},
    f"{FACTORS}/recovery-codes": {"code": "000000"},
    "/api/v1/auth/me/preferences": {"clock": "24h"},
    "/api/v1/vps/{vps_id:uuid}": {"name": "renamed"},
    "/api/v1/vps": {"name": "made", "organisation_id": "<organisation_id>"},
    "/api/v1/vps/{vps_id:uuid}/traffic/settings": {"reset_day": 15},
    "/api/v1/vps/{vps_id:uuid}/traffic/corrections": {
        "month": f"{datetime.now(UTC):%Y-%m}",
        "rx": 1,
        "reason": "counted by the vendor",
    },
    "/api/v1/ws-tickets": {"resource": "fleet/realtime"},
    "/api/v1/vps/{vps_id:uuid}/docker/images/pull": {"reference": "nginx:1"},
    "/api/v1/runs": {"server_ids": ["<vps_id>"], "script": "true"},
    f"{FILES}/content": {"content": "", "version": None},
    "/api/v1/users": {"username": "<unique>", "password": PASSWORD},
    "/api/v1/users/{user_id:uuid}": {"enabled": False},
    "/api/v1/organisations": {"name": "made"},
    "/api/v1/organisations/{organisation_id:uuid}": {"name": "renamed"},
    "/api/v1/organisations/{organisation_id:uuid}/members/{user_id:uuid}": {"role": "operator"},
    "/api/v1/invitations": {
        "email": "<unique>@example.com",
        "role": "viewer",
        "organisation_id": "<organisation_id>",
    },
    "/api/v1/auth/password": {"current": "wrong", "new": PASSWORD},
    "/api/v1/tokens": {"name": "made", "scopes": ["fleet:read"]},
    "/api/v1/vps/{vps_id:uuid}/shares": {"username": "<username>", "level": "viewer"},
    "/api/v1/alerts/rules": RULE,
    "/api/v1/alerts/rules/preview": {
        **RULE,
        "start": "2026-11-26T08:00:00Z",
        "end": "2026-11-26T09:00:00Z",
    },
    "/api/v1/alerts/rules/{rule_id:uuid}": {"name": "renamed"},
    "/api/v1/alerts/channels": {
        "name": "made",
        "type": "webhook",
        "config": {"url": "https://hooks.example.com"},
        "organisation_id": "<organisation_id>",
    },
    "/api/v1/alerts/channels/{channel_id:uuid}": {"name": "renamed"},
    "/api/v1/settings/outbound": {"allowed": []},
    f"{FILES}/download-tickets": FILE,
    f"{FILES}/mkdir": FILE,
    f"{FILES}/rename": MOVE,
    f"{FILES}/copy": MOVE,
    f"{FILES}/extract": MOVE,
    f"{FILES}/archive": {**MOVE, "names": ["f"]},
    f"{FILES}/chmod": {**FILE, "mode": 0o644},
    f"{FILES}/chown": {**FILE, "owner": "root"},
}
QUERY = {**FILE, "size": "1", "upload_id": "0" * 32}  # parameters of the routes of files


def test_every_route_has_a_rule() -> None:
    assert len(GUARDED) >= 9
    without = [
        (method, path)
        for method, path, opt in ROUTES
        if not isinstance(opt.get(ACTION), Action) and opt.get(PUBLIC) is not True
    ]
    assert without == []


MEMBERS = tuple(OrganisationRole)
SHARED = tuple(f"shared {level}" for level in SHARE_LEVELS)
CAST = ("anonymous", "outsider", "platform administrator", *MEMBERS, *SHARED)


@dataclass(frozen=True, slots=True)
class Cast:
    """One client for each relation that a user can have to an organisation and its servers."""

    clients: dict[str, httpx.AsyncClient]
    ids: dict[str, str]
    outsider: str
    organisation_id: str


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def cast(world: World) -> Cast:
    owner = await world.user("member")
    clients = {
        "anonymous": world.anonymous(),
        "outsider": await world.user("member"),
        "platform administrator": await world.user("admin"),
        "owner": owner,
    }
    for role in MEMBERS[1:]:
        clients[role] = await world.colleague(owner, role)
    for name in SHARED:
        clients[name] = await world.user("member")
    accounts = {
        name: (await client.get("/auth/me")).json()
        for name, client in clients.items()
        if name != "anonymous"
    }
    return Cast(
        clients,
        {name: account["id"] for name, account in accounts.items()},
        accounts["outsider"]["username"],
        accounts["owner"]["organisations"][0]["id"],
    )


@dataclass(frozen=True, slots=True)
class Own:
    """A server of an organisation, never enrolled, and what else routes name, by their parameters."""

    vps_id: str = ABSENT
    username: str = ""
    organisation_id: str = ABSENT
    user_id: str = ABSENT
    invitation_id: str = ABSENT
    token_id: str = ABSENT
    run_id: str = ABSENT
    session_id: str = "0" * 32
    cid: str = "0" * 64
    action: str = "start"
    image_id: str = "0" * 64
    series_id: str = "0"
    rule_id: str = ABSENT
    channel_id: str = ABSENT


async def added(world: World, cast: Cast, who: str, path: str) -> Own:
    """Add a server, and whatever the path names."""
    made = await cast.clients["owner"].post("/vps", json={"name": "own"})
    vps_id = made.json()["id"]
    for name in SHARED:
        await world.sql(
            "INSERT INTO server_shares (vps_id, user_id, level) VALUES (%(v)s, %(u)s, %(l)s)",
            v=vps_id,
            u=cast.ids[name],
            l=name.split()[1],
        )
    ((series_id,),) = await world.sql(
        "INSERT INTO generic_series (vps_id, name) VALUES (%(id)s, 'own') RETURNING id", id=vps_id
    )
    own = Own(
        vps_id,
        username=cast.outsider,
        organisation_id=cast.organisation_id,
        user_id=str(uuid4()),
        invitation_id=str(uuid4()),
        token_id=str(uuid4()),
        run_id=str(uuid4()),
        session_id=uuid4().hex,
        series_id=str(series_id),
        rule_id=str(uuid4()),
        channel_id=str(uuid4()),
    )
    me = cast.ids.get(who, cast.ids["owner"])
    await world.sql(
        "INSERT INTO runs (id, username, script, timeout_seconds, status, next_position)"
        " VALUES (%(id)s, 'somebody', 'true', 60, 'cancelled', 0)",
        id=own.run_id,
    )
    await world.sql(
        "INSERT INTO run_servers (run_id, vps_id, status) VALUES (%(id)s, %(vps)s, 'cancelled')",
        id=own.run_id,
        vps=own.vps_id,
    )
    if "{session_id:uuid}" in path:
        await world.sql(
            "INSERT INTO sessions (id, user_id, secret_hash, expires_at)"
            " VALUES (%(id)s::uuid, %(me)s, %(hash)s, now() + interval '1 hour')",
            id=own.session_id,
            me=me,
            hash=token_bytes(32),
        )
    else:
        await world.sql(
            "INSERT INTO shell_sessions (id, vps_id, user_id, username, instance, recorded)"
            " VALUES (%(id)s, %(vps)s, %(owner)s, 'somebody', 'gone', true)",
            id=own.session_id,
            vps=own.vps_id,
            owner=cast.ids["owner"],
        )
    if "/shares/" in path:
        await world.sql(
            "INSERT INTO server_shares (vps_id, user_id, level) VALUES (%(v)s, %(u)s, 'viewer')",
            v=vps_id,
            u=cast.ids["outsider"],
        )
        own = replace(own, user_id=cast.ids["outsider"])
    elif "{user_id" in path:
        await world.sql(
            "WITH u AS (INSERT INTO users (id, username, password_hash, role)"
            " VALUES (%(id)s, %(name)s, '', 'member') RETURNING id)"
            " INSERT INTO memberships (organisation_id, user_id, role)"
            " SELECT %(organisation)s, id, 'viewer' FROM u",
            id=own.user_id,
            name=f"x-{token_hex(4)}",
            organisation=own.organisation_id,
        )
    if "{invitation_id" in path:
        await world.sql(
            "INSERT INTO invitations"
            " (id, organisation_id, email, role, token_hash, invited_by, expires_at)"
            " VALUES (%(id)s, %(organisation)s, %(email)s, 'viewer', %(hash)s, %(owner)s,"
            " now() + interval '1 hour')",
            id=own.invitation_id,
            organisation=own.organisation_id,
            email=f"{token_hex(4)}@example.com",
            hash=token_bytes(32),
            owner=cast.ids["owner"],
        )
    if "{rule_id" in path:
        await world.sql(
            "INSERT INTO alert_rules (id, organisation_id, name, metric_type, comparison_operator,"
            " threshold, duration_seconds, server_ids, tags, all_servers, severity, enabled)"
            " VALUES (%(id)s, %(organisation)s, 'own', 'cpu_usage', '>', 90, 60, '{}', '{}', true,"
            " 'info', false)",
            id=own.rule_id,
            organisation=own.organisation_id,
        )
    if "{channel_id" in path:
        await world.sql(
            "INSERT INTO alert_channels (id, organisation_id, name, type, target, config)"
            " VALUES (%(id)s, %(organisation)s, 'own', 'webhook', 'example.com', %(config)s)",
            id=own.channel_id,
            organisation=own.organisation_id,
            config=b"\x01" + token_bytes(60),
        )
    if "{token_id" in path:
        await world.sql(
            "INSERT INTO api_tokens (id, user_id, name, secret_hash, scopes, expires_at)"
            " VALUES (%(id)s, %(me)s, 'own', %(hash)s, '{}', now() + interval '1 hour')",
            id=own.token_id,
            me=me,
            hash=token_bytes(32),
        )
    return own


def address(path: str, own: Own) -> str:
    url = path.removeprefix("/api/v1")
    for name, value in asdict(own).items():
        url = re.sub(rf"{{{name}:\w+}}", value, url)
    return url


async def call(client: httpx.AsyncClient, method: str, path: str, own: Own) -> httpx.Response:
    url, body = address(path, own), json.dumps(BODIES.get(path))
    for name, value in {**asdict(own), "unique": f"x-{token_hex(4)}"}.items():
        body = body.replace(f"<{name}>", value)
    query = {name: QUERY[name] for name in KNOWN[method, path] if name in QUERY}
    if method not in {"POST", "PATCH", "PUT"}:
        return await client.request(method, url, params=query)
    return await client.request(
        method, url, params=query, content=body, headers={"Content-Type": "application/json"}
    )


def is_done(answer: httpx.Response) -> bool:
    """Tell whether the actor was allowed.

    The server never connected, the run has ended, and the account has no second factor.
    """
    return (
        answer.is_success
        or answer.json()["type"]
        in {
            ProblemType.AGENT_OFFLINE,
            ProblemType.ALREADY_ENDED,
            ProblemType.STILL_NEEDED,
            ProblemType.WRONG_CREDENTIALS,
        }
        or (answer.status_code == 422 and answer.request.url.path.startswith(FACTORS))
    )


# The least role for each action on a server or an organisation, as in the table of the manual.
LEAST = {
    "viewer": {"vps.read", "metrics.read", "traffic.read", "command.read", "docker.read"}
    | {"organisation.read", "alert.read"},
    "operator": {"command.run", "docker.act", "files.read", "files.write"}
    | {"shell.read", "shell.open", "alert.write"},
    "admin": {"vps.create", "vps.update", "vps.delete", "vps.enrol", "vps.share"}
    | {"traffic.update", "traffic.correct", "organisation.update", "member.update"}
    | {"channel.write"},
    "owner": {"organisation.delete"},
}
ASCENDING = ["viewer", "operator", "admin", "owner"]


def outcome(who: str, method: str, path: str, action: Action) -> int | None:
    """Return the status of a refusal, or None if the caller may."""
    if who == "anonymous":
        return 401
    if only_object(action) is PLATFORM:
        return None if who == "platform administrator" else 403
    if only_object(action) is not None:
        return None
    least = next(role for role, actions in LEAST.items() if action in actions)
    if method == "DELETE" and path.endswith("/members/{user_id:uuid}"):
        least = "admin"  # of others; every member may leave
    is_of_organisation = action in {"vps.create", "member.update"} or action.startswith(
        ("organisation.", "alert.", "channel.")
    )
    role = who.removeprefix("shared ")
    if role not in ASCENDING or (is_of_organisation and who in SHARED):
        return 404
    is_terminal = "{session_id:str}" in path
    if is_terminal:
        least = "admin"  # the owner of the organisation opened it
    may = ASCENDING.index(role) >= ASCENDING.index(least)
    if may:
        return None
    return 403 if is_of_organisation else 404


@pytest.mark.parametrize(("method", "path", "action"), GUARDED)
async def test_a_route_answers_each_role_as_its_rule_says(
    world: World, cast: Cast, method: str, path: str, action: Action
) -> None:
    for who in CAST:
        client = cast.clients[who]
        own = await added(world, cast, who, path)
        answer = await call(client, method, path, own)
        refusal = outcome(who, method, path, action)
        if refusal is None:
            assert is_done(answer), (who, answer.text)
            continue
        foreign = assert_problem(answer, refusal)
        if refusal == 404:
            # Nothing tells whether the object exists.
            absent = assert_problem(await call(client, method, path, Own()), 404)
            told = json.dumps({**foreign, "request_id": ""})
            for name in ("vps_id", "organisation_id"):
                told = told.replace(getattr(own, name), ABSENT)
            assert json.loads(told) == {**absent, "request_id": ""}, who


async def test_no_route_accepts_a_query_parameter_twice(world: World, cast: Cast) -> None:
    """Otherwise, the check of a right and the handler could read two different values."""
    admin = await world.user("admin")
    own = await added(world, cast, "owner", "")
    asked = [route for route in GUARDED if KNOWN[route[:2]]]
    assert len(asked) > 20
    for method, path, _ in asked:
        names = sorted(KNOWN[method, path])
        url = address(path, own) + "?" + "&".join(f"{name}=1&{name}=2" for name in names)
        problem = assert_problem(await admin.request(method, url), 422)
        assert {error["field"] for error in problem["errors"]} >= set(names), (method, path)


async def test_a_list_has_the_servers_that_one_may_see(world: World, cast: Cast) -> None:
    own = await added(world, cast, "owner", "")
    for who in CAST[1:]:
        listed = (await cast.clients[who].get("/vps", params={"limit": 1000})).json()["items"]
        shown = (await cast.clients[who].get("/fleet/overview", params={"limit": 1000})).text
        sees = who in MEMBERS or who in SHARED
        assert (own.vps_id in {one["id"] for one in listed}) is sees, who
        assert (own.vps_id in shown) is sees, who


@pytest.mark.parametrize(
    ("resource", "least"), [("metrics/realtime", "viewer"), ("shell", "operator")]
)
async def test_a_ticket_is_for_a_socket_that_one_may_open(
    world: World, cast: Cast, resource: str, least: str
) -> None:
    own = await added(world, cast, "owner", "")
    asked = {"resource": f"vps/{own.vps_id}/{resource}"}
    for who in CAST[1:]:
        answer = await cast.clients[who].post("/ws-tickets", json=asked)
        role = who.removeprefix("shared ")
        if role in ASCENDING and ASCENDING.index(role) >= ASCENDING.index(least):
            assert answer.status_code == 201, who
        else:
            assert_problem(answer, 404)


async def test_an_expired_share_gives_nothing(world: World, cast: Cast) -> None:
    own = await added(world, cast, "owner", "")
    client = cast.clients[SHARED[0]]
    assert (await client.get(f"/vps/{own.vps_id}")).status_code == 200
    await world.sql(
        "UPDATE server_shares SET expires_at = now() WHERE vps_id = %(id)s", id=own.vps_id
    )
    assert_problem(await client.get(f"/vps/{own.vps_id}"), 404)
    assert own.vps_id not in (await client.get("/vps")).text
