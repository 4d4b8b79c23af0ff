import dataclasses
from pathlib import Path

from agent.collect.kernel.interfaces import Interfaces
from agent.collect.omissions import omit, omit_more, readable
from flotilla.v1.metrics_pb2 import OmittedItem, PerformanceSnapshot

# Host side of container links. They are many and short-lived, and their traffic is counted elsewhere.
UNLISTED = ("veth", "cali", "lxc")
INTERFACE_LIMIT = 256
MAX_COUNTER = (1 << 63) - 1  # limit of the server's database
WRAP = 1 << 32  # counters of old drivers wrap here

Counts = tuple[int, int]  # received and transmitted bytes


@dataclasses.dataclass(slots=True)
class Counter:
    """One direction of an interface: the last reading, and the highest one."""

    value: int
    peak: int

    def update(self, value: int) -> int | None:
        """Return the growth since the last reading, or None if the counter went back."""
        before, self.value = self.value, value
        peak, self.peak = self.peak, max(self.peak, value)
        if value >= before:
            # A single low reading is not a reset, and the return from it is not traffic.
            return value - peak if before < peak <= value else value - before
        # A counter of an old driver wraps at 32 bits. Any other decrease is a reset.
        if before >= WRAP // 4 * 3 and before < WRAP and value < WRAP // 4:
            self.peak = value
            return value + WRAP - before
        return None


class Network:
    """Reports traffic per interface, and the sum of the interfaces that leave the host.

    The sum starts with the counters of the interfaces and then adds their growth, so it does not jump
    when an interface is added, removed or returns.

    psutil.net_io_counters() is not used: it fails completely on one line that it cannot read, and it
    strips Unicode spaces from names.
    """

    def __init__(self, proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> None:
        self._path = proc / "net/dev"
        self._interfaces = Interfaces(sys)
        self._counters: dict[str, tuple[Counter, Counter]] = {}
        self._time = 0.0
        self._total: tuple[int, int] | None = None

    def collect(self, snapshot: PerformanceSnapshot, now: float) -> None:
        counts = self._read(snapshot)
        summed = self._interfaces.off_host(list(counts))
        elapsed, self._time = now - self._time, now
        grown = self._update(counts)
        for name, (received, transmitted) in list(counts.items())[:INTERFACE_LIMIT]:
            stats = snapshot.interfaces.add(
                name=readable(name), receive_bytes_total=received, transmit_bytes_total=transmitted
            )
            receiving, transmitting = grown[name]
            if receiving is not None and elapsed > 0:
                stats.receive_bytes_per_second = receiving / elapsed
            if transmitting is not None and elapsed > 0:
                stats.transmit_bytes_per_second = transmitting / elapsed
        omit_more(snapshot, "network", len(counts), INTERFACE_LIMIT)
        if summed:
            self._add_up(snapshot, counts, summed, grown, elapsed)

    def _update(self, counts: dict[str, Counts]) -> dict[str, tuple[int | None, int | None]]:
        """Return by what each counter grew; None for one that is new or went back."""
        grown: dict[str, tuple[int | None, int | None]] = {}
        counters = {}
        for name, (received, transmitted) in counts.items():
            known = self._counters.get(name)
            if known is None:
                known = Counter(received, received), Counter(transmitted, transmitted)
                grown[name] = None, None
            else:
                grown[name] = known[0].update(received), known[1].update(transmitted)
            counters[name] = known
        self._counters = counters
        return grown

    def _add_up(
        self,
        snapshot: PerformanceSnapshot,
        counts: dict[str, Counts],
        summed: frozenset[str],
        grown: dict[str, tuple[int | None, int | None]],
        elapsed: float,
    ) -> None:
        known = [grown[name] for name in summed]
        receiving = [value for value, _ in known if value is not None]
        transmitting = [value for _, value in known if value is not None]
        if self._total is None:
            self._total = (
                sum(counts[name][0] for name in summed),
                sum(counts[name][1] for name in summed),
            )
        else:
            self._total = self._total[0] + sum(receiving), self._total[1] + sum(transmitting)
        snapshot.network_receive_bytes_total, snapshot.network_transmit_bytes_total = self._total
        if receiving and elapsed > 0:
            snapshot.network_receive_bytes_per_second = sum(receiving) / elapsed
        if transmitting and elapsed > 0:
            snapshot.network_transmit_bytes_per_second = sum(transmitting) / elapsed

    def _read(self, snapshot: PerformanceSnapshot) -> dict[str, Counts]:
        totals = {}
        # A name can contain any bytes except \n, which ends a line.
        text = self._path.read_bytes().decode("utf-8", "surrogateescape")
        for line in text.split("\n")[2:]:
            name, _, columns = line.rpartition(":")
            name = name.strip(" ")
            if not name or name == "lo" or name.startswith(UNLISTED):
                continue
            counts = columns.split()
            try:
                received, transmitted = int(counts[0]), int(counts[8])
            except (ValueError, IndexError):
                omit(snapshot, "network", name, OmittedItem.REASON_UNREADABLE, columns)
                continue
            if max(received, transmitted) > MAX_COUNTER:
                detail = f"{received} bytes received, {transmitted} transmitted"
                omit(snapshot, "network", name, OmittedItem.REASON_IMPOSSIBLE, detail)
                continue
            totals[name] = received, transmitted
        return totals
