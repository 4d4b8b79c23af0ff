import functools
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from agent import __version__
from agent.collect.memory import read_meminfo
from flotilla.v1.agent_pb2 import HostFacts

ADDRESS_LIMIT = 64
PROBE_TIMEOUT = 2.0  # seconds
# Interface flags of /proc/net/if_inet6: an address on its way out or not yet sure of itself.
IPV6_DEPRECATED_OR_TENTATIVE = 0x20 | 0x40
IPV6_GLOBAL = 0x00  # scope


def collect(root: Path = Path("/")) -> HostFacts:
    proc = root / "proc"
    system = os.uname()
    release = _os_release(root)
    processors = _colon_fields(proc / "cpuinfo")
    boot_time, processor_count = _kernel_start(proc / "stat")
    addresses = [*_ipv4_addresses(proc / "net"), *_ipv6_addresses(proc / "net/if_inet6")]
    return HostFacts(
        hostname=system.nodename,
        os_id=release.get("ID", "linux"),
        os_name=release.get("PRETTY_NAME", release.get("NAME", "Linux")),
        kernel=system.release,
        architecture=system.machine,
        cpu_model=next(
            (processors[key] for key in ("model name", "Model", "Hardware") if key in processors),
            "",
        ),
        cpu_count=processor_count,
        memory_total_bytes=read_meminfo(proc)["MemTotal"],
        virtualization=_virtualization(root),
        boot_id=_text(proc / "sys/kernel/random/boot_id"),
        ip_addresses=addresses[:ADDRESS_LIMIT],
        agent_version=__version__,
        boot_time_unix_s=boot_time,
    )


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
    """When the kernel booted, in seconds since the epoch, and how many processors it runs."""
    boot_time = processors = 0
    for line in _text(path).splitlines():
        if line.startswith("btime "):
            boot_time = int(line.split()[1])
        elif line.startswith("cpu") and line[3].isdigit():
            processors += 1
    return boot_time, processors


@functools.cache
def _virtualization(root: Path) -> str:
    word = _systemd_word() if root == Path("/") else ""
    return word or _container(root) or _machine(root)


def _systemd_word() -> str:
    try:
        answer = subprocess.run(
            ["systemd-detect-virt"],  # noqa: S607  # /bin or /usr/bin, as the host has it
            capture_output=True,
            text=True,
            timeout=PROBE_TIMEOUT,
            # It fails by design where there is no virtualization.
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip()


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
    for name, word in MACHINES:
        if name in names:
            return word
    if _text(root / "sys/hypervisor/type") == "xen":
        return "xen"
    flags = _colon_fields(root / "proc/cpuinfo").get("flags", "").split()
    if "hypervisor" in flags:
        return "vm-other"
    return "none" if flags and names.strip() else ""


def _ipv4_addresses(net: Path) -> Iterator[str]:
    """Local addresses of the routing table's own trie, but for loopback and container bridges."""
    bridges = list(_bridge_networks(net / "route"))
    seen = set()
    address = ""
    for line in _text(net / "fib_trie").splitlines():
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
    return int.from_bytes(bytes(int(part) for part in address.split(".")), "big")


def _bridge_networks(route: Path) -> Iterator[tuple[int, int]]:
    for line in _text(route).splitlines()[1:]:
        name, network, *_, mask, _, _, _ = line.split()
        if name.startswith(("docker", "br-", "virbr", "cni", "lxdbr")):
            # Written as the processor holds them, which is least significant byte first
            # wherever an agent runs.
            yield (
                int.from_bytes(bytes.fromhex(network), "little"),
                int.from_bytes(bytes.fromhex(mask), "little"),
            )


def _ipv6_addresses(table: Path) -> Iterator[str]:
    for line in _text(table).splitlines():
        digits, _, _, scope, flags, name = line.split()
        unsettled = int(flags, 16) & IPV6_DEPRECATED_OR_TENTATIVE
        if int(scope, 16) == IPV6_GLOBAL and not unsettled and name != "lo":
            yield socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits))
