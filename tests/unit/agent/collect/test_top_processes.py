import os
import subprocess
import time

import pytest

from agent.base.config import LiveConfig, parse
from agent.collect.sampler import Sampler
from agent.collect.top_processes import COUNT, INTERVAL, PROCESS_LIMIT, TopProcesses
from flotilla.v1.agent_pb2 import AgentConfig
from flotilla.v1.metrics_pb2 import OmittedItem, PerformanceSnapshot, ProcessStats
from tests.fixtures.agent.fake_host import Host

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def put(
    host: Host, pid: int, name: str = "p", *, ticks: int = 0, start: int = 9, pages: int = 0
) -> None:
    """Write /proc/PID/stat; see proc(5)."""
    before = f"{pid} ({name}) S 1 1 1 0 -1 4194560 1 1 1 1 {ticks} 0 0 0 20 0 1 0 {start} 999"
    host.write(f"proc/{pid}/stat", f"{before} {pages} 18446744073709551615 1 1 0 0 0 0\n")


def collector(host: Host) -> TopProcesses:
    host.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nbad line\nwww:x:33:33::/:/bin/sh\n")
    if not (host.proc / "1").exists():
        put(host, 1, "init")
    return TopProcesses(host.proc, host.root / "etc/passwd")


def collect(top: TopProcesses, now: float) -> PerformanceSnapshot:
    snapshot = PerformanceSnapshot()
    top.collect(snapshot, now)
    return snapshot


def found(snapshot: PerformanceSnapshot) -> dict[int, ProcessStats]:
    return {process.pid: process for process in snapshot.top_processes}


def test_the_largest_are_reported_at_once_and_the_busiest_from_the_second_reading(
    host: Host,
) -> None:
    for pid in range(10, 20):
        put(host, pid, f"large-{pid}", pages=pid)
        put(host, pid + 10, f"busy-{pid + 10}")
    os.chown(host.proc / "19", 33, 33)
    os.chown(host.proc / "18", 54321, 0)
    top = collector(host)

    first = found(collect(top, 100.0))
    for pid in range(20, 30):
        put(host, pid, f"busy-{pid}", ticks=pid * TICKS)
    second = found(collect(top, 120.0))

    assert set(first) == {15, 16, 17, 18, 19}
    assert not first[19].HasField("cpu_usage_percent")
    assert set(second) == {15, 16, 17, 18, 19, 25, 26, 27, 28, 29}
    assert second[29].name == "busy-29"
    assert second[29].cpu_usage_percent == pytest.approx(145)
    assert (second[19].user, second[19].resident_bytes) == ("www", 19 * PAGE)
    assert second[19].cpu_usage_percent == 0
    assert second[18].user == "54321"


def test_processes_are_read_every_fifteen_seconds(host: Host) -> None:
    top = collector(host)
    put(host, 10, pages=1)
    times = [2.0 * number for number in range(20)]

    with_processes = [now for now in times if found(collect(top, now))]

    assert with_processes == [0.0, 14.0, 28.0]
    assert len(found(collect(top, 28.0 + 3600))) == 1
    assert INTERVAL == 15


def test_a_new_process_counts_from_its_start_though_its_number_is_used_again(host: Host) -> None:
    put(host, 10, "old", ticks=900 * TICKS, start=5)
    put(host, 11, "same", ticks=900 * TICKS, start=5)
    top = collector(host)
    collect(top, 0.0)
    put(host, 10, "new", ticks=2 * TICKS, start=6)
    put(host, 11, "same", ticks=901 * TICKS, start=5)

    reported = found(collect(top, 20.0))

    assert reported[10].name == "new"
    assert reported[10].cpu_usage_percent == pytest.approx(10)
    assert reported[11].cpu_usage_percent == pytest.approx(5)


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"a) S (b c", "a) S (b c"),
        (b"touch\xe9", "touch\N{REPLACEMENT CHARACTER}"),
        ("日志".encode(), "日志"),
        (b"two\nlines", "two\nlines"),
        (b"x" * 200, "x" * 64),
        (b"", ""),
    ],
)
def test_a_name_may_have_any_bytes(host: Host, raw: bytes, name: str) -> None:
    top = collector(host)
    put(host, 10, "NAME", pages=5)
    stat = host.proc / "10/stat"
    stat.write_bytes(stat.read_bytes().replace(b"NAME", raw))

    assert found(collect(top, 0.0))[10].name == name


@pytest.mark.parametrize("line", ["", "10", "10 (x) S", "10 (x) " + "y " * 50, "10 x S 1 1"])
def test_a_process_whose_line_cannot_be_read_is_left_out(host: Host, line: str) -> None:
    top = collector(host)
    put(host, 11, pages=5)
    host.write("proc/10/stat", line)
    (host.proc / "12").mkdir()  # it ended a moment ago

    snapshot = collect(top, 0.0)

    assert set(found(snapshot)) == {11}
    assert not snapshot.omitted


def test_the_reason_is_given_where_the_processes_of_others_are_hidden(host: Host) -> None:
    put(host, 77, pages=5)
    top = TopProcesses(host.proc, host.root / "none")

    for now in (0.0, 2.0):
        snapshot = collect(top, now)
        assert not snapshot.top_processes
        assert [(each.collector, each.detail) for each in snapshot.omitted] == [
            ("top_processes", "/proc is mounted with hidepid")
        ]


def test_a_host_with_too_many_processes_reports_the_first_and_says_so_in_each_sample(
    host: Host,
) -> None:
    top = collector(host)
    for pid in range(1, PROCESS_LIMIT + 12):
        (host.proc / str(pid)).mkdir(exist_ok=True)
    put(host, PROCESS_LIMIT + 1, pages=9)
    put(host, PROCESS_LIMIT, pages=5)

    snapshots = [collect(top, now) for now in (0.0, 2.0)]

    assert set(found(snapshots[0])) == {PROCESS_LIMIT}
    for snapshot in snapshots:
        (omitted,) = snapshot.omitted
        assert omitted.reason == OmittedItem.REASON_TOO_MANY
        assert omitted.detail == f"11 more than the limit of {PROCESS_LIMIT}"


def test_without_users_the_numbers_are_reported(host: Host) -> None:
    put(host, 1)
    put(host, 10, pages=5)
    assert found(collect(TopProcesses(host.proc, host.root / "none"), 0.0))[10].user == "0"


def test_a_busy_loop_of_this_machine_is_among_the_busiest() -> None:
    top = TopProcesses()
    with subprocess.Popen(["sh", "-c", "while :; do :; done"]) as busy:
        try:
            reported: dict[int, ProcessStats] = {}
            # The clock that the collector is told runs fast, so that it reads each time.
            for reading in range(100):
                reported = found(collect(top, reading * INTERVAL))
                if busy.pid in reported:
                    break
                time.sleep(0.1)
        finally:
            busy.kill()
    assert reported[busy.pid].name == "sh"
    assert reported[busy.pid].cpu_usage_percent > 0
    assert len(reported) <= 2 * COUNT


def test_only_the_file_on_the_host_turns_it_on() -> None:
    pushed = AgentConfig(revision=1)
    pushed.disabled_collectors.SetInParent()
    off, on = parse(b"", "file"), parse(b"top_processes = true", "file")

    assert not Sampler(LiveConfig(off, pushed)).sample().top_processes
    assert Sampler(LiveConfig(on, pushed)).sample().top_processes
