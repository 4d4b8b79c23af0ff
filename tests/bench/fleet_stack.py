"""A stack for simulated fleets: the product's processes under the product's supervisor, no agent.

It has its own folder and ports and does not touch the user's stack.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import nats
import psycopg
from nats.aio.client import Client

from deploy.local import certificates, machine, processes, stack, timescaledb
from deploy.local.processes import Program, Supervisor
from deploy.local.settings import PORTS, REPOSITORY, Settings, load, read, save
from deploy.local.waiting import wait_for
from flotilla.v1.bus_pb2 import AgentRecord
from services.kit.bus import connection as bus
from services.kit.bus import subjects
from services.kit.services import SERVICES
from tests.bench import content
from tests.bench.own_stack import pids, supervisor
from tests.fixtures.claims import free_port

SERVERS = (*SERVICES, "nats", "postgres")
OWNER = "simulated"
PUBLISHING = 200  # records that are written at the same time
LOADED_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Variant:
    """Differences between this stack and `make up`."""

    sync_always: bool = False
    commands: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Replaced commands, by program."""


@dataclass(frozen=True, slots=True)
class FleetStack:
    settings: Settings
    variant: Variant

    @property
    def supervisor(self) -> Supervisor:
        return supervisor(self.settings)

    @property
    def secret(self) -> Path:
        return self.settings.state / "fleet-secret"

    @property
    def health_ports(self) -> dict[str, int]:
        values = read(self.settings.state / "health-ports")
        return {name: int(port) for name, port in values.items()}

    def pids(self) -> dict[str, int]:
        return pids(self.settings)

    def start(self, *names: str) -> None:
        processes.start(self.supervisor, *names)

    def stop(self, name: str) -> None:
        processes.stop_program(self.supervisor, name)

    async def client(self, user: str) -> Client:
        password = self.settings.values[f"FLOTILLA_NATS_{user.upper()}_PASSWORD"]
        return await nats.connect(
            self.settings.values["FLOTILLA_NATS_URL"],
            user=user,
            password=password,
            inbox_prefix=f"_INBOX_{user}",
            max_reconnect_attempts=-1,
        )

    def configure(self, variant: Variant) -> None:
        """Configure the programs of `variant`. Programs that change are stopped."""
        programs = _programs(self.settings, variant, self.health_ports)
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        processes.configure(self.supervisor, programs, environment)


@contextmanager
def running(variant: Variant | None = None, state: Path | None = None) -> Iterator[FleetStack]:
    """Run all services, without an agent, until the block ends."""
    folder = state or Path(tempfile.mkdtemp(prefix="flotilla-fleet-"))
    with _environment(folder):
        settings = load(os.environ)
        save(settings)
        made = FleetStack(settings, variant or Variant())
        try:
            _start(made)
            yield made
        finally:
            if processes.running(made.supervisor):
                processes.stop(made.supervisor)
            if state is None:
                shutil.rmtree(folder)


@contextmanager
def _environment(folder: Path) -> Iterator[None]:
    """Hide the user's choices from code that reads this process's environment."""
    kept = dict(os.environ)
    for name in kept:
        if name != "FLOTILLA_CACHE" and name.startswith(("FLOTILLA_", "DATABASE_URL")):
            del os.environ[name]
    os.environ["FLOTILLA_STATE"] = str(folder)
    if not (folder / "flotilla.env").exists():
        os.environ.update({name: str(free_port()) for name in PORTS})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)


def _start(made: FleetStack) -> None:
    settings = made.settings
    if not made.secret.exists():
        made.secret.write_text(secrets.token_hex(16))
        made.secret.chmod(0o600)
    if not made.health_ports:
        lines = "".join(f"{name}={free_port()}\n" for name in SERVICES)
        (settings.state / "health-ports").write_text(lines)
    certificates.issue(settings.state / "tls", ["localhost", "127.0.0.1"])
    made.configure(made.variant)
    made.start("postgres", "nats")
    timescaledb.wait_until_ready(settings.values["DATABASE_URL"], settings.log / "postgres.log")
    stack._flotilla(settings, "migrate")
    stack._flotilla(settings, "provision")
    made.start(*SERVICES)
    machine.wait_until_gateway_ready(settings)
    machine.wait_until_edge_listens(settings)


