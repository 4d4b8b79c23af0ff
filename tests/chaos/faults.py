"""The faults, each from its beginning to its end. They return the text for their line of the report."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from deploy.local.settings import REPOSITORY
from services.kit.bus import connection as bus
from services.kit.bus import subjects
from services.kit.bus.subjects import Stream
from services.kit.services import SERVICES
from tests.bench import content, fleet_stack, oracle
from tests.bench.oracle import Word
from tests.chaos.hostile import hostile_clients
from tests.chaos.real_agents import kill_agents
from tests.chaos.scene import INTERVAL, FaultError, Scene

KILLABLE = (*SERVICES, "nats", "postgres")
NOTICE_SECONDS = 80.0
POISON = 20  # messages
# Half a minute more than whole minutes, so milliseconds of delay decide how it is rounded.
CLOCK_AGENTS, CLOCK_FIRST, CLOCK_AHEAD = 20, 30_000, 7_230.004
CLOCK_RESIDUES = (30_004, -29_996)  # ms
STORM_AGENTS, STORM_FIRST, STORM_INTERVAL = 1_000, 40_000, 5.0
STORM_MEMORY = 2.0  # times the memory that the edge used before
EAGER_KILLS = 3
TMPFS_BYTES = 24 << 30  # NATS reserves the limits of its streams; a tmpfs uses only memory for data
FULL_BYTES = 300_000  # space that is left in the stream

Fault = Callable[[Scene], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    fault: Fault
    in_short: bool = False
    must_fail: bool = False


async def kill(scene: Scene, name: str) -> str:
    await scene.pause(0.0, 2.0)
    await scene.kill(name)
    return ""


async def kill_all(scene: Scene, rounds: int) -> str:
    """Run each fault once per round, in random order. One may begin while the system recovers from another."""
    killed = []
    for _ in range(rounds):
        for name in scene.random.sample(KILLABLE, len(KILLABLE)):
            await scene.kill(name)
            killed.append(name)
            await scene.pause(0.2, 3.0)
    return f"killed={','.join(killed)}"


async def reset_connections(scene: Scene) -> str:
    await scene.pause(0.0, 1.0)
    scene.relay.reset()
    return ""


async def away(scene: Scene, name: str) -> str:
    await scene.stop(name)
    await asyncio.sleep(scene.away.server)
    await scene.start(name)
    return f"away={scene.away.server:.0f}s"


async def hang(scene: Scene, name: str) -> str:
    """Pause NATS: it accepts connections and answers nothing."""
    scene.signal_all(name, signal.SIGSTOP)
    try:
        await asyncio.sleep(scene.away.network)
    finally:
        scene.signal_all(name, signal.SIGCONT)
    return f"hung={scene.away.network:.0f}s"


async def cut_network(scene: Scene) -> str:
    scene.relay.cut()
    await asyncio.sleep(scene.away.network)
    scene.relay.mend()
    return f"cut={scene.away.network:.0f}s"


async def half_open(scene: Scene) -> str:
    """Cut the network silently: both ends must notice it by themselves."""
    begin = time.monotonic()
    scene.relay.cut()
    try:
        agents, edge = await asyncio.gather(
            scene.until(
                lambda: scene.fleet.figures.connected == 0,
                seconds=NOTICE_SECONDS,
                otherwise="agents did not notice",
            ),
            scene.until(
                lambda: scene.metric("edge", "flotilla_edge_streams") == 0,
                seconds=NOTICE_SECONDS,
                otherwise="the edge did not notice",
            ),
        )
    finally:
        scene.relay.mend()
    return (
        f"agents-noticed={agents:.0f}s edge-noticed={edge:.0f}s cut={time.monotonic() - begin:.0f}s"
    )


async def duplicates(scene: Scene) -> str:
    """Publish durable batches again under other ids, as after the deduplication window."""
    scene.fleet.tell("mark 0")
    await asyncio.sleep(1.5)
    known = [record for record in oracle.read(scene.fleet.oracle) if record.word is Word.DURABLE][
        -1_000:
    ]
    if not known:
        raise FaultError("nothing is durable yet")
    before = await asyncio.to_thread(scene.metric, "writer", "flotilla_writer_rows_total")
    writer = content.Writer()
    async with scene.jetstream("edge") as jetstream:
        for number, record in enumerate(known):
            server = content.vps_id(record.index)
            batch = writer.batch(
                str(server), content.root_of(server), "again", number + 1, [record.time_ms]
            ).performance
            headers = bus.encode_headers(batch.DESCRIPTOR.full_name, msg_id=f"again.{number}")
            subject = subjects.performance(str(server))
            await jetstream.publish(subject, batch.SerializeToString(), headers=headers)
    await scene.until(
        lambda: scene.metric("writer", "flotilla_writer_rows_total") >= before + len(known),
        seconds=30,
        otherwise="the writer did not see them",
    )
    return f"again={len(known)}"


async def poison(scene: Scene) -> str:
    """Publish messages that can never be stored, with the edge's password."""
    before = (await scene.stream(Stream.DEADLETTERS)).state.messages
    async with scene.jetstream("edge") as jetstream:
        for number in range(POISON):
            size = 900_000 if number % 10 == 0 else 100
            vps = "not-a-uuid" if number % 10 == 1 else str(content.vps_id(number))
            await jetstream.publish(subjects.performance(vps), scene.random.randbytes(size))
    deadline = time.monotonic() + 60
    while (aside := (await scene.stream(Stream.DEADLETTERS)).state.messages - before) < POISON:
        if time.monotonic() > deadline:
            raise FaultError(f"{aside} of {POISON} were set aside")
        await asyncio.sleep(0.5)
    return f"set-aside={aside}"


