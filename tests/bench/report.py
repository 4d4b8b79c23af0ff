"""The figures as JSON, as a table for a terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local.settings import REPOSITORY
from services.kit.metrics.tiers import RAW_TABLE, TIERS
from tests.bench import consoles, files, first_load, storage, terminal
from tests.bench.idle import HELP_BOUND, Idle
from tests.bench.latency import Delays
from tests.bench.processes import Use
from tests.bench.seed import Seeded
from tests.bench.sizes import OnTheWay, Stored
from tests.bench.surroundings import Surroundings
from tests.bench.tables import Table
from tests.bench.throughput import Row

PAGE = REPOSITORY / "docs/benchmarks/README.md"
BEGIN, END = "<!-- figures: make bench -->", "<!-- end of figures -->"
NONE = "-"
SNAPSHOT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class AgentRow:
    name: str
    version: str = ""
    use: Use | None = None
    looks: int = 0
    misses: int = 0
    bytes_per_look: float | None = None
    memory_ratio: float | None = None
    """Its resident memory divided by that of our agent in the same run."""
    cpu_ratio: float | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class OneAgent:
    """Figures of our agent and other agents, and the cost of one sample on its way."""

    seconds: float
    interval_seconds: float
    cores_busy: float
    """Busy cores of the whole machine during the run, including other programs."""
    agents: Sequence[AgentRow]
    servers: Mapping[str, Use | None]
    delays: Delays | None
    on_the_way: OnTheWay
    stored: Stored


@dataclass(frozen=True, slots=True)
class TerminalAndFiles:
    """Delay of keys in a terminal and duration of file transfers."""

    terminal: terminal.Figures
    files: files.Figures


@dataclass(frozen=True, slots=True)
class Report:
    surroundings: Surroundings
    idle: Idle | None
    one_agent: OneAgent | None
    terminal_files: TerminalAndFiles | None
    consoles: consoles.Figures | None
    first_load: Sequence[first_load.Load]
    storage: Sequence[storage.Stored]
    fleets: Sequence[Row]
    history: Seeded | None


def as_text(report: Report) -> str:
    parts = [_setting(report)]
    for table in _tables(report):
        lines = [table.head, *table.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(table.head))]
        parts.append(
            "\n".join(
                [table.title, *("  " + _aligned(line, widths) for line in lines)]
                + [f"  ({note})" for note in table.notes]
            )
        )
    return "\n\n".join(parts) + "\n"


def as_markdown(report: Report) -> str:
    parts = [_setting(report)]
    for table in _tables(report):
        rule = [":--", *("--:" for _ in table.head[1:])]
        lines = ["| " + " | ".join(line) + " |" for line in (table.head, rule, *table.rows)]
        parts += [f"**{table.title}**", "\n".join(lines), *(f"({note})" for note in table.notes)]
    return "\n\n".join(parts) + "\n"


def write_page(report: Report, page: Path = PAGE) -> None:
    """Replace the text between the two marks."""
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} lacks {BEGIN} or {END}")
    page.write_text(f"{before}{BEGIN}\n\n{as_markdown(report)}\n{END}{after}")


def _setting(report: Report) -> str:
    found = report.surroundings
    return (
        f"{found.date}, revision {found.revision}, `{found.command}`.\n"
        f"{found.cores} cores of {found.cpu_model}, {found.memory_bytes / 1e9:.1f} GB of memory,"
        f" {found.system}, {found.kernel}, Python {found.python}."
    )


def _tables(report: Report) -> list[Table]:
    tables = []
    if report.idle:
        tables.append(_idle(report.idle))
    if found := report.one_agent:
        tables += [_agents(found), _sizes(found), _delays(found), _servers(found)]
    if report.first_load:
        tables.append(first_load.table(report.first_load))
    if report.terminal_files:
        tables += [
            _echoes(report.terminal_files.terminal),
            _transfers(report.terminal_files.files),
        ]
    if report.consoles:
        tables += [_consoles(report.consoles), _answers(report.consoles)]
    if report.fleets:
        tables += [_fleets(report.fleets), _costs(report.fleets)]
    if report.storage:
        tables.append(storage.table(report.storage))
    if report.history:
        tables += [_kept(report.history), _readings(report.history)]
    return tables


def _idle(found: Idle) -> Table:
    head = ("service", "resident", "proportional", "CPU")
    rows = [(name, *_use(use)) for name, use in found.services.items()]
    note = (
        f"`flotilla --help` takes {found.help_cpu_seconds:.2f} s of processor time;"
        f" the bound is {HELP_BOUND} s"
    )
    return Table("Idle services", head, rows, [note])


def _agents(report: OneAgent) -> Table:
    head = ("agent", "resident", "proportional", "CPU", "memory ratio", "CPU ratio")
    rows, notes = [], []
    for row in report.agents:
        ratios = (_ratio(row.memory_ratio), _ratio(row.cpu_ratio))
        size = NONE if row.bytes_per_look is None else f"{row.bytes_per_look:,.0f} B"
        told = (str(row.looks), size)
        rows.append((f"{row.name} {row.version}".strip(), *_use(row.use), *ratios, *told))
        if row.problem:
            notes.append(f"{row.name}: {row.problem}")
        if row.misses:
            notes.append(f"{row.name}: {row.misses} reports failed")
    notes.append(
        f"{report.cores_busy:.2f} cores of the whole machine were busy during the run, including"
        " other programs"
    )
    title = f"Agents over {report.seconds:g} s, one report every {report.interval_seconds:g} s"
    return Table(title, (*head, "reports", "bytes per report"), rows, notes)


def _sizes(report: OneAgent) -> Table:
    way, stored = report.on_the_way, report.stored
    payload = None
    if way.wire_up is not None and way.wire_down is not None:
        payload = way.wire_up + way.wire_down
    rows = [
        ("protobuf message", _bytes(way.message)),
        ("agent to edge, TLS", _bytes(way.wire_up)),
        ("edge to agent, TLS", _bytes(way.wire_down)),
        ("both ways, TLS", _bytes(payload)),
        ("both ways, with TCP and IP headers", _bytes(way.wire_with_headers)),
        ("on the bus, with subject and headers", _bytes(way.bus)),
        ("in the database, raw", _bytes(stored.total)),
        ("of this, the table", _bytes(stored.table)),
        ("of this, the index", _bytes(stored.index)),
        ("of this, TOAST", _bytes(stored.toast)),
    ]
    notes = [f"{way.snapshots} snapshots in {way.batches} batches; {stored.rows:,} rows"]
    return Table("Bytes per snapshot", ("where", "bytes"), rows, notes)


def _delays(report: OneAgent) -> Table:
    return _delay_table("Delay from measurement to WebSocket", report.delays)


def _delay_table(title: str, found: Delays | None) -> Table:
    head = ("samples", "servers", "p50", "p95", "p99", "max")
    if found is None:
        row = ("0", "0", *([NONE] * 4))
    else:
        times = (found.p50_ms, found.p95_ms, found.p99_ms, found.max_ms)
        row = (str(found.samples), str(found.servers), *(f"{time:.1f} ms" for time in times))
    return Table(title, head, [row])


def _servers(report: OneAgent) -> Table:
    rows = [
        (name, *_use(use), NONE if use is None else str(use.processes))
        for name, use in report.servers.items()
    ]
    head = ("process", "resident", "proportional", "CPU", "processes")
    notes = [f"{name} ended during the run" for name, use in report.servers.items() if use is None]
    return Table("Services with one agent", head, rows, notes)


def _echoes(found: terminal.Figures) -> Table:
    spreads = {
        "round trip of a WebSocket ping": found.bare,
        "key to echo": found.echo,
        "key to echo, minus the p50 of the ping": found.above_bare,
        "key to echo while `yes` runs in another terminal": found.flood.echo,
    }
    rows = [
        (name, *(f"{ms:.1f} ms" for ms in (it.p50, it.p95, it.p99, it.most)))
        for name, it in spreads.items()
    ]
    growth = ", ".join(
        f"{name} {size / 1e6:+.1f} MB" for name, size in found.flood.memory_growth.items()
    )
    note = (
        f"`yes` at {found.flood.mib_per_second:.1f} MiB/s; Ctrl-C there acted after"
        f" {found.flood.interrupted_ms:.0f} ms; memory growth: {growth}"
    )
    head = ("measured", "p50", "p95", "p99", "max")
    return Table(f"Terminal, {found.keys} keys", head, rows, [note])


def _transfers(found: files.Figures) -> Table:
    ways = {"upload": found.up, "download": found.down}
    names = list(found.up.processor_seconds)
    rows = [
        (
            *(direction, f"{way.seconds:.1f} s", f"{way.megabytes_per_second:.0f} MB/s"),
            *(
                f"{way.processor_seconds[name]:.2f} s,"
                f" {(way.resident_most[name] - way.resident_before[name]) / 1e6:+.1f} MB"
                for name in names
            ),
        )
        for direction, way in ways.items()
    ]
    notes = ["per program: processor time and peak growth of memory"]
    title = f"A file of {found.megabytes} MB, checked by SHA-256"
    return Table(title, ("direction", "time", "rate", *names), rows, notes)


def _consoles(found: consoles.Figures) -> Table:
    title = (
        f"Delay from measurement to each of {found.consoles} consoles, with {found.agents:,} agents"
        f" that report every {consoles.INTERVAL:g} s"
    )
    return _delay_table(title, found.delays)


def _answers(found: consoles.Figures) -> Table:
    cells = [
        (
            *(kind, str(times.requests), str(times.failed)),
            *(f"{ms:.1f} ms" for ms in (times.p50, times.p95, times.most)),
        )
        for kind, times in found.answers.items()
    ]
    title = f"API beside them, {found.requests_per_second:g} requests/s"
    return Table(title, ("request", "requests", "failed", "p50", "p95", "max"), cells)


def _fleets(rows: Sequence[Row]) -> Table:
    head = ("agents", "offered/s", "durable/s", "accepted p50", "p99", "durable p50", "p99")
    cells = [
        (
            f"{row.connected:,}",
            *(f"{row.offered_per_second:,.0f}", f"{row.durable_per_second:,.0f}"),
            *(f"{row.accepted_p50_ms:.0f} ms", f"{row.accepted_p99_ms:.0f} ms"),
            *(f"{row.durable_p50_ms:.0f} ms", f"{row.durable_p99_ms:.0f} ms"),
            *(f"{row.lag_grows_by_second:+.1f}", str(row.missing), str(row.duplicated)),
            f"{row.cores_busy:.2f}",
        )
        for row in rows
    ]
    first = rows[0]
    title = (
        f"Fleets: each agent sends a snapshot every {first.interval_seconds:g} s, over"
        f" {first.seconds:.0f} s; NATS syncs every message"
    )
    notes = [f"{row.agents:,} agents: {row.problem}" for row in rows if row.problem]
    return Table(title, (*head, "lag/s", "lost", "duplicated", "cores busy"), cells, notes)


def _costs(rows: Sequence[Row]) -> Table:
    names = list(rows[0].costs)
    cells = [
        (
            f"{row.agents:,}",
            *(
                f"{row.costs[name].cpu_seconds_per_1000:.2f} s,"
                f" {row.costs[name].rss_bytes / 1e6:.0f} MB"
                if name in row.costs
                else NONE
                for name in names
            ),
        )
        for row in rows
    ]
    title = "CPU seconds for 1,000 durable snapshots, and resident memory"
    return Table(title, ("agents", *names), cells)


def _kept(history: Seeded) -> Table:
    widths = {RAW_TABLE: SNAPSHOT_SECONDS, **{t.table: t.width.total_seconds() for t in TIERS}}
    cells = [
        (
            kept.table,
            f"{kept.rows:,}",
            f"{kept.bytes_per_row:.0f}",
            f"{kept.bytes_per_row * SNAPSHOT_SECONDS / widths[kept.table]:.2f}"
            if kept.table in widths
            else NONE,
        )
        for kept in history.kept
    ]
    size = history.size
    title = f"Storage for {size.servers:,} servers and {size.days} days"
    head = ("table", "rows", "bytes per row", f"bytes per {SNAPSHOT_SECONDS:g} s snapshot")
    note = (
        "nothing is compressed: only the Community edition of TimescaleDB compresses, and Debian's"
        " package is another edition"
    )
    return Table(title, head, cells, [note])


def _readings(history: Seeded) -> Table:
    head = ("range", "requests", "points", "p50", "p95", "max")
    cells = [
        (
            *(read.range, str(read.requests), str(read.points)),
            *(f"{ms:.1f} ms" for ms in (read.p50_ms, read.p95_ms, read.max_ms)),
        )
        for read in history.readings
    ]
    return Table("History of a random server, read through the API", head, cells)


def _use(use: Use | None) -> tuple[str, str, str]:
    if use is None:
        return NONE, NONE, NONE
    proportional = NONE if use.pss_bytes is None else f"{use.pss_bytes / 1e6:.1f} MB"
    return f"{use.rss_bytes / 1e6:.1f} MB", proportional, f"{use.cpu_percent:.2f} %"


def _ratio(ratio: float | None) -> str:
    return NONE if ratio is None else f"{ratio:.2f}"


def _bytes(count: float | None) -> str:
    return NONE if count is None else f"{count:,.0f}"


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    first = line[0].ljust(widths[0])
    rest = (cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))
    return "  ".join([first, *rest]).rstrip()
