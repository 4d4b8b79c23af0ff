"""The edge: its end, its limits, and the presence of its agents."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from flotilla.v1.agent_pb2 import BatchAck, Heartbeat, MessageToServer
from flotilla.v1.command_pb2 import FileAction
from flotilla.v1.event_pb2 import VpsConnected, VpsContested
from services.ingest.edge.errors import Reason
from services.ingest.edge.handshakes import PLACES_PER_CONNECTION, TURNS
from services.ingest.edge.stream import OUTBOUND_LIMIT
from services.ingest.edge.timing import EdgeTiming
from services.kit.bus import subjects
from services.kit.bus.subjects import Stream
from tests.fixtures.commands import command, signer
from tests.fixtures.messages import decoded
from tests.fixtures.metrics import metric
from tests.fixtures.scripted_agent import STREAM, ScriptedAgent
from tests.fixtures.waiting import until
from tests.fixtures.world import World


async def started(world: World, timing: EdgeTiming | None = None) -> ScriptedAgent:
    """Start edge and gateway, and connect an agent."""
    world.start("gateway")
    world.start("edge", timing=timing)
    await world.ready("edge", "gateway")
    return await world.connected()


async def test_an_edge_that_stops_sends_its_agents_away_and_says_they_are_gone(
    own_world: World,
) -> None:
    agent = await started(own_world)
    await agent.outcome(BatchAck.OUTCOME_ACCEPTED, await agent.report())
    async with own_world.nats.client("operator") as operator:
        gone = await operator.subscribe(f"flotilla.event.vps.{agent.vps_id}.disconnected")
        await operator.flush()

        await own_world.stop("edge")

        assert await agent.ended() == (
            grpc.StatusCode.UNAVAILABLE,
            "This edge is restarting. Connect again.",
        )
        await gone.next_msg(timeout=5)
    own_world.start("edge")
    await own_world.ready("edge")
    await agent.connect()
    await agent.outcome(BatchAck.OUTCOME_ACCEPTED, await agent.report())


async def test_an_agent_is_moved_on_when_its_connection_is_old(own_world: World) -> None:
    agent = await started(own_world, EdgeTiming(connection_age=2.0, connection_age_grace=0.5))

    code, _ = await agent.ended()

    assert code is grpc.StatusCode.UNAVAILABLE
    await agent.connect()


async def test_a_server_is_online_though_the_events_stream_is_full(own_world: World) -> None:
    for name in ("edge", "gateway", "writer"):
        own_world.start(name)
    await own_world.ready("edge", "gateway", "writer")
    user = await own_world.user()
    agents = [await own_world.enrolled(user) for _ in range(3)]
    async with own_world.nats.client("provision") as client:
        jetstream = client.jetstream()
        config = (await jetstream.stream_info(Stream.EVENTS)).config
        await jetstream.update_stream(config.evolve(max_msgs=1))
        for agent in agents:
            await agent.connect()

        async def online() -> bool:
            await asyncio.gather(*(agent.report() for agent in agents))
            servers = (await user.get("/vps")).json()["items"]
            return {server["status"] for server in servers} == {"online"}

        await until(online)
        await jetstream.update_stream(config)
    async with own_world.nats.client("provision") as client:
        subject = f"flotilla.event.vps.{agents[-1].vps_id}.connected"

        async def told() -> bool:
            state = await client.jetstream().stream_info(Stream.EVENTS, subjects_filter=subject)
            return bool(state.state.subjects)

        # Events that could not be stored are stored as soon as there is room.
        await until(told)


async def test_an_agent_that_does_not_read_is_let_go(world: World) -> None:
    agent = await world.connected()
    before = metric("flotilla_edge_refusals_total", reason=Reason.SLOW)
    data = secrets.token_bytes(400 * 1024)
    large = FileAction(operation=FileAction.OPERATION_WRITE, path="/x", data=data)
    async with world.nats.client("gateway") as gateway:
        # Fill the buffers of the connection.
        for _ in range(10):
            request = signer(world).sign(command(agent.vps_id, file=large))
            await gateway.publish(
                subjects.agent_command(agent.vps_id), request.SerializeToString(), reply="nobody"
            )
        await gateway.flush()
        with contextlib.suppress(grpc.aio.AioRpcError):
            for number in range(2 * OUTBOUND_LIMIT):
                await agent.send(MessageToServer(heartbeat=Heartbeat(number=number)))
        await until(lambda: metric("flotilla_edge_refusals_total", reason=Reason.SLOW) > before)


async def test_the_edge_is_full_at_its_limit_and_says_come_back(own_world: World) -> None:
    own_world.start("gateway")
    own_world.start("edge", edge_max_streams=1)
    await own_world.ready("gateway", "edge")
    first = await own_world.connected()
    second = await own_world.enrolled(await own_world.user())
    with pytest.raises(Exception, match="RESOURCE_EXHAUSTED"):
        await second.connect()
    assert first.vps_id != second.vps_id


async def test_presence_and_facts_travel_as_an_event(world: World) -> None:
    async with world.nats.client("operator") as operator:
        told = await operator.subscribe("flotilla.event.vps.*.connected")
        await operator.flush()
        agent = await world.connected()
        event = decoded(await told.next_msg(timeout=10))
    assert isinstance(event, VpsConnected)
    assert (event.vps_id, event.facts.hostname, event.peer) == (
        agent.vps_id,
        "scripted",
        "127.0.0.1",
    )


async def test_two_hosts_that_fight_over_a_key_raise_an_event(world: World) -> None:
    agent = await world.enrolled(await world.user())
    seen: list[VpsContested] = []
    async with world.nats.client("operator") as operator:

        async def take(message: Any) -> None:
            seen.append(VpsContested.FromString(message.data))

        await operator.subscribe(f"flotilla.event.vps.{agent.vps_id}.contested", cb=take)
        await operator.flush()
        for number in range(6):
            agent.boot_id = f"boot-{number}"
            await agent.connect()
        await until(lambda: bool(seen))
    assert seen[0].takeovers == 5


SILENT_CLIENTS = 3 * TURNS


@asynccontextmanager
async def silent_clients(world: World, connections: int, streams: int) -> AsyncIterator[None]:
    """Hold streams that never answer their challenge."""
    clients = [world.agent() for _ in range(connections)]
    calls: list[Any] = [
        client.channel.stream_stream(STREAM)(wait_for_ready=True)
        for client in clients
        for _ in range(streams)
    ]
    try:
        async with asyncio.timeout(60):
            await asyncio.gather(*(call.read() for call in calls), return_exceptions=True)
        yield
    finally:
        for call in calls:
            call.cancel()
        await asyncio.gather(*(client.close() for client in clients))


@pytest.mark.parametrize(
    ("connections", "streams"),
    [(SILENT_CLIENTS, 1), (10, PLACES_PER_CONNECTION + 3)],
    ids=["a connection each", "many on a connection"],
)
async def test_silent_clients_do_not_keep_an_agent_waiting(
    own_world: World, connections: int, streams: int
) -> None:
    own_world.start("gateway")
    # The silent clients keep their places for longer than an agent waits.
    own_world.start("edge", timing=EdgeTiming(handshake_timeout=600.0))
    await own_world.ready("gateway", "edge")
    agent = await own_world.enrolled(await own_world.user())
    async with silent_clients(own_world, connections, streams):
        await agent.connect()


async def test_a_connection_with_too_many_handshakes_is_told_to_come_back(
    own_world: World,
) -> None:
    own_world.start("edge", timing=EdgeTiming(handshake_timeout=600.0))
    await own_world.ready("edge")
    client = own_world.agent()
    calls: list[Any] = [
        client.channel.stream_stream(STREAM)(wait_for_ready=True)
        for _ in range(PLACES_PER_CONNECTION)
    ]
    await asyncio.gather(*(call.read() for call in calls))
    with pytest.raises(grpc.aio.AioRpcError, match="Connect again later"):
        await client.challenged()


async def test_an_edge_listens_on_ipv6_too(own_world: World) -> None:
    own_world.start("gateway")
    own_world.start("edge", grpc_host="::")
    await own_world.ready("gateway", "edge")
    agent = await own_world.connected()  # through 127.0.0.1
    await agent.close()
    agent.move(f"[::1]:{own_world.grpc_port}")
    await agent.connect()
