"""Hostile clients beside the fleet: agents and users must hardly notice them."""

from __future__ import annotations

import asyncio
import json
import math
import os
import secrets
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from deploy.local import machine, stack
from deploy.local.settings import REPOSITORY, write_private
from tests.bench import fleet_stack, oracle
from tests.bench.oracle import Word
from tests.chaos.hostile_connection import KEPT_OPEN
from tests.chaos.scene import FaultError, Scene, say

SERVICES = ("edge", "gateway")
SERVER_ERROR = "HTTP 5"
MOVED_SECONDS = 1.0  # by which the p99 may move
LOOK_SECONDS = 5.0
ANSWER_SECONDS = 8.0
"""Within which the good user has an answer to each request."""
BUSY_LOAD = 2.0
"""Load per core, before the attacks, above which other programs decide about times."""
# Bytes. The edge awaits 128 first messages of at most 2 MiB; the gateway checks two passwords, which
# take 64 MiB each.
GROWTH = {"edge": 300 << 20, "gateway": 200 << 20}
STEADY = 64 << 20  # bytes that the last third of a long run may add to the second
LONG_SECONDS = 300
# Not the numbers of the real agents, whose samples the fleet does not know.
LATE_FIRST, LATE_AGENTS = 60_000, 20
LATE_SECONDS = 30.0
ACK_SECONDS = 15.0  # for which an edge may keep an acknowledgement, and some
STOP_SECONDS = 30.0
NEW_USER = "newcomer"


@dataclass(slots=True)
class Memory:
    """Resident bytes of the services, once in a second."""

    seen: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in SERVICES})

    async def watch(self, scene: Scene) -> None:
        processes = {name: psutil.Process(scene.pid(name)) for name in SERVICES}
        while True:
            for name, process in processes.items():
                self.seen[name].append(process.memory_info().rss)
            await asyncio.sleep(1.0)

    def __str__(self) -> str:
        return " ".join(
            f"{name}={seen[0] >> 20}..{max(seen) >> 20}MiB" for name, seen in self.seen.items()
        )

    def problems(self) -> list[str]:
        found = []
        for name, seen in self.seen.items():
            third = len(seen) // 3
            second, last = max(seen[third : 2 * third]), max(seen[2 * third :])
            if max(seen) - seen[0] > GROWTH[name]:
                found.append(f"the {name} grew from {seen[0] >> 20} to {max(seen) >> 20} MiB")
            elif len(seen) > LONG_SECONDS and last - second > STEADY:
                found.append(f"the {name} keeps growing: {second >> 20}, then {last >> 20} MiB")
        return found


@dataclass(slots=True)
class GoodUser:
    """A person who logs in and reads: one on a known browser, one on a new one."""

    scene: Scene
    known: httpx.AsyncClient
    times: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)

    async def keep_working(self) -> None:
        while True:
            await self._work(self.known, "admin")
            async with _client(self.scene) as unknown:
                await self._work(unknown, NEW_USER)
            await asyncio.sleep(LOOK_SECONDS)

    async def _work(self, client: httpx.AsyncClient, name: str) -> None:
        try:
            answer = await self._timed(client.post("/auth/login", json=_word(self.scene, name)))
            token = {"Authorization": f"Bearer {answer.json()['access_token']}"}
            for path in ("/vps?limit=50", "/fleet/overview"):
                await self._timed(client.get(path, headers=token))
        except httpx.HTTPStatusError as error:
            request = error.request
            self.failures[
                f"{name}: {request.method} {request.url.path} {error.response.status_code}"
            ] += 1
        except httpx.TransportError as error:
            self.failures[f"{name}: {type(error).__name__}"] += 1

    async def _timed(self, request: object) -> httpx.Response:
        begin = time.monotonic()
        answer: httpx.Response = await request  # type: ignore[misc]
        self.times.append(time.monotonic() - begin)
        return answer.raise_for_status()

    def problems(self, *, is_busy: bool) -> list[str]:
        """Return what went wrong; on a busy machine, a new browser may be told to wait."""
        found = [
            f"{count} times {failure}"
            for failure, count in self.failures.items()
            if not (is_busy and failure.startswith(NEW_USER) and failure.endswith("429"))
        ]
        if not self.times:
            found.append("the good user had no answer")
        elif max(self.times) > ANSWER_SECONDS and not is_busy:
            found.append(f"the good user waited {max(self.times):.1f} s for an answer")
        return found


