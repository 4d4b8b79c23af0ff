from pathlib import Path

from agent.rate import Rates
from flotilla.v1.metrics_pb2 import PerformanceSnapshot

# One end of each container's own cable: many, short-lived, and counted again elsewhere.
UNLISTED = ("veth", "cali", "lxc")
# What goes through these leaves the host, if it does, through another interface as
# well, where it is counted: tunnels carry their packets inside the real one's.
INSIDE = (
    *("lo", "veth", "docker", "br-", "virbr", "vmbr", "cni", "cali", "flannel", "lxc", "lxdbr"),
    *("tun", "tap", "wg", "tailscale", "vxlan", "gre", "sit", "ip6tnl"),
    *("dummy", "ifb", "bond", "team"),
)
INTERFACE_LIMIT = 256


class Network:
    def __init__(self, proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> None:
        self._path = proc / "net/dev"
        self._class = sys / "class/net"
        self._names: list[str] = []
        self._summed: frozenset[str] = frozenset()
        self._rates: Rates[tuple[str, str]] = Rates()

    def collect(self, snapshot: PerformanceSnapshot, now: float) -> None:
        totals = self._read()
        if list(totals) != self._names:
            self._names = list(totals)
            self._summed = self._off_host()
        rates = self._rates.update(
            {
                (name, direction): count
                for name, counts in totals.items()
                for direction, count in zip(("in", "out"), counts, strict=True)
            },
            now,
        )
        for name, (received, transmitted) in totals.items():
            stats = snapshot.interfaces.add(
                name=name, receive_bytes_total=received, transmit_bytes_total=transmitted
            )
            receiving, transmitting = rates.get((name, "in")), rates.get((name, "out"))
            if receiving is not None:
                stats.receive_bytes_per_second = receiving
            if transmitting is not None:
                stats.transmit_bytes_per_second = transmitting
            if name not in self._summed:
                continue
            snapshot.network_receive_bytes_total += received
            snapshot.network_transmit_bytes_total += transmitted
            if receiving is not None:
                snapshot.network_receive_bytes_per_second += receiving
            if transmitting is not None:
                snapshot.network_transmit_bytes_per_second += transmitting

    def _read(self) -> dict[str, tuple[int, int]]:
        totals = {}
        for line in self._path.read_text().splitlines()[2:]:
            name, _, columns = line.rpartition(":")
            name = name.strip()
            if name == "lo" or name.startswith(UNLISTED):
                continue
            counts = columns.split()
            totals[name] = int(counts[0]), int(counts[8])
            if len(totals) == INTERFACE_LIMIT:
                break
        return totals

    def _off_host(self) -> frozenset[str]:
        hardware = [name for name in self._names if self._is_hardware(name)]
        # A container's interfaces have no hardware behind them: there the name decides.
        return frozenset(
            hardware or (name for name in self._names if not name.startswith(INSIDE)),
        )

    def _is_hardware(self, name: str) -> bool:
        folder = self._class / name
        # Where the hardware has a master that is hardware too (a cloud's virtual
        # function under its synthetic card), the master counts for both.
        return (folder / "device").exists() and not (folder / "master/device").exists()
