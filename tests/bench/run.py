"""Measure this revision on this machine; docs/benchmarks explains each figure."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from agent import __version__
from deploy.local import machine, processes
from deploy.local.debian import APT_INSTALL
from deploy.local.settings import Settings, state_folder
from flotilla.v1.metrics_pb2 import PerformanceSnapshot
from tests.bench import (
    consoles,
    files,
    first_load,
    idle,
    installed,
    latency,
    own_stack,
    peers,
    programs,
    report,
    seed,
    sizes,
    storage,
    surroundings,
    terminal,
    throughput,
)
from tests.bench.peers import Peer
from tests.bench.processes import Use, busy_seconds, watch
from tests.bench.report import AgentRow, OneAgent, Report, TerminalAndFiles

INTERVAL = 2.0  # seconds; our agent's own default
WARM_UP = 3 * INTERVAL
FLEET_INTERVAL = 5.0  # seconds
AFTER_USE_SECONDS = 20.0
READINGS = 200  # per range of history
KEYS = 500  # keys pressed in a terminal
FILE_MEGABYTES = 200
PARTS = (
    *("services", "agent", "first-load", "terminal-files", "consoles", "fleets", "storage"),
    "history",
)


@dataclass(frozen=True, slots=True)
class Observed:
    """Figures of agents that ran side by side."""

    used: Mapping[str, Use | None]
    peers: Sequence[AgentRow]
    cores_busy: float
    delays: Sequence[latency.Delay]
    on_the_way: sizes.OnTheWay
    snapshots: Sequence[PerformanceSnapshot]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS, help="default: all")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each run (default 60)")
    parser.add_argument("--agents", type=int, nargs="+", default=throughput.AGENTS)
    parser.add_argument("--servers", type=int, default=1_000, help="whose history is seeded")
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    parser.add_argument("--write-docs", action="store_true", help="and into docs/benchmarks")
    given = parser.parse_args()
    if given.seconds < 2 * INTERVAL:
        parser.error(f"--seconds must be {2 * INTERVAL:g} at least")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the stack is stopped
    if shutil.which("ss") is None:
        subprocess.run([APT_INSTALL, "iproute2"], check=True)
    done = Report(
        surroundings=surroundings.look(),
        idle=_idle() if "services" in given.only else None,
        one_agent=_one_agent(given.seconds) if "agent" in given.only else None,
        terminal_files=_terminal_files() if "terminal-files" in given.only else None,
        consoles=_consoles(given.seconds) if "consoles" in given.only else None,
        first_load=_first_load() if "first-load" in given.only else (),
        storage=_storage() if "storage" in given.only else (),
        fleets=_fleets(given.agents, given.seconds) if "fleets" in given.only else (),
        history=_history(given.servers) if "history" in given.only else None,
    )
    written = state_folder() / "reports/bench.json"
    for folder in (written.parent.parent, written.parent):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = json.dumps(asdict(done), indent=2) + "\n"
    written.write_text(text)
    if given.write_docs:
        report.write_page(done)
        (report.PAGE.parent / "bench.json").write_text(text)
        if done.fleets:
            (report.PAGE.parent / "throughput.svg").write_text(throughput.draw(done.fleets))
    sys.stdout.write(report.as_markdown(done) if given.markdown else report.as_text(done))
    say(f"written to {written}")
    if any(row.missing or row.duplicated for row in done.fleets):
        return 1
    return 0 if done.idle is None or done.idle.within_bounds else 1


def _idle() -> idle.Idle:
    say("services that have nothing to do")
    with own_stack.running() as settings:
        return asyncio.run(idle.measure(settings))


def _one_agent(seconds: float) -> OneAgent:
    with own_stack.running() as settings:
        peers_folder(settings).mkdir()
        return asyncio.run(measure(settings, seconds))


def _terminal_files() -> TerminalAndFiles:
    say(f"{KEYS} keys in a terminal, and {FILE_MEGABYTES} MB up and down")
    with own_stack.running() as settings:
        return TerminalAndFiles(
            terminal=asyncio.run(terminal.measure(settings, KEYS)),
            files=asyncio.run(files.measure(settings, FILE_MEGABYTES)),
        )


def _first_load() -> list[first_load.Load]:
    say("first load of the console over a slow line")
    with own_stack.running() as settings:
        return first_load.measure(settings)


def _storage() -> list[storage.Stored]:
    say("rows on both editions of TimescaleDB")
    with own_stack.running() as settings:
        return storage.measure(settings)


def _consoles(seconds: float) -> consoles.Figures:
    say(f"{consoles.CONSOLES} consoles beside {consoles.AGENTS:,} agents")
    return consoles.run(consoles.AGENTS, consoles.CONSOLES, seconds)


def _fleets(agents: Sequence[int], seconds: float) -> list[throughput.Row]:
    say("fleets: " + ", ".join(f"{count:,}" for count in agents))
    return throughput.run(agents, interval=FLEET_INTERVAL, seconds=seconds)


def _history(servers: int) -> seed.Seeded:
    return seed.run(
        seed.Size(servers=servers, days=30, raw_hours=48, raw_interval=30, year=True), READINGS
    )


async def measure(settings: Settings, seconds: float) -> OneAgent:
    observed = await observe(settings, seconds)
    processes.stop_program(own_stack.supervisor(settings), "agent")
    say(f"filling the table with {sizes.ROWS:,} rows")
    stored = await sizes.stored(settings.values["DATABASE_URL"], observed.snapshots)
    return OneAgent(
        seconds=seconds,
        interval_seconds=INTERVAL,
        cores_busy=observed.cores_busy,
        agents=_compared([_our_row(observed), *observed.peers]),
        servers={name: observed.used[name] for name in own_stack.SERVERS},
        delays=latency.summarise(observed.delays),
        on_the_way=observed.on_the_way,
        stored=stored,
    )


async def observe(settings: Settings, seconds: float) -> Observed:
    vps_id = (settings.state / "vps-id").read_text().strip()
    pids = own_stack.pids(settings)
    edge = settings.port("GRPC")
    delays: list[latency.Delay] = []
    async with AsyncExitStack() as stack:
        beside, absent = await _start_peers(stack, peers_folder(settings))
        tap = await stack.enter_async_context(sizes.tapped(settings, vps_id))
        with machine.logged_in(settings) as client:
            url = latency.socket_url(client, f"vps/{vps_id}/metrics/realtime")
        await stack.enter_async_context(_meanwhile(latency.collect(url, delays)))
        roots = {name: pids[name] for name in ("agent", *own_stack.SERVERS)}
        roots |= {peer.name: peer.process.pid for peer in beside}
        say(f"starting {installed.NAME}")
        built = await stack.enter_async_context(installed.running(settings))
        pid = built.program.process.pid
        roots |= {installed.NAME: pid}
        await asyncio.sleep(WARM_UP)
        say(f"measuring for {seconds:g} s")
        first = await sizes.mark(tap, pids["agent"], edge)
        delays.clear()
        for peer in beside:
            peer.forget()
        busy = busy_seconds()
        used = await watch(roots, seconds)
        busy = busy_seconds() - busy
        rows = [AgentRow(installed.NAME, __version__, used[installed.NAME])]
        last = await sizes.mark(tap, pids["agent"], edge)
        say("using terminals, files and commands")
        await installed.use(settings, built)
        after = await watch({installed.AFTER_USE: pid}, AFTER_USE_SECONDS)
        rows.append(AgentRow(installed.AFTER_USE, __version__, after[installed.AFTER_USE]))
        rows += [_peer_row(peer, used[peer.name]) for peer in beside]
    on_the_way = sizes.between(first, last, tap.snapshots)
    return Observed(used, [*rows, *absent], busy / seconds, delays, on_the_way, tap.snapshots)


async def _start_peers(stack: AsyncExitStack, folder: Path) -> tuple[list[Peer], list[AgentRow]]:
    """Start the other agents; return those that run, and rows for those that are not available."""
    known: dict[str, Callable[[], AbstractAsyncContextManager[Peer]]] = {
        "prometheus-node-exporter": lambda: peers.node_exporter(
            programs.from_debian("prometheus-node-exporter", "usr/bin/prometheus-node-exporter"),
            folder,
        ),
        "zabbix-agent2": lambda: peers.zabbix_agent2(
            programs.from_debian("zabbix-agent2", "usr/sbin/zabbix_agent2"), folder
        ),
        "glances": lambda: peers.glances(programs.from_pypi("glances"), folder, INTERVAL),
    }
    running, absent = [], []
    for name, start in known.items():
        say(f"starting {name}")
        try:
            peer = await stack.enter_async_context(start())
        except (programs.MissingProgramError, peers.SilentPeerError) as error:
            absent.append(AgentRow(name, problem=str(error)))
        else:
            await stack.enter_async_context(_meanwhile(peer.keep_asking(INTERVAL)))
            running.append(peer)
    return running, absent


def peers_folder(settings: Settings) -> Path:
    return settings.state / "peers"


@asynccontextmanager
async def _meanwhile(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _our_row(observed: Observed) -> AgentRow:
    return AgentRow(
        "flotilla-agent",
        __version__,
        observed.used["agent"],
        looks=observed.on_the_way.snapshots,
        bytes_per_look=observed.on_the_way.wire_up,
    )


def _peer_row(peer: Peer, use: Use | None) -> AgentRow:
    return AgentRow(
        peer.name,
        peer.version,
        use,
        looks=peer.looks,
        misses=peer.misses,
        bytes_per_look=peer.answer_bytes / peer.looks if peer.looks else None,
        problem="ended during the run" if use is None else "",
    )


def _compared(rows: Sequence[AgentRow]) -> list[AgentRow]:
    """Return the rows with their ratios to the first row, which is our agent."""
    ours = rows[0].use
    if ours is None or not ours.cpu_percent:
        return list(rows)
    return [
        row
        if row.use is None
        else replace(
            row,
            memory_ratio=row.use.rss_bytes / ours.rss_bytes,
            cpu_ratio=row.use.cpu_percent / ours.cpu_percent,
        )
        for row in rows
    ]


def say(what: str) -> None:
    sys.stderr.write(f"{what}\n")


if __name__ == "__main__":
    sys.exit(main())
