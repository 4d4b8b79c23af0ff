"""Malformed requests, request ids, metrics and the API description."""

import re

import pytest

from services.gateway.api.problem_types import ProblemType
from tests.fixtures.problems import assert_problem
from tests.fixtures.routes import routes
from tests.fixtures.world import World

DOCUMENT = "/api/v1/openapi.json"


ROUTES = routes()


MALFORMED = [
    ("POST", "/auth/login", b"{", {400}),
    ("POST", "/auth/login", b'{"username": "a"}', {400, 422}),
    ("POST", "/auth/login", b'{"username": "a\\u0000", "password": "b"}', {400, 422}),
    ("POST", "/auth/login", b'{"username": "a", "password": "b", "role": "admin"}', {400, 422}),
    ("POST", "/auth/login", b"[" * 10_000, {400, 422}),
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
    ("POST", "/auth/login", b'{"\xff":1}', {400}),
    ("POST", "/auth/login", b'{"username":"\xff","password":"x"}', {400}),
    ("POST", "/vps", b'{"name": "\xc3"}', {400}),
    ("GET", "/vps?search=%ff", b"", {422}),
    ("GET", "/vps?search=a&search=b", b"", {422}),
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


@pytest.mark.parametrize("path", ["/metrics", "/readyz"])
async def test_a_name_that_another_page_chose_reads_no_state(world: World, path: str) -> None:
    port = world.http_port
    async with world.anonymous() as client:
        for host, status in {
            f"127.0.0.1:{port}": 200,
            f"[::1]:{port}": 200,
            f"localhost:{port}": 200,
            f"evil.example:{port}": 404,
            "[not-an-address": 404,
        }.items():
            answer = await client.get(f"{world.http}{path}", headers={"Host": host})
            assert answer.status_code == status, host


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


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/runs", {"GET", "POST"}),
        ("/vps/6d9f0bd0-0000-4000-8000-000000000000/files", {"GET", "DELETE"}),
        ("/auth/login", {"POST"}),
    ],
)
async def test_options_is_refused_as_other_methods_are(
    world: World, path: str, methods: set[str]
) -> None:
    answer = await world.anonymous().options(path)
    assert_problem(answer, 405, ProblemType.METHOD_NOT_ALLOWED)
    assert set(answer.headers["allow"].split(", ")) - {"HEAD"} == methods
