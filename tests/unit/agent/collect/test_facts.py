import psutil
import pytest

from agent import __version__
from agent.collect import facts
from agent.collect.kernel.cpu_model import cpu_model
from tests.fixtures.agent.fake_host import Host

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


@pytest.mark.parametrize("file", ["meminfo", "stat", "cpuinfo", "net/fib_trie", "net/if_inet6"])
@pytest.mark.parametrize("content", [None, b"\xff\x00 x\n\n:::\ncpu\nbtime\n"])
def test_a_fact_that_cannot_be_read_is_left_out_alone(
    host: Host, file: str, content: bytes | None
) -> None:
    furnish(host)
    expected = facts.collect(host.root)
    path = host.proc / file
    path.unlink()
    if content is None:
        path.mkdir()  # opening it fails
    else:
        path.write_bytes(content)

    found = facts.collect(host.root)

    fields = [field.name for field, _ in expected.ListFields()]
    changed = [name for name in fields if getattr(found, name) != getattr(expected, name)]
    missing = {
        "meminfo": ["memory_total_bytes"],
        "stat": ["cpu_count", "boot_time_unix_s"],
        "cpuinfo": ["cpu_model"],
        "net/fib_trie": ["ip_addresses"],
        "net/if_inet6": ["ip_addresses"],
    }
    assert changed == missing[file]


@pytest.mark.parametrize("name", ["x\x85y", "x\u2028y", "a\u3000b", "\x1c", "网口"])
def test_the_name_of_an_interface_takes_no_address_away(host: Host, name: str) -> None:
    furnish(host)
    host.write(
        "proc/net/if_inet6",
        f"20010db8000000000000000000000009 02 40 00 80 {name}\n{IF_INET6}",
    )
    host.write("proc/net/route", ROUTE + f"{name}\t000011AC\t0\t1\t0\t0\t0\t0000FFFF\t0\t0\t0\n")

    addresses = list(facts.collect(host.root).ip_addresses)

    assert addresses == ["203.0.113.7", "2001:db8::9", "2001:db8::7"]


# Lines of /proc/cpuinfo, and the name of the processor.
PROCESSORS = {
    "Ampere Altra": ("CPU implementer\t: 0x41\nCPU part\t: 0xd0c\n", "Neoverse-N1"),
    "Graviton 4": ("CPU implementer\t: 0x41\nCPU part\t: 0xd4f\n", "Neoverse-V2"),
    "AmpereOne": ("CPU implementer\t: 0xc0\nCPU part\t: 0xac3\n", "Ampere-1"),
    "two kinds of cores": (
        (
            "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd05\n\n"
            "processor\t: 1\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\n"
        ),
        "Cortex-A55 + Cortex-A76",
    ),
    "a part that is not known": (
        "CPU implementer\t: 0x41\nCPU part\t: 0xfff\n",
        "ARM part 0xfff",
    ),
    "Raspberry Pi": (
        (
            "CPU implementer\t: 0x41\nCPU part\t: 0xd08\n\nHardware\t: BCM2835\n"
            "Model\t\t: Raspberry Pi 4 Model B Rev 1.4\n"
        ),
        "Raspberry Pi 4 Model B Rev 1.4",
    ),
    "POWER10": (
        "cpu\t\t: POWER10 (raw), altivec supported\n\nmodel\t\t: IBM,9080-HEX\n",
        "POWER10 (raw)",
    ),
    "RISC-V": ("hart\t\t: 1\nisa\t\t: rv64imafdc\nuarch\t\t: sifive,u74-mc\n", "sifive,u74-mc"),
    "RISC-V without a name": ("hart\t\t: 1\nisa\t\t: rv64imafdc\n", "RISC-V rv64imafdc"),
    "s390x": (
        (
            "vendor_id       : IBM/S390\n# processors    : 2\n"
            "processor 0: version = FF,  identification = 000000,  machine = 8561\n"
        ),
        "IBM/S390 8561",
    ),
    "LoongArch": ("processor\t\t: 0\nModel Name\t\t: Loongson-3C5000\n", "Loongson-3C5000"),
    "MIPS": (
        "system type\t\t: EdgeRouter\ncpu model\t\t: Cavium Octeon III\n",
        "Cavium Octeon III",
    ),
    "x86": (
        "vendor_id\t: GenuineIntel\nmodel\t\t: 85\nmodel name\t: Intel(R) Xeon(R) Gold 6226R\n",
        "Intel(R) Xeon(R) Gold 6226R",
    ),
    "nothing": ("", ""),
}


@pytest.mark.parametrize(("cpuinfo", "name"), PROCESSORS.values(), ids=PROCESSORS)
def test_the_processor_has_a_name(cpuinfo: str, name: str) -> None:
    assert cpu_model(cpuinfo) == name


def test_facts_of_this_machine_agree_with_psutil() -> None:
    found = facts.collect()
    addresses = {
        address.address.partition("%")[0]
        for card in psutil.net_if_addrs().values()
        for address in card
    }

    assert found.cpu_count == psutil.cpu_count()
    assert 0 < found.memory_total_bytes <= psutil.virtual_memory().total
    assert abs(found.boot_time_unix_s - psutil.boot_time()) <= 1
    assert set(found.ip_addresses) <= addresses
