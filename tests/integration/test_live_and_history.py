"""What screens see: samples as they come, statuses as they change, history in columns."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import websockets
from websockets.asyncio.client import ClientConnection
from websockets.typing import Origin

from flotilla.v1.agent_pb2 import BatchAck
from tests.fixtures.agent_script import now_ms, snapshot
from tests.fixtures.stack import free_port
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


async def test_a_foreign_page_cannot_open_a_socket(world: World) -> None:
    user = await world.user()
    url = f"{world.ws}/{FLEET}?ticket={await ticket(user, FLEET)}"

    assert await refused(url, origin=Origin("https://evil.example")) == 403
    async with websockets.connect(url, origin=Origin(world.http)):
        pass


async def test_a_socket_closes_when_its_session_ends(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.sockets.RECHECK", 0.1)
    user = await world.user()
    async with watching(world, user, FLEET) as socket:
        await user.post("/auth/logout")
        async with asyncio.timeout(10):
            await _drained(socket)
    assert socket.close_code == 4401


async def test_a_demoted_users_socket_closes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.sockets.RECHECK", 0.1)
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


async def test_the_status_goes_with_the_agent_and_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.presence.MIN_SILENCE", 0.8)
    monkeypatch.setattr("services.gateway.presence.MISSED_REPORTS", 0)
    monkeypatch.setattr("services.gateway.live.TICK", 0.1)
    user = await world.user("member")
    agent = await world.enrolled(user)
    async with watching(world, user, FLEET) as socket:
        await agent.connect()
        await agent.outcome(BatchAck.OUTCOME_ACCEPTED, await agent.report())
        await message(socket, event="status", status="online", vps_id=agent.vps_id)
        stale = await message(socket, event="status", status="stale", vps_id=agent.vps_id)
        assert stale["last_seen"]
        await agent.leave()
        await message(socket, event="status", status="offline", vps_id=agent.vps_id)
        await agent.connect()
        await agent.report()
        await message(socket, event="status", status="online", vps_id=agent.vps_id)


async def test_new_settings_are_pushed_to_the_connected_agent(world: World) -> None:
    user = await world.user("member")
    agent = await world.enrolled(user)
    await agent.connect()
    settings = {"report_interval_seconds": 5, "log_level": "debug", "disabled_collectors": ["cpu"]}
    changed = await user.patch(f"/vps/{agent.vps_id}", json={"agent_config": settings})

    assert changed.json()["agent_config"]["revision"] == 1
    pushed = (await agent.receive("config")).config
    assert (pushed.revision, pushed.report_interval_ms) == (1, 5000)
    assert list(pushed.disabled_collectors.collectors) == [1]
    assert not pushed.HasField("docker_enabled")
    await agent.leave()
    assert (await agent.connect()).handshake_ack.config == pushed


async def test_deleting_a_server_removes_its_rows_and_its_agents_access(world: World) -> None:
    user = await world.user("member")
    agent = await world.enrolled(user)
    await agent.connect()
    await agent.outcome(BatchAck.OUTCOME_DURABLE, await agent.report())
    assert (await user.delete(f"/vps/{agent.vps_id}")).status_code == 204

    assert await world.rows(agent.vps_id) == []
    assert (await user.get(f"/vps/{agent.vps_id}")).status_code == 404
    assert (await agent.ended())[0].name == "PERMISSION_DENIED"


async def test_the_list_is_searched_and_paged(world: World) -> None:
    user = await world.user("member")
    for name in ("web-1", "Web-2", "db_1", "100%"):
        await user.post("/vps", json={"name": name})

    async def names(**params: Any) -> tuple[list[str], int]:
        page = (await user.get("/vps", params=params)).json()
        return [vps["name"] for vps in page["items"]], page["total"]

    assert set((await names(search="WEB"))[0]) == {"web-1", "Web-2"}
    assert await names(search="%") == (["100%"], 1)
    assert await names(search="_") == (["db_1"], 1)
    first, total = await names(limit=3)
    rest, _ = await names(limit=3, offset=3)
    assert total == 4
    assert len(first) == 3
    assert sorted(first + rest) == sorted(["web-1", "Web-2", "db_1", "100%"])
    assert await names(offset=4) == ([], 4)


async def history(client: httpx.AsyncClient, vps_id: str, **params: Any) -> httpx.Response:
    return await client.get(f"/vps/{vps_id}/metrics/historical", params=params)


async def test_history_is_at_most_a_thousand_points_whatever_is_asked(world: World) -> None:
    user = await world.user("member")
    vps_id = (await user.post("/vps", json={"name": "h"})).json()["id"]
    await world.sql(
        "INSERT INTO performance_metrics (time, vps_id, cpu_usage, net_rx_total)"
        " SELECT t, %(id)s, 50, extract(epoch FROM t) FROM generate_series("
        " '2026-01-01T00:00Z'::timestamptz, '2026-01-01T06:00Z', interval '2 s') t",
        id=vps_id,
    )
    window = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T06:00:00Z"}

    auto = (await history(user, vps_id, **window)).json()
    assert auto["granularity"] == "30s"
    assert len(auto["time"]) == 720
    assert set(auto["cpu_usage"]) == {50.0}
    assert {len(column) for name, column in auto.items() if name != "granularity"} == {720}
    first = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    assert auto["net_rx_total"][0] == first + 28  # a counter keeps its last

    fine = await history(user, vps_id, **window, granularity="10s")
    assert fine.status_code == 422
    assert "ask for `30s` or coarser" in fine.json()["detail"]
    hourly = (await history(user, vps_id, **window, granularity="1h")).json()
    assert hourly["time"][:2] == ["2026-01-01T00:00:00.000Z", "2026-01-01T01:00:00.000Z"]

    zoned = {"start": "2026-01-01T08:00:00+08:00", "end": "2026-01-01T14:00:00+08:00"}
    assert (await history(user, vps_id, **zoned)).json() == auto
    naive = {"start": "2026-01-01T00:00:00", "end": "2026-01-01T06:00:00"}
    assert (await history(user, vps_id, **naive)).json() == auto
    empty = (
        await history(user, vps_id, start="2025-01-01T00:00:00Z", end="2025-01-02T00:00:00Z")
    ).json()
    assert (empty["time"], empty["cpu_usage"]) == ([], [])


@pytest.mark.parametrize(
    "window",
    [
        {"start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"},
        {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T00:00:00Z"},
        {"start": "0001-01-01T00:00:00Z"},
        {"start": "0001-01-01T00:00:00+14:00", "end": "2026-01-01T00:00:00Z"},
        {"end": "0001-01-01T00:00:00Z"},
        {"start": "yesterday"},
        {"granularity": "3s"},
    ],
)
async def test_a_window_that_makes_no_sense_is_refused(
    world: World, window: dict[str, str]
) -> None:
    user = await world.user("member")
    vps_id = (await user.post("/vps", json={"name": "h"})).json()["id"]
    assert (await history(user, vps_id, **window)).status_code in {400, 422}


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


async def test_history_defaults_to_the_last_hour(world: World) -> None:
    user = await world.user("member")
    vps_id = (await user.post("/vps", json={"name": "h"})).json()["id"]
    now = datetime.now(UTC)
    for age in (timedelta(minutes=5), timedelta(hours=2)):
        await world.sql(
            "INSERT INTO performance_metrics (time, vps_id) VALUES (%(t)s, %(id)s)",
            t=now - age,
            id=vps_id,
        )
    assert len((await history(user, vps_id)).json()["time"]) == 1