def _programs(
    settings: Settings, variant: Variant, health_ports: Mapping[str, int]
) -> list[Program]:
    programs = [stack._postgres(settings), _nats(settings, variant)]
    for program in stack._services(settings):
        environment = {
            **program.environment,
            "FLOTILLA_HEALTH_PORT": str(health_ports[program.name]),
            "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'proto'}",
        }
        command = variant.commands.get(program.name, program.command)
        # The fixed `build` prevents a restart when a source file is saved during the run.
        programs.append(replace(program, command=command, environment=environment, build="fleet"))
    return programs


def _nats(settings: Settings, variant: Variant) -> Program:
    program = stack._nats(settings)
    if not variant.sync_always:
        return program
    text = stack.NATS_CONFIGURATION.read_text()
    line = 'sync_interval: "1s"'
    assert line in text, "deploy/nats.conf says when to sync in other words"
    changed = settings.state / "nats.conf"
    changed.write_text(text.replace(line, "sync_interval: always"))
    known = str(stack.NATS_CONFIGURATION)
    command = [str(changed) if word == known else word for word in program.command]
    return replace(program, command=command, build=f"{program.build}-always")


async def register(made: FleetStack, first: int, count: int) -> None:
    """Insert servers and keys for these agents, instead of enrolling each one."""
    secret = made.secret.read_text().strip()
    keys = {
        index: content.key(secret, index).public_key().public_bytes_raw()
        for index in range(first, first + count)
    }
    _insert(made.settings.values["DATABASE_URL"], keys)
    client = await made.client("gateway")
    try:
        limit = asyncio.Semaphore(PUBLISHING)
        jetstream = client.jetstream(timeout=30)

        async def publish(index: int, key: bytes) -> None:
            vps = str(content.vps_id(index))
            record = AgentRecord(vps_id=vps, public_key=key, enabled=True)
            record.config.SetInParent()
            async with limit:
                await jetstream.publish(
                    subjects.key(subjects.Bucket.AGENTS, vps),
                    record.SerializeToString(),
                    headers=bus.encode_headers(record.DESCRIPTOR.full_name),
                )

        await asyncio.gather(*(publish(index, key) for index, key in keys.items()))
    finally:
        await client.close()


def _insert(url: str, keys: Mapping[int, bytes]) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO users (username, password_hash, role) VALUES (%s, '!', 'admin')"
            " ON CONFLICT DO NOTHING",
            [OWNER],
        )
        row = connection.execute("SELECT id FROM users WHERE username = %s", [OWNER]).fetchone()
        assert row is not None
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO vps (id, user_id, name, agent_public_key, status)"
                " VALUES (%s, %s, %s, %s, 'enrolled') ON CONFLICT DO NOTHING",
                [
                    (content.vps_id(index), row[0], f"sim-{index:05}", key)
                    for index, key in keys.items()
                ],
            )
        # Consoles show the servers to this user.
        connection.execute(
            "INSERT INTO memberships (organisation_id, user_id, role)"
            " SELECT DISTINCT vps.organisation_id, admin.id, 'owner' FROM vps"
            " JOIN users AS admin ON admin.username = 'admin' WHERE vps.user_id = %s"
            " ON CONFLICT DO NOTHING",
            [row[0]],
        )


def main() -> int:
    """Run until interrupted, for experiments: `fleet_stack.py FOLDER AGENTS [always]`."""
    folder, agents = Path(sys.argv[1]), int(sys.argv[2])
    with running(Variant(sync_always="always" in sys.argv), folder) as made:
        asyncio.run(register(made, 0, agents))
        sys.stderr.write(f"{made.settings.state} has {agents} agents\n")
        wait_for(lambda: None, seconds=24 * 3600, otherwise="A day has gone by.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
