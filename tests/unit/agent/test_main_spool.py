import asyncio
import random
import signal
import sqlite3
from asyncio.subprocess import Process
from pathlib import Path

import pytest

from agent.identity import StateFolder
from agent.spool import SEQUENCES
from flotilla.v1.agent_pb2 import AgentConfig, BatchAck
from tests.unit.agent.edge import Edge, Peer, soon
from tests.unit.agent.processes import Launch, outcome

FAST = AgentConfig(revision=1, report_interval_ms=500)
ACCEPTED, DURABLE = BatchAck.OUTCOME_ACCEPTED, BatchAck.OUTCOME_DURABLE


async def kill(process: Process) -> None:
    process.kill()
    await outcome(process)


async def received(peer: Peer, seen: dict[int, tuple[str, int]]) -> list[int]:
    """Times of the next batch; what it calls itself is noted for each."""
    batch = await peer.batch()
    times = [snapshot.time_unix_ms for snapshot in batch.snapshots]
    seen.update(dict.fromkeys(times, (batch.header.epoch, batch.header.sequence)))
    return times


@pytest.mark.parametrize("attempt", range(3))
async def test_killed_at_any_moment_it_brings_again_all_that_it_had_sent(
    launch: Launch, edge: Edge, state: StateFolder, attempt: int
) -> None:
    process = await launch("--state", str(state.path))
    peer = await edge.peer()
    await peer.shake_hands(FAST)
    before: dict[int, tuple[str, int]] = {}
    while len(before) < 3:
        await received(peer, before)
    # A moment within the rhythm, so that some fall into a write.
    await asyncio.sleep(random.uniform(0, 0.6))
    await kill(process)
    while not peer._inbox.empty():
        await received(peer, before)

    await launch("--state", str(state.path))
    again = await edge.peer()
    await again.shake_hands()
    after: dict[int, tuple[str, int]] = {}
    while not set(after) >= set(before):
        await received(again, after)

    epochs = {epoch for epoch, _ in (*before.values(), *after.values())}
    assert len(epochs) == 1
    assert {number for _, number in before.values()}.isdisjoint(
        number for _, number in after.values()
    )
    assert min(number for _, number in after.values()) > SEQUENCES


async def test_what_is_durable_is_not_brought_again_after_a_kill(
    launch: Launch, edge: Edge, state: StateFolder
) -> None:
    process = await launch("--state", str(state.path))
    peer = await edge.peer()
    await peer.shake_hands(FAST)
    first = await peer.batch()
    await peer.acknowledge(first, ACCEPTED)
    await peer.acknowledge(first, DURABLE)
    for _ in range(3):
        await peer.batch()
    await kill(process)

    await launch("--state", str(state.path))
    again = await edge.peer()
    await again.shake_hands()

    seen: dict[int, tuple[str, int]] = {}
    while len(seen) < 4:
        await received(again, seen)
    assert first.snapshots[0].time_unix_ms not in seen


async def test_what_was_measured_while_the_server_was_away_survives_a_kill_and_arrives_in_order(
    launch: Launch, edge: Edge, state: StateFolder
) -> None:
    state.keep_pushed_config(FAST)
    process = await launch("--state", str(state.path))
    peer = await edge.peer()
    await asyncio.sleep(2.2)
    await kill(process)
    assert peer._inbox.empty()
    stored = times_in(state.path / "spool.db")
    assert len(stored) >= 4

    await launch("--state", str(state.path))
    again = await edge.peer()
    await again.shake_hands()

    times: list[int] = []
    while not set(times) >= set(stored):
        times += await soon(received(again, {}))
    assert [moment for moment in times if moment in stored] == stored


def times_in(path: Path) -> list[int]:
    db = sqlite3.connect(path)
    try:
        return [moment for (moment,) in db.execute("SELECT time FROM items ORDER BY key")]
    finally:
        db.close()


async def test_a_torn_spool_is_no_hindrance_to_start(
    launch: Launch, edge: Edge, state: StateFolder
) -> None:
    (state.path / "spool.db").write_bytes(random.randbytes(50_000))

    process = await launch("--state", str(state.path))
    peer = await edge.peer()
    await peer.shake_hands(FAST)

    assert (await peer.batch()).snapshots
    process.send_signal(signal.SIGTERM)
    code, _, err = await outcome(process)
    assert code == 0
    assert "a new spool begins" in err


async def test_the_owners_collector_reports_on_the_same_stream(
    launch: Launch, edge: Edge, state: StateFolder, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        '[[collector]]\ncommand = ["/bin/echo", "queue_length 3 queue=mail"]\ninterval = 1\n'
    )
    await launch("--state", str(state.path), "--config", str(config))
    peer = await edge.peer()
    await peer.shake_hands()

    batch = (await peer.receive("generic")).generic

    (metric,) = batch.metrics
    assert (metric.name, dict(metric.labels), metric.value) == (
        "queue_length",
        {"queue": "mail"},
        3,
    )
    assert batch.header.sequence > 0
