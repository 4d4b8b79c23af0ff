"""Every message on the bus is the type that its header names."""

from nats.js.errors import NotFoundError

from flotilla.v1.agent_pb2 import BatchAck
from flotilla.v1.bus_pb2 import DurableNotice
from flotilla.v1.metrics_pb2 import PerformanceSnapshotBatch
from services.kit.bus.subjects import Stream
from tests.fixtures.messages import decoded
from tests.fixtures.waiting import until
from tests.fixtures.world import World


async def test_every_message_of_every_stream_is_what_its_header_names(own_world: World) -> None:
    await own_world.start_all()
    user = await own_world.user()
    agent = await own_world.enrolled(user)
    async with own_world.nats.client("operator") as operator:
        notice = await operator.subscribe("flotilla.edge.*.durable")
        reports = await operator.subscribe("flotilla.telemetry.>")
        await operator.flush()
        await agent.connect()
        await agent.outcome(BatchAck.OUTCOME_DURABLE, await agent.report())
        durable = await notice.next_msg(timeout=10)
        report = await reports.next_msg(timeout=10)
    assert isinstance(decoded(report), PerformanceSnapshotBatch)
    assert "traceparent" in (report.headers or {})
    assert isinstance(decoded(durable), DurableNotice)
    assert "traceparent" in (durable.headers or {})
    await agent.leave()

    seen = set()
    async with own_world.nats.client("provision") as client:
        jetstream = client.jetstream()

        async def events() -> bool:
            return (await jetstream.stream_info(Stream.EVENTS)).state.messages == 5

        await until(
            events, otherwise="log-in, creation, enrolled, connected, disconnected were not told"
        )
        for stream in [*Stream, "KV_agents", "KV_presence", "KV_edges"]:
            state = (await jetstream.stream_info(stream)).state
            for number in range(max(state.first_seq, 1), state.last_seq + 1):
                try:
                    message = await jetstream.get_msg(stream, number)
                except NotFoundError:
                    continue  # a bucket keeps only the last message of a key
                seen.add(type(decoded(message)).DESCRIPTOR.name)
                assert "traceparent" in (message.headers or {})
    # Telemetry leaves its stream once it was written.
    assert seen - {"PerformanceSnapshotBatch"} == {
        "AuditRecorded",
        "VpsEnrolled",
        "VpsConnected",
        "VpsDisconnected",
        "AgentRecord",
        "Presence",
        "EdgeBeat",
    }
