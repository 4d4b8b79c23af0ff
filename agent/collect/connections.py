from pathlib import Path

from flotilla.v1.metrics_pb2 import PerformanceSnapshot


class Connections:
    """Counts established TCP connections and bound UDP sockets."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._net = proc / "net"

    def collect(self, snapshot: PerformanceSnapshot, now: float) -> None:  # noqa: ARG002
        names, values = (
            line.split()
            for line in (self._net / "snmp").read_text().splitlines()
            if line.startswith("Tcp:")
        )
        # The kernel counts IPv4 and IPv6 together in this table.
        snapshot.tcp_connections = int(values[names.index("CurrEstab")])
        snapshot.udp_connections = self._in_use("sockstat", "UDP:")
        if (self._net / "sockstat6").exists():
            snapshot.udp_connections += self._in_use("sockstat6", "UDP6:")

    def _in_use(self, table: str, protocol: str) -> int:
        for line in (self._net / table).read_text().splitlines():
            name, *pairs = line.split()
            if name == protocol:
                return int(pairs[pairs.index("inuse") + 1])
        return 0
