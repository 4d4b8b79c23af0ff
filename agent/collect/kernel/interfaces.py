"""Selection of the interfaces whose traffic leaves the host, so that each byte counts once."""

import contextlib
from pathlib import Path

# Types of tunnels: another interface carries their traffic. The numbers are from Linux's if_arp.h.
TUNNEL_TYPES = frozenset({"512", "768", "769", "776", "778", "823", "65534"})
# Virtual interfaces with the type of Ethernet. Another interface carries their traffic.
TUNNEL_KINDS = frozenset({"bareudp", "bridge", "geneve", "gtp", "ppp", "vlan", "vxlan"})
# Traffic of these interfaces never leaves the host, but /sys describes them like any other.
INTERNAL = ("dummy", "ifb", "nlmon")
# Names of stacked interfaces, used if /sys is not mounted or does not describe an interface.
BY_NAME = (
    *("lo", "veth", "docker", "br-", "virbr", "vmbr", "cni", "cali", "flannel", "lxc", "lxdbr"),
    *("tun", "tap", "wg", "tailscale", "vxlan", "gre", "sit", "ip6tnl", "bond", "team"),
)


class Interfaces:
    """Tells from /sys/class/net which interfaces carry traffic off the host."""

    def __init__(self, sys: Path) -> None:
        self._class = sys / "class/net"
        self._names: list[str] = []
        self._off_host: frozenset[str] = frozenset()

    def off_host(self, names: list[str]) -> frozenset[str]:
        """Return the interfaces that carry traffic off the host.

        The result is kept until the names change.
        """
        if names != self._names:
            self._names = names
            self._off_host = self._choose()
        return self._off_host

    def _choose(self) -> frozenset[str]:
        if hardware := frozenset(name for name in self._names if self._is_hardware(name)):
            return hardware
        # In a container, no interface is hardware.
        external = frozenset(name for name in self._names if not name.startswith(INTERNAL))
        lowest = frozenset(name for name in external if not self._is_stacked(name))
        # A container may have only a tunnel that its host created.
        return lowest or frozenset(name for name in external if not self._has_lower(name))

    def _is_hardware(self, name: str) -> bool:
        folder = self._class / name
        # In a cloud, the master of a virtual function is a synthetic card. The card is hardware
        # too and counts the traffic of both.
        return (folder / "device").exists() and not (folder / "master/device").exists()

    def _is_stacked(self, name: str) -> bool:
        """Return True if another interface carries the same traffic."""
        folder = self._class / name
        if not folder.exists():
            return name.startswith(BY_NAME)
        return (
            self._has_lower(name)
            or any((folder / kind).exists() for kind in ("bridge", "bonding", "tun_flags"))
            or _text(folder / "type") in TUNNEL_TYPES
            or _kind(folder) in TUNNEL_KINDS
        )

    def _has_lower(self, name: str) -> bool:
        folder = self._class / name
        return (folder / "bridge").exists() or any(folder.glob("lower_*"))


def _kind(folder: Path) -> str:
    for line in _text(folder / "uevent").split("\n"):
        if line.startswith("DEVTYPE="):
            return line.removeprefix("DEVTYPE=")
    return ""


def _text(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text(errors="replace").strip()
    return ""
