import psutil

from agent import __version__
from agent.collect import facts
from tests.unit.agent.host import Host

FIB_TRIE = """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 127.0.0.0/8 2 0 2
        |-- 127.0.0.1
           /32 host LOCAL
     +-- 203.0.113.0/24 2 0 2
        |-- 203.0.113.7
           /32 host LOCAL
        |-- 203.0.113.255
           /32 link BROADCAST
     |-- 172.17.0.1
        /32 host LOCAL
Local:
     |-- 203.0.113.7
        /32 host LOCAL
"""
ROUTE = (
    "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
    "eth0\t00000000\t017100CB\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
    "docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
)
IF_INET6 = """00000000000000000000000000000001 01 80 10 80       lo
20010db8000000000000000000000007 02 40 00 80     eth0
20010db8000000000000000000000008 02 40 00 20     eth0
fe80000000000000000000000000abcd 02 40 20 80     eth0
"""


def furnish(host: Host) -> None:
    host.write("etc/os-release", 'NAME="Debian"\nID=debian\nPRETTY_NAME="Debian GNU/Linux 13"\n')
    host.write("proc/cpuinfo", "processor : 0\nmodel name : AMD EPYC\nflags : fpu hypervisor\n")
    host.write("proc/stat", "cpu  1 1\ncpu0 1 1\ncpu1 1 1\nbtime 1795376469\n")
    host.write("proc/meminfo", "MemTotal: 1000 kB\n")
    host.write("proc/sys/kernel/random/boot_id", "d5731c7b-02a1-418c-800a-c6cfafa0a939\n")
    host.write("proc/net/fib_trie", FIB_TRIE)
    host.write("proc/net/route", ROUTE)
    host.write("proc/net/if_inet6", IF_INET6)
    host.write("sys/class/dmi/id/sys_vendor", "QEMU\n")


def test_facts_are_read_from_the_hosts_own_files(host: Host) -> None:
    furnish(host)

    found = facts.collect(host.root)

    assert found.os_id == "debian"
    assert found.os_name == "Debian GNU/Linux 13"
    assert found.cpu_model == "AMD EPYC"
    assert found.cpu_count == 2
    assert found.memory_total_bytes == 1000 * 1024
    assert found.virtualization == "qemu"
    assert found.boot_id == "d5731c7b-02a1-418c-800a-c6cfafa0a939"
    assert found.boot_time_unix_s == 1795376469
    assert found.agent_version == __version__


def test_addresses_leave_out_loopback_link_local_fading_and_container_bridges(host: Host) -> None:
    furnish(host)

    assert list(facts.collect(host.root).ip_addresses) == ["203.0.113.7", "2001:db8::7"]


def test_a_container_is_known_by_its_first_process(host: Host) -> None:
    furnish(host)
    host.write("proc/1/environ", "PATH=/bin\0container=lxc\0TERM=linux\0")

    assert facts.collect(host.root).virtualization == "lxc"


def test_bare_metal_is_told_from_the_unknown(host: Host) -> None:
    furnish(host)
    host.write("proc/cpuinfo", "flags : fpu sse\n")
    host.write("sys/class/dmi/id/sys_vendor", "Dell Inc.\n")

    assert facts.collect(host.root).virtualization == "none"


def test_facts_do_without_files_that_a_host_does_not_have(host: Host) -> None:
    host.write("proc/meminfo", "MemTotal: 1000 kB\n")

    found = facts.collect(host.root)

    assert found.os_id == "linux"
    assert found.virtualization == ""
    assert list(found.ip_addresses) == []


def test_facts_of_this_machine_agree_with_psutil() -> None:
    found = facts.collect()
    addresses = {
        address.address.partition("%")[0]
        for card in psutil.net_if_addrs().values()
        for address in card
    }

    assert found.cpu_count == psutil.cpu_count()
    assert found.memory_total_bytes == psutil.virtual_memory().total
    assert abs(found.boot_time_unix_s - psutil.boot_time()) <= 1
    assert set(found.ip_addresses) <= addresses
