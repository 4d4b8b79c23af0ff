import asyncio
import dataclasses
import os
import sys
import time
from pathlib import Path

import pytest

from agent.base.cancellation import cancel
from agent.base.config import Config, CustomCollector, LiveConfig
from agent.collect.custom import generic as module
from agent.collect.custom import plugin
from agent.collect.custom.generic import CollectorError, CustomCollectors, execute
from flotilla.v1.agent_pb2 import COLLECTOR_GENERIC, AgentConfig, CollectorList
from flotilla.v1.metrics_pb2 import GenericMetric
from tests.fixtures.agent.host_processes import wait_until_gone
from tests.fixtures.virtual_time import in_virtual_time
from tests.fixtures.waiting import soon


def shell(script: str, *, timeout: float = 60.0, interval: float = 60.0) -> CustomCollector:
    return CustomCollector(("/bin/sh", "-c", script), interval, timeout, name="script")


def custom(*commands: CustomCollector) -> CustomCollectors:
    return CustomCollectors(LiveConfig(Config(), AgentConfig()), commands)


async def test_the_lines_of_an_executable_become_metrics() -> None:
    before = time.time_ns() // 1_000_000

    metrics = await custom().collect(shell("echo 'queue 3 name=mail'; echo 'load 0.5'"))

    assert [(m.name, dict(m.labels), m.value) for m in metrics] == [
        ("queue", {"name": "mail"}, 3),
        ("load", {}, 0.5),
    ]
    assert before <= metrics[0].time_unix_ms == metrics[1].time_unix_ms


async def test_a_collector_that_times_out_is_killed_with_everything_it_started(
    tmp_path: Path,
) -> None:
    pids = tmp_path / "pids"
    script = f"sleep 1000 & echo $! >> {pids}; echo $$ >> {pids}; echo 'late 1'; sleep 1000"

    with pytest.raises(CollectorError, match="timeout of 3 s"):
        await soon(execute(shell(script, timeout=3)))

    await wait_until_gone(*map(int, pids.read_text().split()))


async def test_a_child_that_keeps_the_output_open_does_not_outwait_the_timeout() -> None:
    with pytest.raises(CollectorError, match="timeout"):
        await soon(execute(shell("setsid sleep 3 & echo 'm 1'", timeout=0.5)))


async def test_endless_output_is_cut_off_at_the_limit(caplog: pytest.LogCaptureFixture) -> None:
    script = 'i=0; while :; do i=$((i+1)); echo "m $i n=1"; done'

    metrics = await soon(custom().collect(shell(script)))

    assert [metric.value for metric in metrics] == [1]
    assert f"more than {module.OUTPUT_LIMIT} bytes" in caplog.text


async def test_a_problem_and_its_end_are_each_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    command = shell(f"test -e {tmp_path / 'well'} || exit 3; echo 'm 1'")
    collectors = custom()

    assert await collectors.collect(command) == []
    assert await collectors.collect(command) == []
    (tmp_path / "well").touch()
    assert len(await collectors.collect(command)) == 1

    assert caplog.text.count("it failed with exit code 3") == 1
    assert "works again" in caplog.text


async def test_a_malformed_name_is_logged_once(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    lines = tmp_path / "lines"
    collectors = custom()
    for count in (1, 3):
        lines.write_text("".join(f"cpu-load 1 core={core}\n" for core in range(count)))
        assert await collectors.collect(shell(f"cat {lines}")) == []

    assert caplog.text.count("malformed lines are ignored: a metric name must") == 1


async def test_a_missing_executable_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert await custom().collect(CustomCollector(("/nowhere/at-all",), name="gone")) == []

    assert "No such file" in caplog.text


async def test_a_collector_does_not_see_the_agents_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FLOTILLA_ENROLMENT_TOKEN", "canary")

    output = await execute(shell("env; ls -l /proc/self/fd | wc -l"))

    assert b"canary" not in output


async def test_a_failing_collector_does_not_disturb_another() -> None:
    arrived: asyncio.Queue[list[GenericMetric]] = asyncio.Queue()
    failing = shell("exit 1", interval=0.05)
    hanging = shell("sleep 100", interval=0.05, timeout=0.2)
    good = shell("echo 'good 1'", interval=0.05)
    running = asyncio.ensure_future(custom(failing, hanging, good).run(arrived.put_nowait))

    found = 0
    while found < 3:
        found += len(await soon(arrived.get()))

    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@in_virtual_time
async def test_the_server_can_disable_custom_collectors(monkeypatch: pytest.MonkeyPatch) -> None:
    config = LiveConfig(Config(), AgentConfig())
    collectors = CustomCollectors(config, (shell("echo 'm 1'", interval=60.0),))
    executed: list[CustomCollector] = []

    async def collect(command: CustomCollector) -> list[GenericMetric]:
        executed.append(command)
        return []

    monkeypatch.setattr(collectors, "collect", collect)
    running = asyncio.ensure_future(collectors.run(lambda _: None))
    await asyncio.sleep(100)
    assert len(executed) == 2

    off = CollectorList(collectors=[COLLECTOR_GENERIC])
    config.apply(AgentConfig(revision=1, disabled_collectors=off))
    await asyncio.sleep(1000)
    await cancel(running)
    assert len(executed) == 2


async def test_an_entry_point_runs_in_its_own_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "answers.py").write_text(
        "import os\ndef collect():\n    yield 'answers', 42, {'of': 'all things'}\n"
        "    yield 'pid', os.getpid(), {}\n"
    )
    info = tmp_path / "answers-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: answers\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[{plugin.GROUP}]\nanswers = answers:collect\n")
    monkeypatch.syspath_prepend(tmp_path)
    environment = {
        **module.ENVIRONMENT,
        "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]),
    }
    monkeypatch.setattr(module, "ENVIRONMENT", environment)

    (command,) = module.plugins()
    metrics = await custom().collect(dataclasses.replace(command, timeout=60.0))

    assert command.name == "answers"
    assert [(m.name, dict(m.labels)) for m in metrics] == [
        ("answers", {"of": "all things"}),
        ("pid", {}),
    ]
    assert metrics[0].value == 42
    assert metrics[1].value != os.getpid()