async def clock_off(scene: Scene) -> str:
    await fleet_stack.register(scene.stack, CLOCK_FIRST, CLOCK_AGENTS)
    async with scene.other_fleet(
        "clock", agents=CLOCK_AGENTS, first=CLOCK_FIRST, clock=CLOCK_AHEAD
    ) as fleet:
        mark = fleet.mark()
        if await fleet.fresh(mark, seconds=60) is None:
            raise FaultError("agents whose clock is off were not served")
        await asyncio.sleep(3)
        fleet.tell("pause")
        await fleet.until(lambda f: f.in_hand == 0, seconds=60, otherwise="some was not durable")
    return f"ahead={CLOCK_AHEAD:.0f}s"


async def stream_full(scene: Scene) -> str:
    """Fill the stream while nobody reads: it must refuse new messages, keep the unread ones, and accept again later."""
    info = await scene.stream(Stream.TELEMETRY)
    await scene.stop("writer")
    retries = scene.fleet.figures.retries
    async with scene.jetstream("provision") as jetstream:
        small = info.config.evolve(max_bytes=info.state.bytes + FULL_BYTES)
        await jetstream.update_stream(small)
        try:
            await scene.fleet.until(
                lambda f: f.retries > retries, seconds=60, otherwise="agents were not told RETRY"
            )
            full = await scene.stream(Stream.TELEMETRY)
            await asyncio.sleep(scene.away.network)
            later = await scene.stream(Stream.TELEMETRY)
            unread = (await scene.writers_place()).num_pending
            await scene.start("writer")
            if later.state.first_seq != full.state.first_seq:
                raise FaultError("messages were deleted to make room")
            if not unread:
                raise FaultError("nothing was left unread")
            if await scene.fleet.fresh(scene.fleet.mark(), seconds=60) is None:
                raise FaultError("it stays full though all was read")
        finally:
            await scene.start("writer")
            await jetstream.update_stream(info.config)
    return f"refused={scene.fleet.figures.retries - retries} unread={unread}"