async def hostile_clients(scene: Scene) -> str:
    """Let hostile clients attack the edge and the gateway while agents and users work."""
    await asyncio.to_thread(_add_users, scene)
    await fleet_stack.register(scene.stack, LATE_FIRST, LATE_AGENTS)
    pids = {name: scene.pid(name) for name in SERVICES}
    memory = Memory()
    async with _client(scene) as known:
        await known.post("/auth/login", json=_word(scene, "admin"))
        user = GoodUser(scene, known)
        quiet = time.monotonic()
        async with _meanwhile(memory.watch(scene), user.keep_working()):
            await asyncio.sleep(scene.away.quiet)
            load = os.getloadavg()[0] / (os.cpu_count() or 1)
            begin = time.monotonic()
            async with _attackers(scene) as outcomes:
                late = await _late_agents(scene)
                await asyncio.sleep(max(begin + scene.away.hostile - time.monotonic(), 0))
            end = time.monotonic()
    await asyncio.sleep(ACK_SECONDS)
    before, during = _p99(scene.fleet.oracle, quiet, begin), _p99(scene.fleet.oracle, begin, end)
    for name, count in sorted(outcomes.items()):
        say(f"  {name}: {count}")
    is_busy = load > BUSY_LOAD
    problems = [
        *_bad(outcomes),
        *memory.problems(),
        *user.problems(is_busy=is_busy),
        *(f"the {name} was started again" for name in SERVICES if scene.pid(name) != pids[name]),
    ]
    if late is None:
        problems.append(f"new agents were not served within {LATE_SECONDS:.0f} s")
    if during - before > MOVED_SECONDS and not is_busy:
        problems.append("the p99 moved too far")
    told = (
        f"attacks={sum(map(_total, outcomes.values()))} p99={before:.2f}..{during:.2f}s {memory}"
        f" answers={len(user.times)} slowest={max(user.times, default=math.inf):.1f}s"
    )
    if is_busy:
        told += f" load={load:.1f}: other programs keep this machine busy, times are not judged"
    if problems:
        raise FaultError(f"{told}: {'; '.join(problems)}")
    return told


async def _late_agents(scene: Scene) -> float | None:
    """Connect more agents in the middle of the attacks; return the seconds until all were served."""
    await asyncio.sleep(scene.away.hostile / 3)
    async with scene.other_fleet("late", agents=LATE_AGENTS, first=LATE_FIRST) as fleet:
        served = await fleet.fresh(fleet.mark(), seconds=LATE_SECONDS)
        fleet.tell("pause")
        await fleet.until(lambda f: f.in_hand == 0, seconds=60, otherwise="some was not durable")
    return served


def _p99(path: Path, begin: float, end: float) -> float:
    """Return the 99th percentile of the seconds until samples measured in this time are accepted."""
    waiting: dict[tuple[int, int], float] = {}
    taken = []
    for record in oracle.read(path):
        name = (record.index, record.time_ms)
        if record.word is Word.COLLECTED and begin <= record.at < end:
            waiting[name] = record.at
        elif record.word in {Word.ACCEPTED, Word.DURABLE} and name in waiting:
            taken.append(record.at - waiting.pop(name))
    taken += [math.inf] * len(waiting)
    return sorted(taken)[math.ceil(0.99 * len(taken)) - 1] if taken else math.inf


def _bad(outcomes: Mapping[str, Mapping[str, int]]) -> list[str]:
    return [
        f"{name}: {count} times {outcome}"
        for name, counts in outcomes.items()
        for outcome, count in counts.items()
        if outcome == KEPT_OPEN or outcome.startswith(SERVER_ERROR)
    ]


def _total(counts: Mapping[str, int]) -> int:
    return sum(counts.values())


@asynccontextmanager
async def _attackers(scene: Scene) -> AsyncIterator[dict[str, dict[str, int]]]:
    """Attack until the block ends; the outcomes are known after it."""
    settings = scene.stack.settings
    options = {
        "edge": settings.port("GRPC"),
        "gateway": settings.port("HTTP"),
        "authority": settings.values["FLOTILLA_CA_CERTIFICATE"],
        "seconds": scene.away.hostile,
        "share": scene.away.hostile_share,
    }
    command = [sys.executable, str(REPOSITORY / "tests/chaos/hostile_clients.py")]
    command += [word for name, value in options.items() for word in (f"--{name}", str(value))]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    outcomes: dict[str, dict[str, int]] = {}
    try:
        yield outcomes
        async with asyncio.timeout(STOP_SECONDS):
            told, _ = await process.communicate()
        if process.returncode:
            raise FaultError(f"the hostile clients ended with {process.returncode}")
        outcomes.update(json.loads(told))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@asynccontextmanager
async def _meanwhile(*work: object) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(one) for one in work]  # type: ignore[call-overload]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _client(scene: Scene) -> httpx.AsyncClient:
    url = f"{machine.gateway_url(scene.stack.settings)}/api/v1"
    return httpx.AsyncClient(base_url=url, trust_env=False, timeout=60)


def _word(scene: Scene, name: str) -> dict[str, str]:
    return {"username": name, "password": _password(scene, name).read_text().strip()}


def _password(scene: Scene, name: str) -> Path:
    return scene.stack.settings.state / f"{name}-password"


def _add_users(scene: Scene) -> None:
    settings = scene.stack.settings
    stack.add_first_user(settings)
    file = _password(scene, NEW_USER)
    if not file.exists():
        write_private(file, secrets.token_urlsafe() + "\n")
    words = ("user", "add", NEW_USER, "--role=admin", f"--password-file={file}", "--if-missing")
    stack._flotilla(settings, *words)
