"""Live data over WebSockets: tickets, samples and statuses."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import psycopg
import pytest
import websockets
from websockets.asyncio.client import ClientConnection
from websockets.typing import Origin

from flotilla.v1.agent_pb2 import BatchAck
from services.gateway.timing import GatewayTiming
from services.kit.agents.presence import PresenceTiming
from tests.fixtures.claims import free_port
from tests.fixtures.scripted_agent import ScriptedAgent, now_ms, snapshot
from tests.fixtures.world import World

FLEET = "fleet/realtime"


async def ticket(client: httpx.AsyncClient, resource: str) -> str:
    answer = await client.post("/ws-tickets", json={"resource": resource})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["ticket"])


@asynccontextmanager
async def watching(
    world: World, client: httpx.AsyncClient, resource: str
) -> AsyncIterator[ClientConnection]:
    url = f"{world.ws}/{resource}?ticket={await ticket(client, resource)}"
    async with websockets.connect(url) as socket:
        yield socket


async def message(socket: ClientConnection, **wanted: Any) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while True:
            told: dict[str, Any] = json.loads(await socket.recv())
            if wanted.items() <= told.items():
                return told


async def _drained(socket: ClientConnection) -> None:
    with suppress(websockets.ConnectionClosed):
        async for _ in socket:
            pass


async def refused(url: str, **options: Any) -> int:
    with pytest.raises(websockets.InvalidStatus) as raised:
        async with websockets.connect(url, **options):
            pass
    return raised.value.response.status_code


async def test_a_ticket_opens_once_and_only_what_it_is_for(world: World) -> None:
    user = await world.user("member")
    made = (await user.post("/vps", json={"name": "a"})).json()["id"]
    own = f"vps/{made}/metrics/realtime"
    good = await ticket(user, FLEET)

    assert await refused(f"{world.ws}/{own}?ticket={good}") == 401
    async with websockets.connect(f"{world.ws}/{FLEET}?ticket={good}"):
        pass
    assert await refused(f"{world.ws}/{FLEET}?ticket={good}") == 401
    assert await refused(f"{world.ws}/{FLEET}") == 401
    expired = await ticket(user, FLEET)
    await world.sql("UPDATE ws_tickets SET expires_at = now() - interval '1 s'")
    assert await refused(f"{world.ws}/{FLEET}?ticket={expired}") == 401


async def test_a_session_that_ends_during_the_request_gets_no_ticket(world: World) -> None:
    user = await world.user("member")
    async with await psycopg.AsyncConnection.connect(world.database_url) as connection:
        # The request waits for this deletion after it was authenticated.
        await connection.execute(
            "DELETE FROM sessions WHERE user_id = (SELECT id FROM users WHERE username = %s)",
            [(await user.get("/auth/me")).json()["username"]],
        )
        asked = asyncio.create_task(user.post("/ws-tickets", json={"resource": FLEET}))
        await asyncio.sleep(0.5)
        assert not asked.done()
    answer = await asked
    assert (answer.status_code, answer.json()["type"]) == (401, "/problems/unauthenticated")


async def test_a_foreign_page_cannot_open_a_socket(world: World) -> None:
    user = await world.user()
    url = f"{world.ws}/{FLEET}?ticket={await ticket(user, FLEET)}"

    assert await refused(url, origin=Origin("https://evil.example")) == 403
    async with websockets.connect(url, origin=Origin(world.http)):
        pass


async def test_a_socket_closes_when_its_session_ends(world: World) -> None:
    user = await world.user()
    async with watching(world, user, FLEET) as socket:
        await user.post("/auth/logout")
        async with asyncio.timeout(10):
            await _drained(socket)
    assert socket.close_code == 4401


async def test_a_demoted_users_socket_closes(world: World) -> None:
    user = await world.user("admin")
    name = (await user.get("/auth/me")).json()["username"]
    async with watching(world, user, FLEET) as socket:
        await world.sql("UPDATE users SET role = 'member' WHERE username = %(n)s", n=name)
        async with asyncio.timeout(10):
            await _drained(socket)
    assert socket.close_code == 4401


async def test_the_fleet_socket_shows_only_what_is_ones_own(world: World) -> None:
    first, second = await world.user("member"), await world.user("member")
    mine, theirs = await world.enrolled(first), await world.enrolled(second)
    await mine.connect()
    await theirs.connect()
    async with watching(world, first, FLEET) as socket:
        await theirs.outcome(BatchAck.OUTCOME_ACCEPTED, await theirs.report())
        await mine.outcome(BatchAck.OUTCOME_ACCEPTED, await mine.report())
        seen = set()
        async with asyncio.timeout(10):
            while (told := json.loads(await socket.recv()))["event"] != "sample":
                seen.add(told["vps_id"])
    assert told["vps_id"] == mine.vps_id
    assert "detail" not in told
    assert seen <= {mine.vps_id}


@asynccontextmanager
async def reporting(agent: ScriptedAgent) -> AsyncIterator[None]:
    async def report() -> None:
        while True:
            await agent.report()
            await asyncio.sleep(0.05)

    task = asyncio.create_task(report())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_the_status_goes_with_the_agent_and_is_told(own_world: World) -> None:
    world = own_world
    world.start("edge")
    quick = PresenceTiming(tick=0.1, min_silence=0.5, missed_reports=0)
    world.start("gateway", timing=GatewayTiming(presence=quick))
    await world.ready("edge", "gateway")
    user = await world.user("member")
    agent = await world.enrolled(user)
    async with watching(world, user, FLEET) as socket:
        await agent.connect()
        async with reporting(agent):
            await message(socket, event="status", status="online", vps_id=agent.vps_id)
        stale = await message(socket, event="status", status="stale", vps_id=agent.vps_id)
        assert stale["last_seen"]
        await agent.leave()
        await message(socket, event="status", status="offline", vps_id=agent.vps_id)
        await agent.connect()
        async with reporting(agent):
            await message(socket, event="status", status="online", vps_id=agent.vps_id)


async def test_two_gateways_serve_side_by_side_and_a_new_one_knows_what_the_old_one_knew(
    own_world: World,
) -> None:
    await own_world.start_all()
    user = await own_world.user("member")
    agent = await own_world.enrolled(user)
    await agent.connect()
    await agent.outcome(BatchAck.OUTCOME_DURABLE, await agent.report(snapshot(now_ms() - 100)))
    before = (await user.get(f"/vps/{agent.vps_id}")).json()

    own_world.http_port = free_port()
    own_world.start("gateway", run_as="second")
    await own_world.ready("second")
    after = (await user.get(f"{own_world.api}/vps/{agent.vps_id}")).json()
    assert after["latest"] == before["latest"]
    async with watching(own_world, user, f"vps/{agent.vps_id}/metrics/realtime") as socket:
        assert (await message(socket, event="sample"))["vps_id"] == agent.vps_id
        await agent.report(snapshot(cpu_usage_percent=77.0))
        await message(socket, event="sample", cpu_usage=77.0)
    await own_world.stop("gateway")
    assert (await user.get(f"{own_world.api}/vps/{agent.vps_id}")).json()["status"] == "online"
