"""Facts about the host. A fact that cannot be read or understood is left out alone."""

import functools
import logging
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from agent import __version__
from agent.collect.kernel.cpu_model import cpu_model
from agent.collect.memory import total_memory
from agent.collect.omissions import readable
from flotilla.v1.agent_pb2 import HostFacts

log = logging.getLogger(__name__)

ADDRESS_LIMIT = 64
PROBE_TIMEOUT = 2.0  # seconds
# Address flags of /proc/net/if_inet6.
IPV6_DEPRECATED_OR_TENTATIVE = 0x20 | 0x40
IPV6_GLOBAL = 0x00  # scope

Fact = TypeVar("Fact")


def collect(root: Path = Path("/")) -> HostFacts:
    """Read hardware, operating system and addresses of the host whose files are below `root`."""
    proc = root / "proc"
    system = os.uname()
    release = _os_release(root)
    boot_time, processor_count = _kernel_start(proc / "stat")
    memory = _or_default(lambda: total_memory(proc, root / "sys"), 0)
    facts = HostFacts(
        hostname=readable(system.nodename),
        os_id=release.get("ID", "linux"),
        os_name=release.get("PRETTY_NAME", release.get("NAME", "Linux")),
        kernel=readable(system.release),
        architecture=system.machine,
        cpu_model=_or_default(lambda: cpu_model(_text(proc / "cpuinfo")), ""),
        cpu_count=processor_count,
        virtualization=_virtualization(root),
        boot_id=_text(proc / "sys/kernel/random/boot_id"),
        ip_addresses=_addresses(proc / "net")[:ADDRESS_LIMIT],
        agent_version=__version__,
        boot_time_unix_s=boot_time,
    )
    if memory:
        facts.memory_total_bytes = memory
    return facts


def _or_default(read: Callable[[], Fact], default: Fact) -> Fact:
    try:
        return read()
    except (OSError, ValueError) as error:
        log.debug("A fact is left out: %s", error)
        return default


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip("\0\n ")
    except OSError:
        return ""


def _os_release(root: Path) -> dict[str, str]:
    text = _text(root / "etc/os-release") or _text(root / "usr/lib/os-release")
    pairs = (line.partition("=") for line in text.splitlines())
    return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}


def _colon_fields(path: Path) -> dict[str, str]:
    pairs = (line.partition(":") for line in _text(path).splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _kernel_start(path: Path) -> tuple[int, int]:
    """Return the boot time in seconds since the epoch, and the number of processors."""
    boot_time = processors = 0
    for line in _text(path).split("\n"):
        name, *values = line.split()[:2] or [""]
        if name == "btime" and values and values[0].isdecimal():
            boot_time = int(values[0])
        elif name.startswith("cpu") and name.removeprefix("cpu").isdecimal():
            processors += 1
    return boot_time, processors


@functools.cache
def _virtualization(root: Path) -> str:
    name = _systemd_detect_virt() if root == Path("/") else ""
    return name or _container(root) or _machine(root)


def _systemd_detect_virt() -> str:
    try:
        result = subprocess.run(
            ["systemd-detect-virt"],  # noqa: S607  # in /bin or /usr/bin, depending on the host
            capture_output=True,
            text=True,
            timeout=PROBE_TIMEOUT,
            # Its exit code is not 0 on hosts without virtualization.
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip()


def _container(root: Path) -> str:
    for variable in _text(root / "proc/1/environ").split("\0"):
        if variable.startswith("container="):
            return variable.removeprefix("container=")
    if (root / ".dockerenv").exists():
        return "docker"
    if (root / "run/.containerenv").exists():
        return "podman"
    if (root / "proc/vz").exists() and not (root / "proc/bc").exists():
        return "openvz"
    return ""


# Texts in the vendor and product names of the firmware, and the name reported for each.
MACHINES = (
    ("kvm", "kvm"),
    ("qemu", "qemu"),
    ("vmware", "vmware"),
    ("virtualbox", "oracle"),
    ("xen", "xen"),
    ("microsoft corporation virtual", "microsoft"),
    ("amazon ec2", "amazon"),
    ("google compute engine", "google"),
    ("digitalocean", "kvm"),
    ("openstack", "kvm"),
)


def _machine(root: Path) -> str:
    dmi = root / "sys/class/dmi/id"
    names = f"{_text(dmi / 'sys_vendor')} {_text(dmi / 'product_name')}".lower()
    for text, name in MACHINES:
        if text in names:
            return name
    if _text(root / "sys/hypervisor/type") == "xen":
        return "xen"
    flags = _colon_fields(root / "proc/cpuinfo").get("flags", "").split()
    if "hypervisor" in flags:
        return "vm-other"
    return "none" if flags and names.strip() else ""


def _addresses(net: Path) -> list[str]:
    """Return the addresses of the host, without loopback and container bridges.

    psutil.net_if_addrs() fails if the name of an interface is not UTF-8, and does not tell
    deprecated addresses.
    """
    none: list[str] = []
    return [
        *_or_default(lambda: list(_ipv4_addresses(net)), none),
        *_or_default(lambda: list(_ipv6_addresses(net / "if_inet6")), none),
    ]


def _ipv4_addresses(net: Path) -> Iterator[str]:
    """Yield local addresses from the routing table, without loopback and container bridges."""
    bridges = list(_bridge_networks(net / "route"))
    seen = set()
    address = ""
    for line in _text(net / "fib_trie").split("\n"):
        words = line.split()
        if words[-2:] == ["host", "LOCAL"]:
            number = _number(address)
            bridged = any(number & mask == network for network, mask in bridges)
            if address not in seen and not address.startswith("127.") and not bridged:
                seen.add(address)
                yield address
        elif len(words) == 2 and words[0] == "|--":
            address = words[1]


def _number(address: str) -> int:
    return int.from_bytes(socket.inet_aton(address), "big")


def _bridge_networks(route: Path) -> Iterator[tuple[int, int]]:
    for line in _text(route).split("\n")[1:]:
        name, *columns = line.split("\t")
        if name.startswith(("docker", "br-", "virbr", "cni", "lxdbr")) and len(columns) > 6:
            yield _route_number(columns[0]), _route_number(columns[6])


def _route_number(digits: str) -> int:
    # In the byte order of the processor, which is little-endian on all platforms of the agent.
    return int.from_bytes(bytes.fromhex(digits), "little")


def _ipv6_addresses(table: Path) -> Iterator[str]:
    for line in _text(table).split("\n"):
        # The name is the last field and the only one that can contain unusual characters.
        fields = line.split(maxsplit=5)
        if len(fields) < 5:
            continue
        digits, _, _, scope, flags, *name = fields
        unsettled = int(flags, 16) & IPV6_DEPRECATED_OR_TENTATIVE
        if int(scope, 16) == IPV6_GLOBAL and not unsettled and name != ["lo"]:
            yield socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits))