async def disk_full(scene: Scene) -> str:
    if not scene.on_tmpfs:
        raise FaultError("NATS' folder is no file system of its own here")
    folder = scene.stack.settings.state / "nats"
    retries = scene.fleet.figures.retries
    await scene.stop("writer")  # reading would free space
    await _resize(folder, shutil.disk_usage(folder).used + FULL_BYTES)
    try:
        await scene.fleet.until(
            lambda f: f.retries > retries, seconds=60, otherwise="agents were not told RETRY"
        )
        await asyncio.sleep(scene.away.network)
    finally:
        await _resize(folder, TMPFS_BYTES)
        await scene.start("writer")
    refused = scene.fleet.figures.retries - retries
    # JetStream may have switched itself off; a restart is what people do then.
    restarted = await scene.fleet.fresh(scene.fleet.mark(), seconds=20) is None
    if restarted:
        await scene.stop("nats")
        await scene.start("nats")
    return f"refused={refused} restarted={'yes' if restarted else 'no'}"


async def _resize(folder: Path, size: int) -> None:
    process = await asyncio.create_subprocess_exec(
        "mount", "-o", f"remount,size={size}", str(folder)
    )
    if await process.wait():
        raise FaultError("the file system cannot be resized")


async def restart_storm(scene: Scene) -> str:
    """Reconnect a thousand agents at once: the memory of the edge must not grow with their number."""
    await fleet_stack.register(scene.stack, STORM_FIRST, STORM_AGENTS)
    options = {"first": STORM_FIRST, "interval": STORM_INTERVAL, "ramp": 20, "replay_after": 60}
    async with scene.other_fleet("storm", agents=STORM_AGENTS, **options) as fleet:
        mark = fleet.mark()
        if await fleet.fresh(mark, seconds=120) is None:
            raise FaultError(f"{STORM_AGENTS} agents were not served before the storm")
        before = psutil.Process(scene.pid("edge")).memory_info().rss
        await scene.kill("edge")
        begin = time.monotonic()
        mark = fleet.mark()
        most = 0
        fresh = asyncio.ensure_future(fleet.fresh(mark, seconds=60))
        while not fresh.done():
            pid = await scene.running("edge")
            try:
                most = max(most, psutil.Process(pid).memory_info().rss)
            except psutil.NoSuchProcess:
                continue
            await asyncio.sleep(0.2)
        if await fresh is None:
            raise FaultError(f"not all were back after {time.monotonic() - begin:.0f} s")
        back = time.monotonic() - begin
        if most > STORM_MEMORY * before:
            raise FaultError(f"the edge grew from {before >> 20} to {most >> 20} MiB")
        fleet.tell("pause")
        await fleet.until(lambda f: f.in_hand == 0, seconds=120, otherwise="some was not durable")
    return f"all-back={back:.0f}s edge={before >> 20}..{most >> 20}MiB"


async def acknowledge_before_commit(scene: Scene) -> str:
    """Run the writer with a mistake that the checker must find."""
    command = [sys.executable, str(REPOSITORY / "tests/chaos/eager_writer.py")]
    await asyncio.to_thread(scene.restart_as, {"writer": command})
    for _ in range(EAGER_KILLS):
        await asyncio.sleep(3 * INTERVAL)
        await scene.kill("writer")
    await scene.running("writer")
    await asyncio.to_thread(scene.restart_as, {})
    return f"kills={EAGER_KILLS}"


CASES = (
    Case("ack-before-commit", acknowledge_before_commit, in_short=True, must_fail=True),
    *(Case(f"kill-{name}", partial(kill, name=name), in_short=True) for name in KILLABLE),
    Case("kill-agents", partial(kill_agents, rounds=2), in_short=True),
    Case("connections-reset", reset_connections, in_short=True),
    Case("nats-away", partial(away, name="nats"), in_short=True),
    Case("database-away", partial(away, name="postgres"), in_short=True),
    Case("nats-hung", partial(hang, name="nats")),
    Case("database-hung", partial(hang, name="postgres")),
    Case("network-cut", cut_network, in_short=True),
    Case("half-open", half_open),
    Case("duplicates", duplicates, in_short=True),
    Case("poison", poison, in_short=True),
    Case("clock-off", clock_off, in_short=True),
    Case("hostile-clients", hostile_clients, in_short=True),
    Case("kill-all", partial(kill_all, rounds=1), in_short=True),
    Case("kill-all-again", partial(kill_all, rounds=8)),
    Case("stream-full", stream_full),
    Case("restart-storm", restart_storm),
    Case("disk-full", disk_full),
)
