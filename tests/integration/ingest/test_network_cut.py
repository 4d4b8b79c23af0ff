"""The real spool and stream of an agent that is cut off for a simulated hour, with a real server."""

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from nacl.signing import SigningKey
from nats.aio.msg import Msg

from agent.base.cancellation import cancel
from agent.base.identity import Identity, StateFolder
from agent.collect import facts
from agent.commands.policy import Policy
from agent.commands.signature_check import CommandVerifier
from agent.dispatch.dispatcher import Dispatcher
from agent.spool.models import Limits, Quota
from agent.spool.send_queue import SendQueue
from agent.spool.spool_thread import SpoolThread
from agent.stream import ServerConnection, Timing
from flotilla.v1.metrics_pb2 import PerformanceSnapshot, PerformanceSnapshotBatch
from tests.fixtures.waiting import until
from tests.fixtures.world import Gate, World

INTERVAL = 2  # seconds
HOUR = 3600
QUOTA = Quota(size=64 * 1024 * 1024, age=86_400)


@dataclass
class Host:
    """A simulated host with its own clock, growing counters, and a reboot that resets them."""

    dice: random.Random = field(default_factory=lambda: random.Random(5))
    received: int = 9_000_000
    sent: int = 4_000_000
    booted: int = 0  # Unix seconds
    moved: list[int] = field(default_factory=lambda: [0, 0])
    """Bytes that were really transferred since the first reading."""

    def look(self, moment: int) -> PerformanceSnapshot:
        """A snapshot of this Unix second."""
        grown = (self.dice.randrange(2_000_000), self.dice.randrange(900_000))
        self.received += grown[0]
        self.sent += grown[1]
        self.moved[0] += grown[0]
        self.moved[1] += grown[1]
        return self._snapshot(moment)

    def first(self, moment: int) -> PerformanceSnapshot:
        self.booted = moment - 86_400
        return self._snapshot(moment)

    def reboot(self, moment: int) -> None:
        self.received = self.sent = 0
        self.booted = moment

    def _snapshot(self, moment: int) -> PerformanceSnapshot:
        return PerformanceSnapshot(
            time_unix_ms=moment * 1000,
            cpu_usage_percent=self.dice.uniform(0, 100),
            memory_total_bytes=1000,
            memory_used_bytes=250,
            uptime_seconds=moment - self.booted,
            network_receive_bytes_per_second=1e5,
            network_transmit_bytes_per_second=1e5,
            network_receive_bytes_total=self.received,
            network_transmit_bytes_total=self.sent,
        )


@dataclass
class Running:
    queue: SendQueue
    stopping: asyncio.Event


@asynccontextmanager
async def running(identity: Identity, spool: Path) -> AsyncIterator[Running]:
    queue = SendQueue(identity.vps_id, SpoolThread(spool, QUOTA))
    await queue.open()
    stopping = asyncio.Event()
    dispatcher = Dispatcher(
        StateFolder(spool.parent),
        Policy(),
        CommandVerifier(identity.vps_id, ()),
        docker_socket=lambda: spool.with_name("docker.sock"),
        docker_changed=lambda: None,
    )
    connection = ServerConnection(
        identity,
        queue,
        dispatcher,
        revision=lambda: 0,
        configure=lambda _: None,
        facts=facts.collect,
        timing=Timing(backoff_first=0.1, backoff_most=0.5),
    )
    storing = asyncio.ensure_future(queue.run())
    streaming = asyncio.ensure_future(connection.run(stopping))
    try:
        yield Running(queue, stopping)
    finally:
        await cancel(streaming)
        queue.stop()
        await storing
        await queue.close()


async def stored(world: World, vps_id: str) -> list[int]:
    """Unix seconds of the rows, in order."""
    rows = await world.sql(
        "SELECT extract(epoch FROM time)::bigint FROM performance_metrics"
        " WHERE vps_id = %(id)s ORDER BY time",
        id=vps_id,
    )
    return [moment for (moment,) in rows]


