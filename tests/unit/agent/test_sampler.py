import asyncio
import time

import psutil
import pytest

from agent.config import Config, LiveConfig
from agent.rhythm import following
from agent.sampler import Sampler
from flotilla.v1.agent_pb2 import COLLECTOR_CPU, COLLECTOR_LOAD, AgentConfig, CollectorList
from flotilla.v1.metrics_pb2 import PerformanceSnapshot
from tests.unit.agent.edge import soon


class Broken:
    def __init__(self) -> None:
        self.broken = True

    def collect(self, snapshot: PerformanceSnapshot, now: float) -> None:  # noqa: ARG002
        if self.broken:
            raise ValueError("unreadable")


def live(config: Config | None = None) -> LiveConfig:
    return LiveConfig(config or Config(), AgentConfig())


def test_the_rhythm_keeps_to_multiples_of_the_interval() -> None:
    assert following(100.0, 2.0, 100.3) == 102.0
    assert following(102.0, 2.0, 102.0) == 104.0


def test_moments_that_were_missed_are_left_out() -> None:
    assert following(100.0, 2.0, 105.0) == 106.0


def test_a_snapshot_of_this_machine_holds_every_collector() -> None:
    sampler = Sampler(live())
    sampler.sample()
    # The kernel's clock ticks a hundred times a second.
    time.sleep(0.1)

    snapshot = sampler.sample()

    assert 0 <= snapshot.cpu_usage_percent <= 100
    assert snapshot.HasField("load_1")
    assert snapshot.memory_total_bytes == psutil.virtual_memory().total
    assert snapshot.disks
    assert snapshot.HasField("network_receive_bytes_per_second")
    assert snapshot.HasField("tcp_connections")
    assert snapshot.processes > 0
    assert snapshot.uptime_seconds > 0
    assert abs(snapshot.time_unix_ms / 1000 - time.time()) < 5


def test_a_disabled_collector_leaves_its_fields_absent() -> None:
    sampler = Sampler(live(Config(disabled_collectors=frozenset({"memory", "uptime"}))))

    snapshot = sampler.sample()

    assert not snapshot.HasField("memory_total_bytes")
    assert not snapshot.HasField("uptime_seconds")
    assert snapshot.HasField("load_1")


def test_a_collector_that_fails_is_logged_once_and_stops_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = Broken()
    sampler = Sampler(live(), {"load": lambda: broken, "cpu": Broken})

    for _ in range(3):
        sampler.sample()
    broken.broken = False
    sampler.sample()

    messages = [record.getMessage() for record in caplog.records]
    assert messages == [
        "collector load fails; the others go on",
        "collector cpu fails; the others go on",
        "collector load works again",
    ]


async def test_a_shorter_interval_takes_effect_at_once() -> None:
    config = live(Config(report_interval=3600))
    taken: asyncio.Queue[PerformanceSnapshot] = asyncio.Queue()
    running = asyncio.ensure_future(Sampler(config).run(taken.put_nowait))
    await soon(taken.get())

    config.apply(AgentConfig(revision=1, report_interval_ms=500))

    await soon(taken.get())
    running.cancel()


async def test_collectors_are_switched_while_it_runs() -> None:
    config = live(Config(report_interval=3600))
    taken: asyncio.Queue[PerformanceSnapshot] = asyncio.Queue()
    running = asyncio.ensure_future(Sampler(config).run(taken.put_nowait))
    assert (await soon(taken.get())).HasField("load_1")

    disabled = CollectorList(collectors=[COLLECTOR_CPU, COLLECTOR_LOAD])
    config.apply(AgentConfig(revision=1, report_interval_ms=500, disabled_collectors=disabled))

    assert not (await soon(taken.get())).HasField("load_1")
    running.cancel()


async def test_samples_come_at_the_interval_without_drift() -> None:
    taken: asyncio.Queue[float] = asyncio.Queue()
    running = asyncio.ensure_future(
        Sampler(live(Config(report_interval=0.5))).run(lambda _: taken.put_nowait(time.monotonic()))
    )

    moments = [await soon(taken.get()) for _ in range(4)]

    running.cancel()
    assert moments[3] - moments[0] == pytest.approx(1.5, abs=0.3)
