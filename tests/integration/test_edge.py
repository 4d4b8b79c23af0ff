"""How an edge ends, moves agents on, and announces them."""

import asyncio

import grpc
import pytest

from flotilla.v1.agent_pb2 import BatchAck
from services.ingest import edge
from services.kit.subjects import Stream
from tests.fixtures.agent_script import ScriptedAgent
from tests.fixtures.waiting import until
from tests.fixtures.world import World


async def connected(world: World) -> ScriptedAgent:
    for name in ("edge", "gateway"):
        world.start(name)
    await world.ready("edge", "gateway")
    agent = await world.enrolled(await world.user())
    await agent.connect()
    return agent


async def test_an_edge_that_stops_sends_its_agents_away_and_says_they_are_gone(
    own_world: World,
) -> None:
    agent = await connected(own_world)
    await agent.outcome(BatchAck.OUTCOME_ACCEPTED, await agent.report())
    async with own_world.nats.client("operator") as operator:
        gone = await operator.subscribe(f"flotilla.event.vps.{agent.vps_id}.disconnected")
        await operator.flush()

        await own_world.stop("edge")

        assert await agent.ended() == (
            grpc.StatusCode.UNAVAILABLE,
            "this edge is restarting: come back",
        )
        await gone.next_msg(timeout=5)
    own_world.start("edge")
    await own_world.ready("edge")
    await agent.connect()
    await agent.outcome(BatchAck.OUTCOME_ACCEPTED, await agent.report())


async def test_an_agent_is_moved_on_when_its_connection_is_old(
    own_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    aged = {**dict(edge.SERVER_OPTIONS), "grpc.max_connection_age_ms": 1_000}
    aged["grpc.max_connection_age_grace_ms"] = 500
    monkeypatch.setattr(edge, "SERVER_OPTIONS", list(aged.items()))
    agent = await connected(own_world)

    code, _ = await agent.ended()

    assert code is grpc.StatusCode.UNAVAILABLE
    await agent.connect()
    await agent.outcome(BatchAck.OUTCOME_ACCEPTED, await agent.report())


async def test_a_server_is_online_though_the_events_stream_is_full(
    own_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge, "BEAT_INTERVAL", 0.5)
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

        # What could not be stored then is stored as soon as there is room.
        await until(told)