@pytest.mark.timeout(180)
async def test_an_hour_without_network_is_in_the_database_the_chart_and_the_bill(
    own_world: World, tmp_path: Path
) -> None:
    await own_world.start_all()
    own_world.start("rollup")
    await own_world.ready("rollup")
    user = await own_world.user()
    scripted = await own_world.enrolled(user)
    vps_id = scripted.vps_id
    gate = Gate(own_world.grpc_port)
    await gate.open()
    seed = scripted.key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    identity = Identity(
        vps_id=vps_id,
        address=f"127.0.0.1:{gate.port}",
        ca_certificate=(own_world.certificates / "ca.pem").read_text(),
        key=SigningKey(seed),
    )
    host, spool = Host(), tmp_path / "spool.db"
    # Old enough that the current minute and five minutes contain none of it.
    begin = int(time.time()) // 300 * 300 - HOUR - 1800
    before = list(range(begin, begin + 120, INTERVAL))
    away = list(range(before[-1] + INTERVAL, before[-1] + HOUR, INTERVAL))
    seen: list[PerformanceSnapshotBatch] = []

    async def passes(message: Msg) -> None:
        seen.append(PerformanceSnapshotBatch.FromString(message.data))

    async with own_world.nats.client("operator") as operator:
        await operator.subscribe(f"flotilla.telemetry.{vps_id}.performance", cb=passes)
        async with running(identity, spool) as agent:
            agent.queue.add(host.first(before[0]))
            for moment in before[1:]:
                agent.queue.add(host.look(moment))
            await until(lambda: _has(own_world, vps_id, len(before)), seconds=20)

            await gate.shut()
            for moment in away[: len(away) // 2]:
                agent.queue.add(host.look(moment))
                if moment % 100 == 0:
                    await asyncio.sleep(0)  # the thread of the spool runs in between
        # The agent and its host start again while the network is away.
        host.reboot(away[len(away) // 2] - 1)
        async with running(identity, spool) as agent:
            for moment in away[len(away) // 2 :]:
                agent.queue.add(host.look(moment))
                if moment % 100 == 0:
                    await asyncio.sleep(0)
            seen.clear()
            await gate.open()
            live: list[int] = []

            async def has_caught_up() -> bool:
                # New samples do not wait for old ones.
                moment = int(time.time())
                if moment not in live:
                    live.append(moment)
                    agent.queue.add(host._snapshot(moment))
                return await _has(own_world, vps_id, len(before) + len(away))

            await until(has_caught_up, seconds=90, interval=0.2)
            await until(lambda: _has(own_world, vps_id, len(before) + len(away) + len(live)))
    await gate.shut()

    assert await stored(own_world, vps_id) == [*before, *away, *live]
    passed = [snapshot.time_unix_ms // 1000 for batch in seen for snapshot in batch.snapshots]
    # The newest samples were still in memory and count as live.
    late = [moment for moment in passed if moment < away[-Limits().live_items]]
    assert late == sorted(late), "the oldest comes first"
    assert passed.index(live[0]) < passed.index(late[-1]), "live data overtakes the backlog"

    window = {
        "start": datetime.fromtimestamp(before[0], UTC).isoformat(),
        "end": datetime.fromtimestamp(away[-1], UTC).isoformat(),
    }
    chart = await user.get(f"/vps/{vps_id}/metrics/historical", params=window)
    times = [datetime.fromisoformat(point).timestamp() for point in chart.json()["time"]]
    steps = {round(later - sooner) for sooner, later in itertools.pairwise(times)}
    assert len(steps) == 1, "the chart has a hole"
    assert times[-1] - times[0] >= HOUR - 60
    assert None not in chart.json()["cpu_usage"]
    assert (await user.get(f"/vps/{vps_id}/gaps", params=window)).json()["items"] == []

    async def counted() -> list[int] | None:
        months = (await user.get(f"/vps/{vps_id}/traffic")).json()["months"]
        total = [sum(month[name] for month in months) for name in ("total_rx", "total_tx")]
        return total if total == host.moved else None

    assert await until(counted, seconds=60, otherwise=f"the bill is not {host.moved}")


async def _has(world: World, vps_id: str, count: int) -> bool:
    return len(await stored(world, vps_id)) >= count
