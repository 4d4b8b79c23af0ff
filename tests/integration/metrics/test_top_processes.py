"""The processes that use the most CPU time and memory, from an agent to the API."""

from flotilla.v1.agent_pb2 import BatchAck
from flotilla.v1.metrics_pb2 import PerformanceSnapshot, ProcessStats
from tests.fixtures.scripted_agent import now_ms, snapshot
from tests.fixtures.waiting import until
from tests.fixtures.world import World


async def test_the_newest_processes_are_answered_and_none_are_stored(world: World) -> None:
    user = await world.user("member")
    agent = await world.enrolled(user)
    await agent.connect()
    postgres = ProcessStats(
        pid=812, name="postgres", user="postgres", cpu_usage_percent=12.5, resident_bytes=1 << 30
    )
    bad = ProcessStats(pid=0, name="none")
    first = snapshot(now_ms() - 2_000, top_processes=[bad, postgres])
    await agent.report(first)
    sequence = await agent.report(snapshot(now_ms()))
    await agent.outcome(BatchAck.OUTCOME_DURABLE, sequence)

    async def answered() -> object:
        latest = (await user.get(f"/vps/{agent.vps_id}")).json()["latest"]
        return latest and latest["detail"]["top_processes"]

    assert await until(answered) == [
        {
            "pid": 812,
            "name": "postgres",
            "user": "postgres",
            "cpu_usage": 12.5,
            "memory": 1 << 30,
        }
    ]
    stored = await world.sql(
        "SELECT detail FROM performance_metrics WHERE vps_id = %(id)s", id=agent.vps_id
    )
    assert len(stored) == 2
    assert not any(
        PerformanceSnapshot.FromString(detail or b"").top_processes for (detail,) in stored
    )
