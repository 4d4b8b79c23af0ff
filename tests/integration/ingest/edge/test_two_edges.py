"""One agent and two edges."""

import grpc

from flotilla.v1.agent_pb2 import BatchAck
from flotilla.v1.bus_pb2 import BatchesDurable, DurableNotice, Presence
from services.kit.bus import connection as bus
from tests.fixtures.claims import free_port
from tests.fixtures.scripted_agent import ScriptedAgent
from tests.fixtures.world import World


async def on_two_edges(world: World) -> tuple[ScriptedAgent, ScriptedAgent]:
    """One agent's stream on the first edge, and the same agent about to open one on the second."""
    await world.start_all()
    port = free_port()
    world.start("edge", run_as="edge-2", grpc_port=port)
    agent = await world.enrolled(await world.user())
    again = ScriptedAgent(f"127.0.0.1:{port}", (world.certificates / "ca.pem").read_bytes())
    again.key, again.vps_id, again.epoch = agent.key, agent.vps_id, agent.epoch
    return agent, again


async def test_the_newest_stream_wins_on_whichever_edge_it_is(own_world: World) -> None:
    agent, again = await on_two_edges(own_world)
    try:
        await agent.connect()
        await again.connect()

        status, detail = await agent.ended()
        assert status is grpc.StatusCode.ABORTED
        assert "newer stream" in detail
        sequence = await again.report()
        await again.outcome(BatchAck.OUTCOME_DURABLE, sequence)
        async with own_world.nats.client("gateway") as client:
            bucket = await client.jetstream().key_value("presence")
            entry = await bucket.get(agent.vps_id)
        presence = Presence.FromString(entry.value or b"")
        assert presence.connected, "the first edge's goodbye must not undo the second's word"
    finally:
        await again.close()


async def test_the_word_durable_follows_an_agent_to_its_new_edge(own_world: World) -> None:
    agent, again = await on_two_edges(own_world)
    try:
        async with own_world.nats.client("operator") as operator:
            notices = await operator.subscribe("flotilla.edge.*.durable")
            await operator.flush()
            await agent.connect()
            await agent.outcome(BatchAck.OUTCOME_DURABLE, await agent.report())
            first_edge = (await notices.next_msg(10)).subject
        await again.connect()
        await agent.ended()

        # The notice of a writer that has committed only now.
        batches = BatchesDurable(vps_id=agent.vps_id, epoch=agent.epoch, sequences=[77])
        async with own_world.nats.client("writer") as writer:
            await writer.publish(
                first_edge,
                DurableNotice(batches=[batches]).SerializeToString(),
                headers={bus.TYPE_HEADER: DurableNotice.DESCRIPTOR.full_name},
            )
        await again.outcome(BatchAck.OUTCOME_DURABLE, 77)
    finally:
        await again.close()
