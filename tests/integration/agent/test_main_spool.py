import asyncio
import random
import shutil
import signal
import sqlite3
from asyncio.subprocess import Process
from pathlib import Path

import pytest

from agent.base.identity import StateFolder
from agent.spool.database import SEQUENCES
from flotilla.v1.agent_pb2 import AgentConfig, BatchAck
from tests.fixtures.agent.fake_edge import Edge, Peer
from tests.fixtures.agent.processes import Launch, outcome
from tests.fixtures.waiting import soon, until

FAST = AgentConfig(revision=1, report_interval_ms=500)
ACCEPTED, DURABLE = BatchAck.OUTCOME_ACCEPTED, BatchAck.OUTCOME_DURABLE


async def kill(process: Process) -> None:
    process.kill()
    await outcome(process)


async def received(peer: Peer, seen: dict[int, tuple[str, int]]) -> list[int]:
    """Return the times of the next batch; record the batch's epoch and sequence for each."""
    batch = await peer.batch()
    times = [snapshot.time_unix_ms for snapshot in batch.snapshots]
    seen.update(dict.fromkeys(times, (batch.header.epoch, batch.header.sequence)))
    return times


@pytest.mark.parametrize("attempt", range(3))
async def test_an_agent_killed_at_any_moment_sends_everything_again(
    launch: Launch, edge: Edge, state: StateFolder, attempt: int
) -> None:
    process = await launch("--state", str(state.path))
    peer = await edge.peer()
    await peer.shake_hands(FAST)
    before: dict[int, tuple[str, int]] = {}
    while len(before) < 3:
        await received(peer, before)
    # A random moment, so that some kills happen during a write.
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


async def test_durable_samples_are_not_sent_again_after_a_kill(
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


async def test_samples_taken_while_the_server_was_away_survive_a_kill_and_arrive_in_order(
    launch: Launch, edge: Edge, state: StateFolder, tmp_path: Path
) -> None:
    state.save_pushed_config(FAST)
    process = await launch("--state", str(state.path))
    peer = await edge.peer()
    await until(lambda: len(times_in_copy(state.path / "spool.db", tmp_path)) >= 4)
    await kill(process)
    assert peer._inbox.empty()
    stored = times_in(state.path / "spool.db")

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


def times_in_copy(path: Path, folder: Path) -> list[int]:
    """Return the times in a spool that a running agent has locked; none while they are unreadable."""
    copy = folder / "copy.db"
    try:
        for ending in ("", "-wal"):
            shutil.copy(f"{path}{ending}", f"{copy}{ending}")
        return times_in(copy)
    except (OSError, sqlite3.Error):
        return []


async def test_the_agent_starts_with_a_damaged_spool(
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
