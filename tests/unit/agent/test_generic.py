import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from agent.collect import generic as module
from agent.collect import plugin
from agent.collect.generic import CollectorError, Generic, execute
from agent.collect.lines import SERIES_LIMIT, Point, format_line, parse, parse_line
from agent.config import Command, Config, LiveConfig
from flotilla.v1.agent_pb2 import COLLECTOR_GENERIC, AgentConfig, CollectorList
from flotilla.v1.metrics_pb2 import GenericMetric
from tests.unit.agent.edge import soon


def shell(script: str, *, timeout: float = 5.0, interval: float = 60.0) -> Command:
    return Command(("/bin/sh", "-c", script), interval, timeout, name="script")


def generic(*commands: Command) -> Generic:
    return Generic(LiveConfig(Config(), AgentConfig()), commands)


def test_a_line_is_a_name_a_value_and_labels() -> None:
    assert parse_line("queue_length 3") == Point("queue_length", (), 3)
    assert parse_line("disk.free 1.5e9  mount=/ host=a=b") == Point(
        "disk.free", (("host", "a=b"), ("mount", "/")), 1.5e9
    )
    assert parse_line('free 1 mount="/my disk" empty=') == Point(
        "free", (("empty", ""), ("mount", "/my disk")), 1
    )


@pytest.mark.parametrize(
    "line",
    [
        *("name", "name x", "name nan", "name inf", "9name 1", "na me 1", f"{'n' * 201} 1"),
        *("cpu-load 1", "námé 1"),
        *("name 1 label", "name 1 9=x", "name 1 a=1 a=2", "name 1 =x", 'name 1 a="x'),
        f"name 1 a={'v' * 300}",
        "name 1 " + " ".join(f"l{number}=x" for number in range(20)),
        "name 1 " + " ".join(f"{name}={'é' * 128}" for name in "abcd"),
    ],
)
def test_a_line_of_another_form_is_counted_and_passed_over(line: str) -> None:
    parsed = parse(f"# a comment\n\n{line}\ngood 1\n".encode())

    assert parsed.malformed == 1
    assert [point.name for point in parsed.points] == ["good"]


def test_bytes_that_are_no_text_are_counted_too() -> None:
    assert parse(b"\xff\xfe 1\ngood 1").malformed == 1


def test_a_series_counts_once_and_two_hundred_are_enough() -> None:
    lines = [f"m 1 n={number}" for number in range(SERIES_LIMIT + 7)]

    parsed = parse("\n".join(["m 5 n=0", *lines]).encode())

    assert len(parsed.points) == SERIES_LIMIT
    assert parsed.points[0].value == 5
    assert (parsed.malformed, parsed.surplus) == (1, 7)


def test_what_is_written_is_read_the_same() -> None:
    line = format_line("m", 2, {"a": "x y", "b": "it's", "c": ""})

    assert parse_line(line) == Point("m", (("a", "x y"), ("b", "it's"), ("c", "")), 2)


async def test_an_executables_lines_become_metrics() -> None:
    before = time.time_ns() // 1_000_000

    metrics = await generic().collect(shell("echo 'queue 3 name=mail'; echo 'load 0.5'"))

    assert [(m.name, dict(m.labels), m.value) for m in metrics] == [
        ("queue", {"name": "mail"}, 3),
        ("load", {}, 0.5),
    ]
    assert before <= metrics[0].time_unix_ms == metrics[1].time_unix_ms


async def test_one_that_takes_too_long_is_killed_with_everything_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"sleep 1000 & echo $! >> {pids}; echo $$ >> {pids}; echo 'late 1'; sleep 1000"

    began = time.monotonic()
    with pytest.raises(CollectorError, match=r"longer than 0\.5 s"):
        await execute(shell(script, timeout=0.5))

    assert time.monotonic() - began < 3
    for pid in map(int, pids.read_text().split()):
        await soon(asyncio.to_thread(gone, pid))


def gone(pid: int) -> None:
    while True:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":
            return
        time.sleep(0.01)


async def test_a_child_left_behind_with_the_output_open_is_no_wait_without_end() -> None:
    with pytest.raises(CollectorError, match="longer than"):
        await soon(execute(shell("setsid sleep 3 & echo 'm 1'", timeout=0.5)))


async def test_output_without_end_is_cut_off_at_its_limit(caplog: pytest.LogCaptureFixture) -> None:
    script = 'i=0; while :; do i=$((i+1)); echo "m $i n=1"; done'

    metrics = await soon(generic().collect(shell(script)))

    assert [metric.value for metric in metrics] == [1]
    assert f"more than {module.OUTPUT_LIMIT} bytes" in caplog.text


async def test_trouble_is_told_once_and_its_end_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    command = shell(f"test -e {tmp_path / 'well'} || exit 3; echo 'm 1'")
    collectors = generic()

    assert await collectors.collect(command) == []
    assert await collectors.collect(command) == []
    (tmp_path / "well").touch()
    assert len(await collectors.collect(command)) == 1

    assert caplog.text.count("ends with code 3") == 1
    assert "works again" in caplog.text


async def test_a_name_that_the_server_does_not_take_is_told_once(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    lines = tmp_path / "lines"
    collectors = generic()
    for count in (1, 3):
        lines.write_text("".join(f"cpu-load 1 core={core}\n" for core in range(count)))
        assert await collectors.collect(shell(f"cat {lines}")) == []

    assert caplog.text.count("not taken: a name is of up to 200 letters, digits, _, : and .") == 1


async def test_one_that_is_not_there_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    assert await generic().collect(Command(("/nowhere/at-all",), name="gone")) == []

    assert "No such file" in caplog.text


async def test_a_collector_learns_nothing_of_the_agents_surroundings(
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
    running = asyncio.ensure_future(generic(failing, hanging, good).run(arrived.put_nowait))

    found = 0
    while found < 3:
        found += len(await soon(arrived.get()))

    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_the_server_can_switch_them_off(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    config = LiveConfig(Config(), AgentConfig())
    off = CollectorList(collectors=[COLLECTOR_GENERIC])
    config.apply(AgentConfig(revision=1, disabled_collectors=off))
    collectors = Generic(config, (shell(f"echo >> {runs}", interval=0.01),))

    running = asyncio.ensure_future(collectors.run(lambda _: None))
    await asyncio.wait({running}, timeout=0.1)

    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert not runs.exists()


async def test_an_entry_point_is_called_in_a_process_of_its_own(
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
    surroundings = {
        **module.SURROUNDINGS,
        "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]),
    }
    monkeypatch.setattr(module, "SURROUNDINGS", surroundings)

    (command,) = module.plugins()
    metrics = await generic().collect(command)

    assert command.name == "answers"
    assert [(m.name, dict(m.labels)) for m in metrics] == [
        ("answers", {"of": "all things"}),
        ("pid", {}),
    ]
    assert metrics[0].value == 42
    assert metrics[1].value != os.getpid()
