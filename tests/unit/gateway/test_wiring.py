"""Declarations that every handler needs, and calls that no handler may contain."""

import inspect
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from litestar import Litestar, Router, get, websocket
from litestar.datastructures import State
from litestar.di import Provide
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler, WebsocketRouteHandler
from litestar.routes import HTTPRoute, WebSocketRoute

from services.gateway.api import problems
from services.gateway.api.problem_types import ProblemType
from services.gateway.api.route_guard import check_route
from services.gateway.api.rules import ACTION, PUBLIC, TICKET
from services.gateway.api.socket_problems import answer_problems, remember
from services.gateway.app import create_app
from services.gateway.realtime.admission import Socket
from services.gateway.servers.access import (
    provide_locked_server,
    provide_server,
    provide_server_of_transaction,
)
from services.kit.access import Action
from services.kit.bus.audit import AuditLog


def handlers() -> Iterator[tuple[str, BaseRouteHandler]]:
    for route in create_app(None).routes:
        if isinstance(route, HTTPRoute):
            for handler in route.route_handlers:
                if set(handler.http_methods) != {"OPTIONS"}:
                    yield route.path, handler
        elif isinstance(route, WebSocketRoute):
            yield route.path, route.route_handler


HANDLERS = sorted(
    (
        pytest.param(handler, id=f"{type(handler).__name__[:4]} {path} {handler.handler_name}")
        for path, handler in handlers()
    ),
    # Every process of a parallel run must collect the same order.
    key=lambda parameter: str(parameter.id),
)


def needed(handler: BaseRouteHandler) -> dict[str, Provide]:
    """Return the dependencies of a handler, with those that they have themselves."""
    provided = handler.resolve_dependencies()
    found: dict[str, Provide] = {}
    names = list(handler.parsed_fn_signature.parameters)
    while names:
        name = names.pop()
        if name in provided and name not in found:
            found[name] = provided[name]
            names += provided[name].parsed_fn_signature.parameters
    return found


@pytest.mark.parametrize("handler", HANDLERS)
def test_a_route_has_a_rule(handler: BaseRouteHandler) -> None:
    is_public = handler.opt.get(PUBLIC) is True
    assert is_public != isinstance(handler.opt.get(ACTION), Action)


@pytest.mark.parametrize("handler", HANDLERS)
def test_a_socket_is_opened_with_a_ticket(handler: BaseRouteHandler) -> None:
    if isinstance(handler, WebsocketRouteHandler):
        assert callable(handler.opt[TICKET])


@pytest.mark.parametrize("handler", HANDLERS)
def test_a_handler_that_waits_for_an_agent_or_a_viewer_holds_no_connection(
    handler: BaseRouteHandler,
) -> None:
    dependencies = needed(handler)
    if "db" in dependencies:
        assert "agent" not in dependencies
        assert isinstance(handler, HTTPRouteHandler)


@pytest.mark.parametrize("handler", HANDLERS)
def test_a_handler_with_a_transaction_finds_its_server_in_it(handler: BaseRouteHandler) -> None:
    dependencies = needed(handler)
    if "server" not in dependencies:
        return
    provider: Any = dependencies["server"].dependency
    takes_db = "db" in handler.parsed_fn_signature.parameters
    # A second connection, taken while the first is held, can make requests wait for each other.
    in_transaction = {provide_server_of_transaction, provide_locked_server}
    if takes_db or provider is not provide_server:
        assert provider in in_transaction


@pytest.mark.parametrize("handler", HANDLERS)
def test_no_handler_opens_a_transaction_or_writes_to_the_audit_log_by_hand(
    handler: BaseRouteHandler,
) -> None:
    source = inspect.getsource(inspect.unwrap(handler.fn))
    assert "transaction(" not in source
    assert "audit_log" not in source


@get("/forgotten")
async def forgotten() -> str:
    return "open"


@get("/misspelt", opt={ACTION: "vps.read"})
async def misspelt() -> str:
    return "open"


@websocket("/socket")
async def forgotten_socket(socket: Socket) -> None:
    await socket.accept()


def lax() -> Litestar:
    """An application whose routes have no rule."""
    return Litestar(
        [Router("/", route_handlers=[forgotten, misspelt, forgotten_socket])],
        guards=[check_route],
        exception_handlers=problems.HANDLERS,
        after_exception=[remember],
        state=State({"audit_log": AuditLog(None)}),  # type: ignore[arg-type]
        logging_config=None,
        openapi_config=None,
    )


@pytest.mark.parametrize("path", ["/forgotten", "/misspelt"])
async def test_a_route_without_a_rule_is_refused(path: str) -> None:
    transport = httpx.ASGITransport(lax())  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        answer = await client.get(path)
    assert (answer.status_code, answer.json()["type"]) == (403, ProblemType.FORBIDDEN)


async def test_a_socket_without_a_rule_is_refused_before_the_upgrade() -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope: Any = {
        "type": "websocket",
        "path": "/socket",
        "query_string": b"",
        "headers": [],
        "state": {},
    }
    await answer_problems(lax())(scope, receive, send)
    assert [message["type"] for message in sent] == [
        "websocket.http.response.start",
        "websocket.http.response.body",
    ]
    assert sent[0]["status"] == 403
