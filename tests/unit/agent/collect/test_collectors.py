import time

import psutil
import pytest

from agent.collect.collector import Collector
from agent.collect.connections import Connections
from agent.collect.cpu import Cpu
from agent.collect.load import Load
from agent.collect.processes import Processes
from agent.collect.uptime import Uptime
from flotilla.v1.metrics_pb2 import PerformanceSnapshot
from tests.fixtures.agent.fake_host import Host
from tests.fixtures.waiting import until


def collect(collector: Collector, now: float = 0.0) -> PerformanceSnapshot:
    snapshot = PerformanceSnapshot()
    collector.collect(snapshot, now)
    return snapshot


#                  user nice system idle iowait irq softirq steal guest guest_nice
CPU_BEFORE = "cpu  1000 0 500 8000 100 0 0 0 400 0\ncpu0 1000 0 500 8000 100 0 0 0 400 0\nintr 1\n"


def test_cpu_needs_two_readings(host: Host) -> None:
    host.write("proc/stat", CPU_BEFORE)

    assert collect(Cpu(host.proc)) == PerformanceSnapshot()


def test_cpu_usage_leaves_out_idle_and_iowait_and_counts_guest_time_once(host: Host) -> None:
    host.write("proc/stat", CPU_BEFORE)
    cpu = Cpu(host.proc)
    collect(cpu)
    # 100 ticks: 30 user (all of them a guest's), 10 system, 40 idle, 15 iowait, 5 steal
    host.write(
        "proc/stat",
        "cpu  1030 0 510 8040 115 0 0 5 430 0\ncpu0 1030 0 510 8040 115 0 0 5 430 0\nintr 2\n",
    )

    snapshot = collect(cpu)

    assert snapshot.cpu_usage_percent == pytest.approx(45)
    assert snapshot.cpu_iowait_percent == pytest.approx(15)
    assert snapshot.cpu_steal_percent == pytest.approx(5)
    assert list(snapshot.cpu_core_usage_percent) == pytest.approx([45])


def test_cpu_idle_stepping_back_a_tick_keeps_usage_within_bounds(host: Host) -> None:
    host.write("proc/stat", CPU_BEFORE)
    cpu = Cpu(host.proc)
    collect(cpu)
    host.write(
        "proc/stat", "cpu  1100 0 500 7999 99 0 0 0 0 0\ncpu0 1100 0 500 7999 99 0 0 0 0 0\n"
    )

    assert collect(cpu).cpu_usage_percent == pytest.approx(100)


def test_cpu_counters_that_start_anew_give_no_value(host: Host) -> None:
    host.write("proc/stat", CPU_BEFORE)
    cpu = Cpu(host.proc)
    collect(cpu)
    host.write("proc/stat", "cpu  10 0 5 80 1 0 0 0 0 0\ncpu0 10 0 5 80 1 0 0 0 0 0\n")

    assert collect(cpu) == PerformanceSnapshot()


def stat(*rows: str) -> str:
    return "".join(f"{row}\n" for row in rows)


def test_the_total_is_known_when_a_core_goes_offline(host: Host) -> None:
    host.write("proc/stat", stat("cpu  200 0 0 200", "cpu0 100 0 0 100", "cpu1 100 0 0 100"))
    cpu = Cpu(host.proc)
    collect(cpu)
    host.write("proc/stat", stat("cpu  350 0 0 250", "cpu0 200 0 0 150"))

    snapshot = collect(cpu)

    assert snapshot.cpu_usage_percent == pytest.approx(75)
    assert list(snapshot.cpu_core_usage_percent) == pytest.approx([200 / 3])


# Lines of the cores before and after, the cores' usage by position, and the cores without one.
CORES: dict[str, tuple[list[str], list[str], list[float], list[int]]] = {
    "core 1 is offline": (
        ["cpu0 100 0 0 100", "cpu2 100 0 0 100", "cpu3 100 0 0 100"],
        ["cpu0 100 0 0 200", "cpu2 200 0 0 100", "cpu3 100 0 0 200"],
        [0, 0, 100, 0],
        [1],
    ),
    "core 0 is offline": (["cpu1 1 0 0 1"], ["cpu1 2 0 0 2"], [0, 50], [0]),
    "every second core is offline": (
        ["cpu0 0 0 0 0", "cpu2 0 0 0 0", "cpu4 0 0 0 0"],
        ["cpu0 1 0 0 0", "cpu2 0 0 0 1", "cpu4 1 0 0 0"],
        [100, 0, 0, 0, 100],
        [1, 3],
    ),
    "the last core stands still": (
        ["cpu0 100 0 0 100", "cpu1 100 0 0 100"],
        ["cpu0 150 0 0 150", "cpu1 100 0 0 100"],
        [50, 0],
        [1],
    ),
    "a core comes online": (
        ["cpu0 0 0 0 0"],
        ["cpu0 1 0 0 1", "cpu1 5 0 0 5"],
        [50],
        [],
    ),
    "a line cannot be read": (
        ["cpu0 0 0 0 0", "cpu1 0 0 0 x", "cpu2 0 0 0 0"],
        ["cpu0 1 0 0 1", "cpu1 1 0 0 x", "cpu2 1 0 0 0"],
        [50, 0, 100],
        [1],
    ),
}


