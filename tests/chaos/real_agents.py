"""Real agents beside the simulated ones. They are killed at any moment and must lose nothing."""

from __future__ import annotations

import asyncio
import datetime as dt
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import psycopg
from nacl.signing import SigningKey

from agent.base.identity import Identity, StateFolder
from deploy.local.settings import REPOSITORY
from tests.bench import content, fleet_stack
from tests.bench.ledger import EPOCH
from tests.chaos.scene import FaultError, Scene

FIRST, COUNT = 50_000, 3
INTERVAL = 0.5  # seconds between samples
ARRIVAL_SECONDS = 60.0


@dataclass(slots=True)
class RealAgent:
    vps_id: UUID
    state: Path
    process: asyncio.subprocess.Process | None = None
    kept: set[int] = field(default_factory=set)
    """Times (ms) of the samples in the spool of a killed agent."""

    async def start(self) -> None:
        config = self.state / "config.toml"
        config.write_text(f"report_interval = {INTERVAL}\n")
        log = (self.state / "log").open("ab")
        with log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "agent", "--state", str(self.state)),
                *("--config", str(config), "--policy", str(self.state / "policy.toml")),
                cwd=REPOSITORY,
                stdout=log,
                stderr=log,
            )

    async def end(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)
            await self.process.wait()

    async def kill(self) -> None:
        await self.end(signal.SIGKILL)
        with sqlite3.connect(self.state / "spool.db") as spool:
            self.kept |= {moment for (moment,) in spool.execute("SELECT time FROM items")}
        spool.close()

    def stored(self, url: str) -> list[int]:
        """Times (ms) of the rows of the server."""
        with psycopg.connect(url) as connection:
            query = "SELECT time FROM performance_metrics WHERE vps_id = %s ORDER BY time"
            rows = connection.execute(query, [self.vps_id]).fetchall()
        return [(time - EPOCH) // dt.timedelta(milliseconds=1) for (time,) in rows]


@asynccontextmanager
async def running(scene: Scene) -> AsyncIterator[list[RealAgent]]:
    await fleet_stack.register(scene.stack, FIRST, COUNT)
    agents = [_enrolled(scene, index) for index in range(FIRST, FIRST + COUNT)]
    try:
        for agent in agents:
            await agent.start()
        yield agents
    finally:
        for agent in agents:
            await agent.end(signal.SIGTERM)


def _enrolled(scene: Scene, index: int) -> RealAgent:
    settings = scene.stack.settings
    agent = RealAgent(content.vps_id(index), settings.state / f"agent-{index}")
    key = content.key(scene.stack.secret.read_text().strip(), index)
    identity = Identity(
        vps_id=str(agent.vps_id),
        address=f"127.0.0.1:{scene.relay.port}",
        ca_certificate=Path(settings.values["FLOTILLA_CA_CERTIFICATE"]).read_text(),
        key=SigningKey(key.private_bytes_raw()),
    )
    folder = StateFolder(agent.state)
    folder.prepare()
    folder.save_identity(identity)
    return agent


async def kill_agents(scene: Scene, rounds: int) -> str:
    """Kill each agent at another moment, with and without a network."""
    url = scene.stack.settings.values["DATABASE_URL"]
    async with running(scene) as agents:
        await scene.until(
            lambda: all(agent.stored(url) for agent in agents),
            seconds=ARRIVAL_SECONDS,
            otherwise="not every agent had a sample in the database",
        )
        for number in range(rounds):
            if number % 2:
                scene.relay.cut()
            await scene.pause(1.0, 3.0)
            for agent in agents:
                await scene.pause(0.0, 0.5)
                await agent.kill()
                await agent.start()
            scene.relay.mend()
        for agent in agents:
            await scene.pause(1.0, 3.0)
            await agent.kill()
            await agent.start()
        missing = await _missing(agents, url)
    kept = sum(len(agent.kept) for agent in agents)
    if missing or not kept:
        raise FaultError(f"{missing} of {kept} samples that killed agents had kept never arrived")
    return f"kills={COUNT * (rounds + 1)} kept={kept}"


async def _missing(agents: list[RealAgent], url: str) -> int:
    """Return how many of the kept samples are not in the database in time."""
    deadline = asyncio.get_running_loop().time() + ARRIVAL_SECONDS
    while True:
        missing = sum(len(agent.kept - set(agent.stored(url))) for agent in agents)
        if not missing or asyncio.get_running_loop().time() > deadline:
            return missing
        await asyncio.sleep(0.5)
