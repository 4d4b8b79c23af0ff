"""The figures as JSON, as a table for a terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local.settings import REPOSITORY
from tests.bench.latency import Delays
from tests.bench.processes import Use
from tests.bench.sizes import OnTheWay, Stored
from tests.bench.surroundings import Surroundings

PAGE = REPOSITORY / "docs/benchmarks/README.md"
BEGIN, END = "<!-- figures: make bench -->", "<!-- end of figures -->"
NONE = "-"


@dataclass(frozen=True, slots=True)
class AgentRow:
    name: str
    version: str = ""
    use: Use | None = None
    looks: int = 0
    misses: int = 0
    bytes_per_look: float | None = None
    memory_ratio: float | None = None
    """Its resident memory over our agent's, in this run."""
    cpu_ratio: float | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    surroundings: Surroundings
    seconds: float
    interval_seconds: float
    cores_busy: float
    """Of the whole machine over the run, whoever kept them so."""
    agents: Sequence[AgentRow]
    servers: Mapping[str, Use | None]
    delays: Delays | None
    on_the_way: OnTheWay
    stored: Stored


@dataclass(frozen=True, slots=True)
class Table:
    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


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
    """Replace what stands between the two marks."""
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
        f" {found.system}, {found.kernel}, Python {found.python}.\n"
        f"{report.cores_busy:.2f} of the {found.cores} cores were busy over the run."
    )


def _tables(report: Report) -> list[Table]:
    return [_agents(report), _sizes(report), _delays(report), _servers(report)]


def _agents(report: Report) -> Table:
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
            notes.append(f"{row.name}: {row.misses} looks failed")
    title = f"Agents over {report.seconds:g} s, a look every {report.interval_seconds:g} s"
    return Table(title, (*head, "looks", "bytes a look"), rows, notes)


def _sizes(report: Report) -> Table:
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
        ("of it table", _bytes(stored.table)),
        ("of it index", _bytes(stored.index)),
        ("of it TOAST", _bytes(stored.toast)),
    ]
    notes = [f"{way.snapshots} snapshots in {way.batches} batches; {stored.rows:,} rows"]
    return Table("Bytes per snapshot", ("where", "bytes"), rows, notes)


def _delays(report: Report) -> Table:
    found = report.delays
    head = ("samples", "servers", "p50", "p95", "p99", "most")
    if found is None:
        row = ("0", "0", *([NONE] * 4))
    else:
        times = (found.p50_ms, found.p95_ms, found.p99_ms, found.max_ms)
        row = (str(found.samples), str(found.servers), *(f"{time:.1f} ms" for time in times))
    return Table("From measured to WebSocket", head, [row])


def _servers(report: Report) -> Table:
    rows = [
        (name, *_use(use), NONE if use is None else str(use.processes))
        for name, use in report.servers.items()
    ]
    head = ("process", "resident", "proportional", "CPU", "processes")
    notes = [f"{name} ended during the run" for name, use in report.servers.items() if use is None]
    return Table("Server, with this one agent", head, rows, notes)


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
