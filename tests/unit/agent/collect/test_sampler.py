import asyncio
import time
from pathlib import Path

import psutil
import pytest

from agent.base.config import Config, LiveConfig
from agent.collect.memory import Memory
from agent.collect.sampler import Sampler
from agent.collect.uptime import Uptime
from flotilla.v1.agent_pb2 import COLLECTOR_CPU, COLLECTOR_LOAD, AgentConfig, CollectorList
from flotilla.v1.metrics_pb2 import PerformanceSnapshot
from tests.fixtures.virtual_time import in_virtual_time
from tests.fixtures.waiting import soon


class Broken:
    def __init__(self) -> None:
        self.broken = True

    def collect(self, snapshot: PerformanceSnapshot, now: float) -> None:  # noqa: ARG002
        if self.broken:
            raise ValueError("unreadable")


def live(config: Config | None = None) -> LiveConfig:
    return LiveConfig(config or Config(), AgentConfig())


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


def test_a_failing_collector_is_said_and_the_others_continue(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = Broken()
    sampler = Sampler(live(), {"load": lambda: broken, "cpu": Broken, "uptime": Uptime})

    snapshot = sampler.sample()
    sampler.sample()
    broken.broken = False
    later = sampler.sample()

    assert snapshot.uptime_seconds > 0
    assert [(each.collector, each.item, each.detail) for each in snapshot.omitted] == [
        ("load", "", "unreadable"),
        ("cpu", "", "unreadable"),
    ]
    assert [each.collector for each in later.omitted] == ["cpu"]
    messages = [record.getMessage() for record in caplog.records]
    assert sorted(messages[:2]) == [
        "The collector cpu is not reported: unreadable",
        "The collector load is not reported: unreadable",
    ]
    assert messages[2:] == ["The collector load is reported again."]


class Faulty:
    def collect(self, snapshot: PerformanceSnapshot, now: float) -> None:  # noqa: ARG002
        raise KeyError("x")


def test_a_fault_of_a_collector_is_logged_once_with_its_place(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sampler = Sampler(live(), {"load": Faulty})

    sampler.sample()
    sampler.sample()

    with_place = [record for record in caplog.records if record.exc_info]
    assert [record.getMessage() for record in with_place] == [
        "The collector load fails; the other collectors continue."
    ]


def test_what_cannot_be_opened_is_said_with_its_path(tmp_path: Path) -> None:
    sampler = Sampler(live(), {"memory": lambda: Memory(tmp_path)})

    (omitted,) = sampler.sample().omitted

    assert omitted.detail == f"{tmp_path}/meminfo: No such file or directory"


async def test_a_shorter_interval_takes_effect_at_once() -> None:
    config = live(Config(report_interval=3600))
    taken: asyncio.Queue[PerformanceSnapshot] = asyncio.Queue()
    running = asyncio.ensure_future(Sampler(config).run(taken.put_nowait))
    await soon(taken.get())

    config.apply(AgentConfig(revision=1, report_interval_ms=500))

    await soon(taken.get())
    running.cancel()


async def test_collectors_are_switched_while_the_sampler_runs() -> None:
    config = live(Config(report_interval=3600))
    taken: asyncio.Queue[PerformanceSnapshot] = asyncio.Queue()
    running = asyncio.ensure_future(Sampler(config).run(taken.put_nowait))
    assert (await soon(taken.get())).HasField("load_1")

    disabled = CollectorList(collectors=[COLLECTOR_CPU, COLLECTOR_LOAD])
    config.apply(AgentConfig(revision=1, report_interval_ms=500, disabled_collectors=disabled))

    assert not (await soon(taken.get())).HasField("load_1")
    running.cancel()


@in_virtual_time
async def test_samples_are_taken_at_the_interval_without_drift() -> None:
    now = asyncio.get_running_loop().time
    began = now()
    taken: list[float] = []
    sampler = Sampler(live(Config(report_interval=0.5)), {})

    running = asyncio.ensure_future(sampler.run(lambda _: taken.append(now() - began)))
    await asyncio.sleep(2.1)
    running.cancel()

    assert taken == [0.0, 0.5, 1.0, 1.5, 2.0]