@pytest.mark.parametrize(("before", "after", "usage", "unknown"), CORES.values(), ids=CORES)
def test_each_core_has_its_own_number(
    host: Host, before: list[str], after: list[str], usage: list[float], unknown: list[int]
) -> None:
    host.write("proc/stat", stat("cpu  1 0 0 1", *before))
    cpu = Cpu(host.proc)
    collect(cpu)
    host.write("proc/stat", stat("cpu  2 0 0 2", *after))

    snapshot = collect(cpu)

    assert snapshot.cpu_usage_percent == pytest.approx(50)
    assert list(snapshot.cpu_core_usage_percent) == pytest.approx(usage)
    assert list(snapshot.cpu_cores_without_value) == unknown


@pytest.mark.parametrize(
    "tail", ["\n", "intr 1\nctxt 1\n", "page 1 2\nswap 0 0\n", "cpuidle 1 2\n", ""]
)
def test_other_lines_follow_the_cores(host: Host, tail: str) -> None:
    host.write("proc/stat", stat("cpu  0 0 0 0", "cpu0 0 0 0 0") + tail)
    cpu = Cpu(host.proc)
    collect(cpu)
    host.write("proc/stat", stat("cpu  1 0 0 1", "cpu0 1 0 0 1") + tail)

    assert collect(cpu).cpu_usage_percent == pytest.approx(50)


def test_cpu_reads_a_kernel_without_the_steal_column(host: Host) -> None:
    host.write("proc/stat", "cpu  10 0 10 80 0 0 0\ncpu0 10 0 10 80 0 0 0\n")
    cpu = Cpu(host.proc)
    collect(cpu)
    host.write("proc/stat", "cpu  20 0 20 160 0 0 0\ncpu0 20 0 20 160 0 0 0\n")

    assert collect(cpu).cpu_usage_percent == pytest.approx(20)


def test_a_busy_loop_shows_on_this_machines_cpu() -> None:
    cpu = Cpu()
    collect(cpu)
    until_used = time.process_time() + 0.5
    while time.process_time() < until_used:
        pass

    snapshot = collect(cpu)

    assert 0 < snapshot.cpu_usage_percent <= 100
    assert max(snapshot.cpu_core_usage_percent) <= 100
    assert len(snapshot.cpu_core_usage_percent) == psutil.cpu_count()


def test_load_is_the_kernels(host: Host) -> None:
    host.write("proc/loadavg", "0.52 1.20 12.05 1/234 5678\n")

    snapshot = collect(Load(host.proc))

    assert (snapshot.load_1, snapshot.load_5, snapshot.load_15) == pytest.approx((0.52, 1.2, 12.05))


def test_connections_count_established_tcp_and_udp_of_both_ip_versions(host: Host) -> None:
    host.write(
        "proc/net/snmp",
        "Ip: Forwarding DefaultTTL\nIp: 1 64\n"
        "Tcp: RtoAlgorithm CurrEstab InSegs\nTcp: 1 42 9\nUdp: InDatagrams\nUdp: 3\n",
    )
    host.write("proc/net/sockstat", "sockets: used 9\nTCP: inuse 60 orphan 0\nUDP: inuse 5 mem 1\n")
    host.write("proc/net/sockstat6", "TCP6: inuse 3\nUDP6: inuse 2\nUDPLITE6: inuse 9\n")

    snapshot = collect(Connections(host.proc))

    assert (snapshot.tcp_connections, snapshot.udp_connections) == (42, 7)


def test_connections_do_without_ip_version_6(host: Host) -> None:
    host.write("proc/net/snmp", "Tcp: CurrEstab\nTcp: 1\n")
    host.write("proc/net/sockstat", "UDP: inuse 5 mem 1\n")

    assert collect(Connections(host.proc)).udp_connections == 5


def test_processes_are_the_numbered_folders(host: Host) -> None:
    for name in ("1", "42", "sys", "self", "net"):
        (host.proc / name).mkdir()

    assert collect(Processes(host.proc)).processes == 2


@pytest.mark.parametrize("visible", [["77"], ["4242", "4243"], ["11"]])
def test_no_number_of_processes_is_given_where_those_of_others_are_hidden(
    host: Host, visible: list[str]
) -> None:
    for name in (*visible, "sys", "self"):
        (host.proc / name).mkdir()

    snapshot = collect(Processes(host.proc))

    assert not snapshot.HasField("processes")
    assert [(each.collector, each.detail) for each in snapshot.omitted] == [
        ("processes", "/proc is mounted with hidepid")
    ]


async def test_processes_agree_with_psutil_on_this_machine() -> None:
    # Processes start and end between the two counts.
    await until(lambda: collect(Processes()).processes == len(psutil.pids()))


def test_uptime_is_in_whole_seconds(host: Host) -> None:
    host.write("proc/uptime", "12345.67 9999.99\n")

    assert collect(Uptime(host.proc)).uptime_seconds == 12345
