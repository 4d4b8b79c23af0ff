"""Hosts with a wrong clock: every sample is stored once, near its real time."""

import itertools
from datetime import UTC, datetime
from typing import Any

import pytest

from flotilla.v1.agent_pb2 import BatchAck
from services.ingest.edge.clock_correction import MARGIN_MS, TOLERANCE_MS
from tests.fixtures.scripted_agent import ScriptedAgent, now_ms, snapshot
from tests.fixtures.waiting import until
from tests.fixtures.world import World

HOUR = 3_600_000  # milliseconds


async def times(world: World, agent: ScriptedAgent) -> list[int]:
    """Return the times of the stored samples in Unix milliseconds."""
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
    # The delays differ by a second, so rounding each delivery anew would give different results.
    for delay in (-1_000, 0, 1_000):
        await agent.connect()
        await durable(agent, measured, sent_at_unix_ms=now_ms() + off + delay)
        await agent.leave()
    kept = await world.rows(agent.vps_id)
    assert len(kept) == len(measured)


async def test_a_sample_further_away_than_is_kept_is_left_out_alone(world: World) -> None:
    agent = await world.enrolled(await world.user())
    await agent.connect()
    sequence = await agent.report(snapshot(0), snapshot(32 * 24 * HOUR))
    await agent.outcome(BatchAck.OUTCOME_DURABLE, sequence)
    assert len(await world.rows(agent.vps_id)) == 1


async def test_batches_that_wait_for_a_slow_bus_keep_their_times(own_world: World) -> None:
    await own_world.start_all()
    agent = await own_world.enrolled(await own_world.user())
    await agent.connect()
    measured = [now_ms() - 3_000 + 100 * n for n in range(4)]
    # The clock of this host is as slow as is allowed. If it were slower, it would be corrected.
    slow = TOLERANCE_MS + MARGIN_MS - 1_500
    with own_world.nats.hung():
        for time in measured:
            await agent.report(snapshot(time), sent_at_unix_ms=now_ms() - slow)
        late = now_ms() - slow + TOLERANCE_MS + MARGIN_MS
        await until(lambda: now_ms() > late, otherwise="time stood still")

    async def kept() -> list[dict[str, Any]] | None:
        rows = await own_world.rows(agent.vps_id)
        return rows if len(rows) == len(measured) else None

    rows = await until(kept) or []
    assert not any(row["clock_corrected"] for row in rows)
    assert await times(own_world, agent) == measured


@pytest.mark.parametrize("off", [-2 * HOUR, 2 * HOUR, -now_ms()], ids=["behind", "ahead", "1970"])
async def test_a_wrong_clock_is_put_right_and_flagged(world: World, off: int) -> None:
    agent = await world.enrolled(await world.user())
    await agent.connect()
    sent = now_ms()
    points = [snapshot(sent + off - 4000), snapshot(sent + off - 2000), snapshot(sent + off)]
    sequence = await agent.report(*points, sent_at_unix_ms=sent + off)
    await agent.outcome(BatchAck.OUTCOME_DURABLE, sequence)

    rows = await world.sql(
        "SELECT extract(epoch FROM time)::float8 * 1000, clock_corrected"
        " FROM performance_metrics WHERE vps_id = %(id)s ORDER BY time",
        id=agent.vps_id,
    )
    times = [round(time) for time, _ in rows]
    assert all(corrected for _, corrected in rows)
    assert [b - a for a, b in itertools.pairwise(times)] == [2000, 2000]
    assert abs(times[-1] - sent) < 61_000


async def test_an_absurd_snapshot_among_good_ones_gets_the_servers_time(world: World) -> None:
    agent = await world.enrolled(await world.user())
    await agent.connect()
    now = now_ms()
    sequence = await agent.report(snapshot(-1), snapshot(now - 1000), snapshot(1 << 62))
    await agent.outcome(BatchAck.OUTCOME_DURABLE, sequence)

    flags = [row["clock_corrected"] for row in await world.rows(agent.vps_id)]
    assert flags in ([False, True], [False, True, True])
