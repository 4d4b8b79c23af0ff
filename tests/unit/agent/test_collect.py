import os
import time
from pathlib import Path

import psutil
import pytest

from agent.collect.collector import Collector
from agent.collect.connections import Connections
from agent.collect.cpu import Cpu
from agent.collect.load import Load
from agent.collect.memory import Memory
from agent.collect.processes import Processes
from agent.collect.temperature import Temperature
from agent.collect.uptime import Uptime
from flotilla.v1.metrics_pb2 import PerformanceSnapshot
from tests.unit.agent.host import Host


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


def test_a_core_that_goes_offline_leaves_no_shifted_list(host: Host) -> None:
    host.write("proc/stat", CPU_BEFORE + "")
    cpu = Cpu(host.proc)
    collect(cpu)
    host.write("proc/stat", "cpu  1100 0 500 8100 100 0 0 0 0 0\n")

    assert collect(cpu) == PerformanceSnapshot()


def test_cpu_reads_a_kernel_without_the_steal_column(host: Host) -> None:
    host.write("proc/stat", "cpu  10 0 10 80 0 0 0\ncpu0 10 0 10 80 0 0 0\n")
    cpu = Cpu(host.proc)
    collect(cpu)
    host.write("proc/stat", "cpu  20 0 20 160 0 0 0\ncpu0 20 0 20 160 0 0 0\n")

    assert collect(cpu).cpu_usage_percent == pytest.approx(20)


def test_a_busy_loop_shows_on_this_machines_cpu() -> None:
    cpu = Cpu()
    collect(cpu)
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        pass

    snapshot = collect(cpu)

    # One core of those there are was busy with us.
    assert 90 / (os.cpu_count() or 1) < snapshot.cpu_usage_percent <= 100
    assert max(snapshot.cpu_core_usage_percent) <= 100
    assert len(snapshot.cpu_core_usage_percent) == psutil.cpu_count()


def test_load_is_the_kernels(host: Host) -> None:
    host.write("proc/loadavg", "0.52 1.20 12.05 1/234 5678\n")

    snapshot = collect(Load(host.proc))

    assert (snapshot.load_1, snapshot.load_5, snapshot.load_15) == pytest.approx((0.52, 1.2, 12.05))


MEMINFO = """MemTotal:        1000 kB
MemFree:          100 kB
MemAvailable:     600 kB
Buffers:           50 kB
Cached:           400 kB
SwapCached:         7 kB
SwapTotal:        500 kB
SwapFree:         200 kB
SReclaimable:      30 kB
HugePages_Total:    0
"""


def test_memory_in_use_is_what_is_not_available(host: Host) -> None:
    host.write("proc/meminfo", MEMINFO)

    assert collect(Memory(host.proc)) == PerformanceSnapshot(
        memory_total_bytes=1000 * 1024,
        memory_used_bytes=400 * 1024,
        memory_cached_bytes=480 * 1024,
        swap_total_bytes=500 * 1024,
        swap_used_bytes=300 * 1024,
    )


def test_memory_of_an_old_kernel_is_worked_out_from_free_and_cached(host: Host) -> None:
    host.write("proc/meminfo", MEMINFO.replace("MemAvailable:     600 kB\n", ""))

    assert collect(Memory(host.proc)).memory_used_bytes == (1000 - 100 - 480) * 1024


def test_memory_agrees_with_psutil_on_this_machine() -> None:
    expected = psutil.virtual_memory()

    snapshot = collect(Memory())

    assert snapshot.memory_total_bytes == expected.total
    used = expected.total - expected.available
    assert snapshot.memory_used_bytes == pytest.approx(used, rel=0.2)
    assert snapshot.swap_total_bytes == psutil.swap_memory().total


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


def test_processes_agree_with_psutil_on_this_machine() -> None:
    assert abs(collect(Processes()).processes - len(psutil.pids())) <= 5


def test_uptime_is_in_whole_seconds(host: Host) -> None:
    host.write("proc/uptime", "12345.67 9999.99\n")

    assert collect(Uptime(host.proc)).uptime_seconds == 12345


def test_temperatures_are_named_by_chip_and_sensor(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = {
        "coretemp": [psutil._ntuples.shwtemp("Core 0", 41.5, 80.0, 90.0)],
        "acpitz": [psutil._ntuples.shwtemp("", 30.0, None, None)],
    }
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: readings)
    host.write("sys/class/hwmon/hwmon0/temp1_input", "41500")

    snapshot = collect(Temperature(host.sys), now=100.0)

    assert {t.sensor: t.celsius for t in snapshot.temperatures} == {
        "coretemp Core 0": 41.5,
        "acpitz": 30.0,
    }


def test_a_host_without_sensors_reports_no_temperature(tmp_path: Path) -> None:
    assert collect(Temperature(tmp_path), now=100.0) == PerformanceSnapshot()
