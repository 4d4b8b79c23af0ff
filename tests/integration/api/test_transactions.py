"""A request has one transaction, which is committed before its answer is sent."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
import psycopg
import pytest_asyncio
from litestar import Litestar, Request, post
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from structlog.testing import capture_logs

from services.gateway.api import errors, problems, transaction
from services.gateway.api.problem_types import ProblemType
from services.gateway.api.request_audit import NOT_DONE, UseAudit, provide_audit
from services.gateway.api.rules import ACTION
from services.gateway.api.transaction import UseConnection, after_commit
from services.kit.access import Action
from services.kit.bus.audit import AuditLog
from services.kit.database import pool as database
from services.kit.errors import TransientError
from services.kit.health import Health
from services.kit.settings import DatabaseSettings

INSERT = "INSERT INTO users (username, password_hash, role) VALUES ('new', 'x', 'member')"
Handled = Request[Any, Any, Any]


@post("/insert", opt={ACTION: Action.VPS_CREATE})
async def insert(db: UseConnection, audit: UseAudit) -> None:
    await db.execute(INSERT)
    audit.done("user:new")


@post("/refuse", opt={ACTION: Action.VPS_CREATE})
async def refuse(db: UseConnection, audit: UseAudit) -> None:
    await db.execute(INSERT)
    audit.done("user:new")
    raise errors.invalid("It is wrong.")


@post("/fail")
async def fail(db: UseConnection) -> None:
    await db.execute(INSERT)
    raise ZeroDivisionError


@post("/dangle")
async def dangle(db: UseConnection) -> None:
    await db.execute(
        "INSERT INTO ws_tickets (secret_hash, user_id, session_id, resource, expires_at)"
        " VALUES ('a', gen_random_uuid(), gen_random_uuid(), 'fleet/realtime', now())"
    )


@post("/callback", opt={ACTION: Action.VPS_CREATE})
async def callback(request: Handled, db: UseConnection) -> None:
    async def bus_is_away() -> None:
        raise TransientError("the bus is away")

    await db.execute(INSERT)
    after_commit(request.scope, bus_is_away)


@post("/lose-before-commit", opt={ACTION: Action.VPS_CREATE})
async def lose_before_commit(request: Handled, db: UseConnection, audit: UseAudit) -> None:
    await db.execute(INSERT)
    audit.done("user:new")
    after_commit(request.scope, partial(request.app.state.called.append, "after commit"))
    await _cut(request, db)


@post("/lose-before-query")
async def lose_before_query(request: Handled, db: UseConnection) -> None:
    await _cut(request, db)
    await db.execute(INSERT)


@post("/write-in-snapshot", dependencies={"db": Provide(transaction.open_snapshot)})
async def write_in_snapshot(db: UseConnection) -> None:
    await db.execute(INSERT)


async def provide_failing(db: UseConnection) -> int:
    await db.execute(INSERT)
    raise errors.not_found()


@post("/failing-dependency", dependencies={"failing": Provide(provide_failing)})
async def failing_dependency(db: UseConnection, failing: NamedDependency[int]) -> None:
    raise AssertionError((db, failing))


async def keep(error: Exception, scope: Scope) -> None:
    """Keep an error, and with it its stack frames, as a debugger or a logger may."""
    scope["litestar_app"].state.errors.append(error)


async def _cut(request: Handled, db: database.Connection) -> None:
    """Close the connection of the request at the server."""
    (pid,) = await (await db.execute("SELECT pg_backend_pid()")).fetchone() or (0,)
    async with await psycopg.AsyncConnection.connect(
        request.app.state.url, autocommit=True
    ) as connection:
        await connection.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])


class StoringBus:
    """A bus that stores what it is given, or nothing."""

    def __init__(self) -> None:
        self.is_full = False
        self.after_store: Callable[[], Awaitable[None]] | None = None

    def require(self) -> None:
        pass

    async def store(self, *_: object, **__: object) -> None:
        if self.is_full:
            raise TransientError("the stream is full")
        if self.after_store is not None:
            await self.after_store()


@dataclass
class Gateway:
    app: Litestar
    client: httpx.AsyncClient
    url: str
    bus: "StoringBus"

    async def users(self) -> int:
        async with await psycopg.AsyncConnection.connect(self.url) as connection:
            cursor = await connection.execute("SELECT count(*) FROM users WHERE username = 'new'")
            (count,) = await cursor.fetchone() or (0,)
            return int(count)


@pytest_asyncio.fixture(loop_scope="session")
async def gateway(database_url: str) -> AsyncIterator[Gateway]:
    """An application with one connection to its database."""
    settings = DatabaseSettings(database_url=database_url)  # type: ignore[arg-type]
    bus = StoringBus()
    async with database.open_pool(settings, Health("gateway"), size=1) as pool:
        app = Litestar(
            [
                insert,
                refuse,
                fail,
                dangle,
                callback,
                lose_before_commit,
                lose_before_query,
                write_in_snapshot,
                failing_dependency,
            ],
            dependencies={
                "db": Provide(transaction.open_transaction),
                "audit": Provide(provide_audit, sync_to_thread=False),
            },
            exception_handlers=problems.HANDLERS,
            after_exception=[keep, transaction.roll_back],
            state=State(
                {
                    "pool": pool,
                    "audit_log": AuditLog(bus),  # type: ignore[arg-type]
                    "url": database_url,
                    "called": [],
                    "errors": [],
                }
            ),
            logging_config=None,
            openapi_config=None,
        )
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            yield Gateway(app, client, database_url, bus)


async def test_the_commit_comes_before_the_answer(gateway: Gateway) -> None:
    seen: list[int] = []

    def watched(app: ASGIApp) -> ASGIApp:
        async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
            async def look(message: Message) -> None:
                if message["type"] == "http.response.start":
                    seen.append(await gateway.users())
                await send(message)

            await app(scope, receive, look)

        return middleware

    transport = httpx.ASGITransport(watched(gateway.app))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        assert (await client.post("/insert")).status_code == 201
    assert seen == [1]


async def test_what_was_done_is_audited_once_it_is_committed(gateway: Gateway) -> None:
    with capture_logs() as logs:
        await gateway.client.post("/insert")
    entries = [entry for entry in logs if entry["event"] == "allowed"]
    assert [(entry["action"], entry["object"]) for entry in entries] == [("vps.create", "user:new")]


async def test_a_change_that_another_request_overtook_is_refused(gateway: Gateway) -> None:
    assert (await gateway.client.post("/insert")).status_code == 201
    answer = await gateway.client.post("/insert")
    assert (answer.status_code, answer.json()["type"]) == (409, ProblemType.ALREADY_EXISTS)
    answer = await gateway.client.post("/dangle")
    assert (answer.status_code, answer.json()["type"]) == (404, ProblemType.NOT_FOUND)


async def test_without_an_entry_nothing_is_committed(gateway: Gateway) -> None:
    gateway.bus.is_full = True
    answer = await gateway.client.post("/insert")
    assert (answer.status_code, answer.json()["type"]) == (503, ProblemType.AUDIT_UNAVAILABLE)
    assert await gateway.users() == 0
    gateway.bus.is_full = False
    assert (await gateway.client.post("/insert")).status_code == 201


async def test_a_commit_that_fails_after_the_entry_has_an_entry_of_its_own(
    gateway: Gateway,
) -> None:
    async def cut() -> None:
        async with await psycopg.AsyncConnection.connect(
            gateway.url, autocommit=True
        ) as connection:
            await connection.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    gateway.bus.after_store = cut
    with capture_logs() as logs:
        answer = await gateway.client.post("/insert")
    assert answer.status_code == 503
    assert await gateway.users() == 0
    entries = [entry["reason"] for entry in logs if entry["event"] == "allowed"]
    assert entries == ["", NOT_DONE]


async def test_a_refusal_rolls_back_and_leaves_no_entry_of_a_success(gateway: Gateway) -> None:
    with capture_logs() as logs:
        answer = await gateway.client.post("/refuse")
    assert answer.json()["type"] == ProblemType.VALIDATION
    assert await gateway.users() == 0
    assert [entry for entry in logs if entry["event"] == "allowed"] == []


async def test_an_unexpected_error_rolls_back(gateway: Gateway) -> None:
    answer = await gateway.client.post("/fail")
    assert answer.json()["type"] == ProblemType.INTERNAL_ERROR
    assert await gateway.users() == 0


async def test_a_commit_that_fails_is_a_problem_and_no_success(gateway: Gateway) -> None:
    with capture_logs() as logs:
        answer = await gateway.client.post("/lose-before-commit")
    assert (answer.status_code, answer.json()["type"]) == (
        503,
        ProblemType.DEPENDENCY_UNAVAILABLE,
    )
    assert gateway.app.state.called == []
    assert [entry for entry in logs if entry["event"] == "allowed"] == []
    assert await gateway.users() == 0


async def test_a_database_that_goes_away_under_a_handler_is_a_problem(gateway: Gateway) -> None:
    answer = await gateway.client.post("/lose-before-query")
    assert (answer.status_code, answer.json()["type"]) == (
        503,
        ProblemType.DEPENDENCY_UNAVAILABLE,
    )


async def test_work_that_fails_after_the_commit_does_not_change_the_answer(
    gateway: Gateway,
) -> None:
    assert (await gateway.client.post("/callback")).status_code == 201
    assert await gateway.users() == 1


async def test_a_dependency_that_fails_gives_the_connection_back_at_once(
    gateway: Gateway,
) -> None:
    # The pool has one connection.
    for _ in range(3):
        async with asyncio.timeout(5):
            answer = await gateway.client.post("/failing-dependency")
        assert answer.json()["type"] == ProblemType.NOT_FOUND
    assert await gateway.users() == 0


async def test_a_snapshot_is_read_only(gateway: Gateway) -> None:
    answer = await gateway.client.post("/write-in-snapshot")
    assert answer.status_code == 503
    assert await gateway.users() == 0
