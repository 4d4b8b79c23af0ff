"""Break the running system under load, and check that it keeps its promises.

    python tests/chaos/run.py [--short] [--only NAME …] [--seed N]

Prints a line per fault, `FAULT <name> missing=0 duplicated=0 live=yes …`, and writes the full report
to $FLOTILLA_STATE/reports/chaos.json. Fails if a fault lost, duplicated or stopped anything, or if the
run with a deliberate mistake did not fail.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from deploy.local.settings import state_folder
from services.kit.bus.subjects import Stream
from tests.bench import fleet_process, fleet_stack, surroundings
from tests.bench.fleet_process import FleetError
from tests.bench.fleet_stack import FleetStack
from tests.bench.ledger import Ledger, verify
from tests.chaos.faults import CASES, CLOCK_RESIDUES, TMPFS_BYTES, Case
from tests.chaos.relay import Relay
from tests.chaos.scene import INTERVAL, Away, FaultError, Scene, say

LIVE_SECONDS = 60.0
SETTLE_SECONDS = 120.0
WINDOW = 10.0  # seconds of the stream's de-duplication; a shorter window causes more repeats
SHORT = Away(
    server=5.0, network=5.0, replay_after=12.0, quiet=15.0, hostile=25.0, hostile_share=0.3
)
FULL = Away(
    server=600.0, network=30.0, replay_after=600.0, quiet=60.0, hostile=600.0, hostile_share=1.0
)


@dataclass(slots=True)
class Outcome:
    case: Case
    begin_ms: int
    live_after: float | None
    """Seconds from the end of the fault to a new durable sample of every agent."""
    detail: str
    problem: str
    ledger: Ledger

    @property
    def passed(self) -> bool:
        held = self.ledger.balances and self.live_after is not None and not self.problem
        return self.ledger.missing > 0 if self.case.must_fail else held

    def __str__(self) -> str:
        live = "no" if self.live_after is None else "yes"
        line = (
            f"FAULT {self.case.name} missing={self.ledger.missing}"
            f" duplicated={self.ledger.duplicated} live={live}"
        )
        if self.live_after is not None:
            line += f" after={self.live_after:.1f}s"
        line += f" {self.ledger}"
        if self.detail:
            line += f" {self.detail}"
        if self.problem:
            line += f" PROBLEM: {self.problem}"
        if self.case.must_fail:
            line += f" (must fail: {'it did' if self.passed else 'IT DID NOT'})"
        elif not self.passed:
            line += " FAILED"
        return line


@dataclass(frozen=True, slots=True)
class Books:
    """Counters of the services at the end."""

    lines: list[str]
    balance: bool
    """True if every message of the stream was acknowledged or is pending."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    report = state_folder() / "reports/chaos.json"  # before the user's variables are hidden
    seed = secrets.randbits(32) if options.seed is None else options.seed
    cases = [case for case in CASES if _wanted(case, options)]
    if "disk-full" in {case.name for case in cases} and os.geteuid() != 0:
        say("disk-full is left out: it takes root to make a file system")
        cases = [case for case in cases if case.name != "disk-full"]
    say(f"seed {seed}, {options.agents} agents, {len(cases)} faults")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the stack is stopped
    begin = time.monotonic()
    tmpfs = any(case.name == "disk-full" for case in cases)
    with _folder(tmpfs=tmpfs) as (folder, on_tmpfs), fleet_stack.running(state=folder) as stack:
        say(f"[{time.monotonic() - begin:5.1f} s] the stack runs")
        dice = random.Random(seed)
        outcomes, books = asyncio.run(run(stack, cases, options, dice, on_tmpfs=on_tmpfs))
    sys.stdout.writelines(f"LEDGER {line}\n" for line in books.lines)
    for outcome in outcomes:
        sys.stdout.write(f"{outcome}\n")
    passed = bool(outcomes) and all(outcome.passed for outcome in outcomes) and books.balance
    _write(report, outcomes, seed=seed, agents=options.agents, books=books, passed=passed)
    say(f"[{time.monotonic() - begin:5.1f} s] written to {report}")
    return 0 if passed else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--short", action="store_true", help="what fits into three minutes")
    parser.add_argument("--only", nargs="+", default=[], choices=[case.name for case in CASES])
    parser.add_argument("--seed", type=int, help="of the moments and the order of kills")
    parser.add_argument("--agents", type=int, default=200)
    parser.add_argument("--away", type=float, help="seconds a server is away (full: 600)")
    return parser.parse_args(arguments)


def _wanted(case: Case, options: argparse.Namespace) -> bool:
    if options.only:
        return case.name in options.only
    return case.in_short or not options.short


@contextmanager
def _folder(*, tmpfs: bool) -> Iterator[tuple[Path, bool]]:
    """The state folder of the stack. NATS has its own file system if this is possible and wanted."""
    with tempfile.TemporaryDirectory(prefix="flotilla-chaos-") as name:
        store = Path(name) / "nats"
        store.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_BYTES}", "tmpfs", str(store)]
        mounted = tmpfs and subprocess.run(mount, check=False).returncode == 0
        try:
            yield Path(name), mounted
        finally:
            if mounted:
                subprocess.run(["umount", str(store)], check=True)


