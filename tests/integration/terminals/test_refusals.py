"""Refusals: of access to a terminal, and of frames in it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest
from websockets.typing import Origin

from flotilla.v1.shell_pb2 import (
    ShellAnswer,
    ShellAttach,
    ShellClose,
    ShellControl,
    ShellDetach,
    ShellInput,
    ShellRefusal,
    ShellUser,
)
from services.gateway.api.problem_types import ProblemType
from services.gateway.settings import GatewaySettings
from services.kit.agents.commands import Signer
from services.kit.agents.request_signing import SigningBus
from services.kit.bus import connection as bus
from services.kit.bus import subjects
from tests.fixtures.terminal_agent import TerminalAgent, refused_by_policy
from tests.fixtures.terminals import (
    refused,
    screen,
    session_of,
    shell_url,
    terminal_agent,
)
from tests.fixtures.waiting import until
from tests.fixtures.world import World


async def test_a_socket_needs_a_ticket_for_it_and_its_own_origin(
    world: World, user: httpx.AsyncClient, agent: TerminalAgent
) -> None:
    path = f"{world.ws}/vps/{agent.vps_id}/shell"
    other = await user.post(
        "/ws-tickets", json={"resource": f"vps/{agent.vps_id}/metrics/realtime"}
    )
    url = await shell_url(world.ws, user, agent.vps_id)

    assert (await refused(path))[0] == 401
    assert (await refused(f"{path}?ticket={other.json()['ticket']}"))[0] == 401
    assert (await refused(url, origin=Origin("https://evil.example")))[0] == 403
    async with screen(world.ws, user, agent.vps_id):
        pass
    assert not (await refused(path))[1].keys() - {
        *("type", "title", "status", "detail", "request_id")
    }


async def test_somebody_elses_terminal_does_not_exist(
    world: World, user: httpx.AsyncClient, agent: TerminalAgent
) -> None:
    other = await world.user("member")
    others_agent = await terminal_agent(world, other)
    async with screen(world.ws, user, agent.vps_id) as terminal:
        session = await session_of(terminal)
        ticket = await other.post("/ws-tickets", json={"resource": f"vps/{agent.vps_id}/shell"})
        for query in ({"session": session}, {"session": session, "observe": 1}):
            url = await shell_url(world.ws, other, others_agent.vps_id, **query)
            foreign = await refused(url)
            url = await shell_url(
                world.ws, other, others_agent.vps_id, **{**query, "session": "0" * 32}
            )
            absent = await refused(url)
            assert (foreign[0], absent[0]) == (404, 404)
            assert {**foreign[1], "request_id": ""} == {**absent[1], "request_id": ""}
        ends = await other.delete(f"/shell-sessions/{session}")
        recording = await other.get(f"/shell-sessions/{session}/recording")
        theirs = await other.get("/shell-sessions")
        await terminal.type(b"still here")
        await until(lambda: next(iter(agent.ptys.values())).typed == b"still here")

    assert ticket.status_code == 404
    entries = await all_noted(world, other, agent)
    assert {entry["action"] for entry in entries} <= {"shell.open", "shell.read"}
    assert ends.status_code == recording.status_code == 404
    assert theirs.json() == {"items": [], "total": 0}
    entries = await all_noted(world, other, others_agent)
    assert session in {entry["detail"] for entry in entries}
    await others_agent.close()


async def test_an_administrator_watches_and_ends_but_never_types(
    world: World, user: httpx.AsyncClient, agent: TerminalAgent
) -> None:
    admin = await world.colleague(user, "admin")
    async with screen(world.ws, user, agent.vps_id) as terminal:
        session = await session_of(terminal)
        url = await shell_url(world.ws, admin, agent.vps_id, session=session)
        assert (await refused(url))[0] == 403
        async with screen(world.ws, admin, agent.vps_id, session=session, observe=1) as watcher:
            await watcher.frame(type="ready", role="observer")
            viewers = await terminal.frame(type="viewers")
            assert viewers["viewers"]
            await watcher.type(b"x")
            await watcher.frame(type="error")
            assert (await admin.delete(f"/shell-sessions/{session}")).status_code == 204
            await terminal.frame(type="exit", reason="the terminal was closed")
    assert not next(iter(agent.ptys.values())).typed


async def test_the_relay_itself_compares_who_asks(
    world: World, user: httpx.AsyncClient, agent: TerminalAgent
) -> None:
    other = ShellUser(id=str(uuid4()), username="other")
    admin = ShellUser(id=str(uuid4()), username="admin", oversees=True)
    async with screen(world.ws, user, agent.vps_id) as terminal, gateway_bus(world) as sealed:
        subject = subjects.shell_control(await session_of(terminal))
        attach = ShellAttach(columns=80, rows=24)
        for control in (
            ShellControl(attachment_id="a", user=other, attach=attach),
            ShellControl(attachment_id="a", user=other, attach=ShellAttach(observe=True)),
            ShellControl(attachment_id="a", user=other, close=ShellClose()),
            ShellControl(attachment_id="a", user=admin, attach=attach),
            ShellControl(attachment_id="a", user=admin, input=ShellInput(data=b"x")),
            ShellControl(attachment_id="a", close=ShellClose()),
        ):
            answer = await sealed.request(subject, control, ShellAnswer)
            assert answer.refusal.kind == ShellRefusal.KIND_FORBIDDEN, control
        watch = ShellControl(attachment_id="a", user=admin, attach=ShellAttach(observe=True))
        assert not (await sealed.request(subject, watch, ShellAnswer)).HasField("refusal")
        # The owner of the session must not use the attachment of another user either.
        owner = ShellUser(id=(await user.get("/auth/me")).json()["id"], username="x")
        theirs = ShellControl(attachment_id="a", user=owner, detach=ShellDetach())
        answer = await sealed.request(subject, theirs, ShellAnswer)
        assert answer.refusal.kind == ShellRefusal.KIND_FORBIDDEN
    assert not next(iter(agent.ptys.values())).typed


@asynccontextmanager
async def gateway_bus(world: World) -> AsyncIterator[SigningBus]:
    """The signing bus of a gateway."""
    settings: GatewaySettings = world.settings(GatewaySettings)
    password = settings.nats_gateway_password
    async with bus.connect(settings, subjects.User.GATEWAY, password, name="test") as connection:
        yield SigningBus(connection, Signer.of(settings.command_key))


async def test_an_offline_server_is_told_at_once(
    world: World, user: httpx.AsyncClient, agent: TerminalAgent
) -> None:
    await agent.offline()

    async def look() -> tuple[int, dict[str, Any]] | None:
        answer = await refused(await shell_url(world.ws, user, agent.vps_id))
        return answer if answer[0] == 409 else None

    _, problem = await until(look, otherwise="it was not refused as offline")
    assert problem["type"] == ProblemType.AGENT_OFFLINE
    assert (await user.get("/shell-sessions")).json()["total"] == 0
    assert (await noted(world, user, agent))["reason"] == problem["detail"]


async def test_a_power_that_is_off_is_told_with_its_reason(
    world: World, user: httpx.AsyncClient
) -> None:
    agent = await terminal_agent(world, user)
    agent.shell = False
    await agent.online()
    await until(lambda: _powers(user, agent.vps_id), otherwise="the powers were not told")
    status, problem = await refused(await shell_url(world.ws, user, agent.vps_id))
    await agent.close()

    assert status == 403
    assert "shell" in problem["detail"]
    assert not agent.commands
    assert (await noted(world, user, agent))["reason"] == problem["detail"]


async def _powers(user: httpx.AsyncClient, vps_id: str) -> Any:
    return (await user.get(f"/vps/{vps_id}")).json()["powers"]


async def test_an_agents_own_refusal_is_passed_on_and_leaves_nothing(
    world: World, user: httpx.AsyncClient, agent: TerminalAgent
) -> None:
    agent.refusal = refused_by_policy()
    status, problem = await refused(await shell_url(world.ws, user, agent.vps_id))

    assert (status, problem["type"]) == (403, ProblemType.AGENT_FORBIDDEN)
    assert problem["detail"] == agent.refusal.reason
    assert (await noted(world, user, agent))["reason"] == problem["detail"]
    assert (await user.get(f"/vps/{agent.vps_id}/shell-sessions")).json()["total"] == 0


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"columns": 0, "rows": 0}, 422),
        ({"columns": 65535, "rows": 65535}, 422),
        ({"columns": "-1"}, 422),
        ({"columns": "a"}, 422),
        ({"container": "../../etc"}, 422),
        ({"observe": 1}, 422),
        ({"session": "../../x"}, 404),
        ({"session": "0" * 32}, 404),
    ],
)
async def test_an_odd_query_is_refused_before_the_upgrade(
    world: World, user: httpx.AsyncClient, agent: TerminalAgent, query: dict[str, Any], status: int
) -> None:
    url = await shell_url(world.ws, user, agent.vps_id, **query)
    assert (await refused(url))[0] == status
    assert not agent.commands
    entry = await noted(world, user, agent)
    assert entry["action"] in {"shell.open", "shell.attach"}
    assert str(next(iter(query.values()))) in entry["detail"]


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"resize","columns":0,"rows":0}',
        '{"type":"resize","columns":65535,"rows":65535}',
        '{"type":"resize","columns":80}',
        '{"type":"credit","offset":-1}',
        '{"type":"credit","offset":1000000000000}',
        '{"type":"reboot"}',
        "[" * 5000,
        "no JSON",
        "",
    ],
)
async def test_an_odd_frame_is_answered_and_ignored(
    world: World, user: httpx.AsyncClient, agent: TerminalAgent, text: str
) -> None:
    async with screen(world.ws, user, agent.vps_id) as terminal:
        await terminal.socket.send(text)
        await terminal.socket.send(text)
        await terminal.frame(type="error")
        await terminal.say(type="resize", columns=90, rows=20)
        await terminal.frame(type="resize", columns=90, rows=20)
        pty = await agent.pty()
        await until(lambda: pty.sizes == [(90, 20)])
        session = await session_of(terminal)
    entry = await noted(world, user, agent)  # one entry, although the frame was sent twice
    assert (entry["action"], entry["detail"]) == ("shell.say", session)


async def noted(world: World, user: httpx.AsyncClient, agent: TerminalAgent) -> dict[str, Any]:
    """Return the only refusal of the user on the agent's server."""
    (entry,) = await all_noted(world, user, agent)
    return entry


async def all_noted(
    world: World, user: httpx.AsyncClient, agent: TerminalAgent
) -> list[dict[str, Any]]:
    """Wait for refusals of the user on the agent's server; return them."""
    me = (await user.get("/auth/me")).json()["id"]

    async def look() -> Any:
        rows = await world.sql(
            "SELECT to_jsonb(a) FROM audit_entries a WHERE actor = %(a)s AND object = %(o)s"
            " AND NOT allowed",
            a=f"user:{me}",
            o=f"vps:{agent.vps_id}",
        )
        return [entry for (entry,) in rows] or None

    found: list[dict[str, Any]] = await until(look, otherwise="no refusal was noted")
    return found


async def test_a_terminal_closes_when_its_log_in_ends(
    world: World, user: httpx.AsyncClient, agent: TerminalAgent
) -> None:
    admin = await world.colleague(user, "admin")
    async with screen(world.ws, admin, agent.vps_id) as terminal:
        await terminal.frame(type="ready")
        await admin.post("/auth/logout")
        assert await terminal.ended() == 4401
