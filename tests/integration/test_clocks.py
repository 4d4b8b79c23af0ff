"""Hosts whose clock is wrong: every sample is kept, once, near where it belongs."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest

from flotilla.v1.agent_pb2 import BatchAck
from services.ingest import clock
from tests.fixtures.agent_script import ScriptedAgent, now_ms, snapshot
from tests.fixtures.waiting import until
from tests.fixtures.world import World

HOUR = 3_600_000


async def times(world: World, agent: ScriptedAgent) -> list[int]:
    """Unix milliseconds of what is stored."""
    rows = await world.rows(agent.vps_id)
    return [round(1000 * datetime.fromisoformat(row["time"]).timestamp()) for row in rows]


async def durable(agent: ScriptedAgent, measured: list[int], **header: Any) -> None:
    sequence = await agent.report(*map(snapshot, measured), **header)
    await agent.outcome(BatchAck.OUTCOME_DURABLE, sequence)


@pytest.mark.parametrize("first", [7_000, int(datetime(2100, 1, 1, tzinfo=UTC).timestamp()) * 1000])
async def test_a_hundred_samples_of_an_absurd_time_are_all_kept(world: World, first: int) -> None:
    agent = await world.enrolled(await world.user())
    await agent.connect()
    told = [first + 5_000 * n for n in range(100)]
    before = now_ms()
    await durable(agent, told)
    kept = await times(world, agent)
    assert all(row["clock_corrected"] for row in await world.rows(agent.vps_id))
    assert [time - kept[0] for time in kept] == [time - told[0] for time in told]
    assert before <= kept[-1] <= now_ms()


@pytest.mark.parametrize("off", [-2 * HOUR - 30_000, 2 * HOUR + 30_000, -60_000, 60_000])
async def test_what_is_sent_again_on_another_stream_is_known(world: World, off: int) -> None:
    agent = await world.enrolled(await world.user())
    measured = [now_ms() + off - 5_000 * n for n in range(3)]
    # The first time it comes a second later than the others do, and so on another side.
    for delay in (-1_000, 0, 1_000):
        await agent.connect()
        await durable(agent, measured, sent_at_unix_ms=now_ms() + off + delay)
        await agent.leave()
    kept = await world.rows(agent.vps_id)
    assert len(kept) == len(measured)


async def test_samples_further_apart_than_is_kept_are_refused(world: World) -> None:
    agent = await world.enrolled(await world.user())
    await agent.connect()
    sequence = await agent.report(snapshot(0), snapshot(32 * 24 * HOUR))
    answer = await agent.outcome(BatchAck.OUTCOME_REFUSED, sequence)
    assert "further apart" in answer.reason
    assert (await agent.ended())[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert await world.rows(agent.vps_id) == []


async def test_batches_that_wait_for_a_slow_bus_keep_their_times(
    own_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TOLERANCE_MS", "QUANTUM_MS", "MARGIN_MS"):
        monkeypatch.setattr(clock, name, 200)
    await own_world.start_all()
    agent = await own_world.enrolled(await own_world.user())
    await agent.connect()
    measured = [now_ms() - 3_000 + 100 * n for n in range(4)]
    with own_world.nats.hung():
        for time in measured:
            await agent.report(snapshot(time))
        await asyncio.sleep(1.5)

    async def kept() -> list[dict[str, Any]] | None:
        rows = await own_world.rows(agent.vps_id)
        return rows if len(rows) == len(measured) else None

    rows = await until(kept) or []
    assert not any(row["clock_corrected"] for row in rows)
    assert await times(own_world, agent) == measured