async def run(
    stack: FleetStack,
    cases: Sequence[Case],
    options: argparse.Namespace,
    dice: random.Random,
    *,
    on_tmpfs: bool,
) -> tuple[list[Outcome], Books]:
    await fleet_stack.register(stack, 0, options.agents)
    relay = Relay(stack.settings.port("GRPC"))
    await relay.open()
    path = stack.settings.state / "oracle"
    usual = SHORT if options.short else FULL
    away = replace(usual, server=options.away or usual.server)
    fleet_options = {"interval": INTERVAL, "replay_after": away.replay_after, "port": relay.port}
    async with fleet_process.running(stack, path, agents=options.agents, **fleet_options) as fleet:
        scene = Scene(stack, fleet, relay, dice, away, [path], on_tmpfs)
        async with scene.jetstream("provision") as jetstream:
            config = (await jetstream.stream_info(Stream.TELEMETRY)).config
            await jetstream.update_stream(config.evolve(duplicate_window=WINDOW))
        begin_ms = fleet.mark()
        if await fleet.fresh(begin_ms, seconds=LIVE_SECONDS) is None:
            raise FleetError(f"the fleet did not come up: {fleet.figures}")
        outcomes = [await _suffer(scene, case) for case in cases]
        unsettled = await _settle(scene)
        books = await _books(scene)
    await relay.close()
    windows = [0, *(outcome.begin_ms for outcome in outcomes)]
    url = stack.settings.values["DATABASE_URL"]
    ledgers = await asyncio.to_thread(
        verify,
        url,
        scene.oracles,
        windows,
        accepted_counts=not unsettled,
        residues=CLOCK_RESIDUES,
    )
    for outcome, ledger in zip(outcomes, ledgers[1:], strict=True):
        outcome.ledger = ledger
        for example in ledger.examples:
            say(f"{outcome.case.name}: {example}")
    if unsettled and outcomes:
        outcomes[-1].problem = f"{outcomes[-1].problem} {unsettled}".strip()
    return outcomes, books


async def _suffer(scene: Scene, case: Case) -> Outcome:
    begin = time.monotonic()
    begin_ms = time.time_ns() // 1_000_000
    detail = problem = ""
    try:
        detail = await case.fault(scene)
    except (FaultError, FleetError) as error:
        problem = str(error)
    live_after = await scene.fleet.fresh(scene.fleet.mark(), seconds=LIVE_SECONDS)
    if live_after is None:
        say(f"{case.name}: not live: {scene.fleet.figures}")
    say(f"{case.name}: {time.monotonic() - begin:.1f} s {detail} {problem}".rstrip())
    return Outcome(case, begin_ms, live_after, detail, problem, Ledger())


async def _settle(scene: Scene) -> str:
    try:
        # Batches whose notice was lost are sent again before the system settles.
        await scene.settled(scene.away.replay_after + SETTLE_SECONDS)
    except (FaultError, FleetError) as error:
        return str(error)
    return ""


async def _books(scene: Scene) -> Books:
    state = (await scene.stream(Stream.TELEMETRY)).state
    aside = (await scene.stream(Stream.DEADLETTERS)).state.messages
    place = await scene.writers_place()
    delivered = place.delivered.stream_seq if place.delivered else 0
    unacknowledged, pending = place.num_ack_pending or 0, place.num_pending or 0
    stream = (
        f"stream last={state.last_seq} acked={delivered - unacknowledged} pending={pending}"
        f" unacknowledged={unacknowledged} dead-letters={aside}"
    )
    # Counters of a killed process are lost, so these count since its last start.
    lines = [stream]
    for service, name in (
        ("edge", "flotilla_edge_batches_total"),
        ("writer", "flotilla_consumer_messages_total"),
        ("writer", "flotilla_writer_rows_total"),
    ):
        counts = await asyncio.to_thread(scene.metrics, service, name)
        lines += [
            f"{service} {series}={count:.0f}" for series, count in sorted(counts.items()) if count
        ]
    return Books(lines, state.last_seq == delivered + pending)


def _write(
    path: Path, outcomes: Sequence[Outcome], *, seed: int, agents: int, books: Books, passed: bool
) -> None:
    for folder in (path.parent.parent, path.parent):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = {
        "surroundings": asdict(surroundings.look()),
        "seed": seed,
        "agents": agents,
        "passed": passed,
        "books": books.lines,
        "faults": [
            {
                "name": outcome.case.name,
                "passed": outcome.passed,
                "must_fail": outcome.case.must_fail,
                "live_after_seconds": outcome.live_after,
                "detail": outcome.detail,
                "problem": outcome.problem,
                "ledger": {**asdict(outcome.ledger), "in_hand": outcome.ledger.in_hand},
            }
            for outcome in outcomes
        ],
    }
    path.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
