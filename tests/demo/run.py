"""A demo fleet in a running stack: `make demo`, and `make demo ARGS=--remove`.

Adds servers with thirty days of history, and reports for them until it is interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg

from deploy.local import machine
from deploy.local.settings import Settings, load
from deploy.local.waiting import StackError
from services.gateway.servers import store
from tests.demo import history, live
from tests.demo.history import Filled
from tests.demo.live import Counters, LiveServer
from tests.demo.profiles import SERVERS, TAG, Profile, Trouble, facts, profiles
from tests.fixtures.scripted_agent import ScriptedAgent

MARK = "demo"
"""Key in the metadata of the servers that this program added. It removes no other servers."""
NOT_RUNNING = "The stack does not run here. Start it with `make up`."
SEEN_SECONDS = 20.0
CONNECTING = 8  # agents at once
STARTED = time.monotonic()


class DemoError(StackError):
    """The demo cannot be added or removed."""


@dataclass(frozen=True, slots=True)
class Target:
    """The installation to fill, and the user that the servers will belong to."""

    client: httpx.AsyncClient
    database_url: str
    edge: str
    authority: bytes
    """Certificate of the authority that signed the edge's, as PEM."""
    command_key: bytes
    """The key of the console, which the agents trust."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--servers", type=int, choices=range(1, SERVERS + 1), default=SERVERS)
    parser.add_argument("--days", type=int, choices=range(1, 31), default=history.DAYS)
    parser.add_argument("--no-live", action="store_true", help="only fill; send no live samples")
    parser.add_argument("--remove", action="store_true", help="remove the demo's servers")
    given = parser.parse_args()
    try:
        settings = load(os.environ)
        authority = Path(settings.values["FLOTILLA_CA_CERTIFICATE"])
        if not authority.exists():
            raise DemoError(NOT_RUNNING)
        asyncio.run(_run(given, settings, authority.read_bytes()))
    except (StackError, httpx.HTTPError, OSError) as error:
        sys.stderr.write(f"\n{error}\n")
        return 1
    return 0


async def _run(given: argparse.Namespace, settings: Settings, authority: bytes) -> None:
    async with _client(settings) as client:
        target = Target(
            client,
            settings.values["DATABASE_URL"],
            settings.values["FLOTILLA_AGENT_ADDRESS"],
            authority,
            bytes.fromhex(machine.public_key(settings.values["FLOTILLA_COMMAND_KEY"])),
        )
        if given.remove:
            say(f"{await remove(target)} servers of the demo and their history are removed")
            return
        servers = await fill(target, count=given.servers, days=given.days)
    say(f"{given.servers} servers with {given.days} days of history are in the console")
    sys.stdout.write(
        f"\n  address  {settings.values['FLOTILLA_PUBLIC_URL']}"
        f"\n  tag      {TAG}"
        "\n  remove   make demo ARGS=--remove\n\n"
    )
    if not given.no_live:
        say("the servers report every ten seconds; Ctrl-C stops that and keeps the rest")
        await _until_interrupted(servers)


def _client(settings: Settings) -> httpx.AsyncClient:
    try:
        with machine.logged_in(settings) as known:
            headers = {"Authorization": known.headers["Authorization"]}
            return httpx.AsyncClient(
                base_url=known.base_url, headers=headers, trust_env=False, timeout=120
            )
    except httpx.TransportError:
        raise DemoError(NOT_RUNNING) from None


async def _until_interrupted(servers: Sequence[LiveServer]) -> None:
    reporting = asyncio.create_task(live.run(servers))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, reporting.cancel)
    await asyncio.wait({reporting})
    if not reporting.cancelled():
        reporting.result()


async def fill(target: Target, *, count: int, days: int) -> list[LiveServer]:
    """Add servers with their history; return the agents of those that are connected.

    Raises:
        DemoError: the demo is there already.
    """
    if await _demo_servers(target):
        raise DemoError(
            "The demo is in this installation already. Remove it with `make demo ARGS=--remove`."
        )
    agents: dict[UUID, ScriptedAgent] = {}
    added: list[tuple[Profile, UUID]] = []
    for profile in profiles(count):
        vps_id, token = await _add(target, profile)
        if profile.trouble is not Trouble.PENDING:
            agents[vps_id] = ScriptedAgent(target.edge, target.authority)
            await agents[vps_id].enrol(token, facts=facts(profile))
            await agents[vps_id].close()  # the edge would end an idle connection
            added.append((profile, vps_id))
    say(f"{count} servers are added and {len(agents)} agents enrolled")
    filled = await history.fill(target.database_url, added, days=days)
    say("the history is written")
    servers = {
        server.vps_id: LiveServer(
            agents[server.vps_id],
            server.profile,
            Counters(server.until.timestamp(), server.rx_total, server.tx_total),
            target.command_key,
        )
        for server in filled
    }
    await _report_once(target, filled, servers)
    return [
        servers[server.vps_id] for server in filled if server.profile.trouble is not Trouble.OFFLINE
    ]


async def _add(target: Target, profile: Profile) -> tuple[UUID, str]:
    """Add one server through the API; return its id and its enrolment token."""
    added = await _ask(target, "POST", "/vps", {"name": profile.name})
    vps_id = UUID(added["id"])
    async with await _connect(target) as connection:
        await connection.execute(
            "UPDATE vps SET metadata = metadata || jsonb_build_object(%(mark)s::text, true)"
            " WHERE id = %(id)s",
            {"mark": MARK, "id": vps_id},
        )
    config = {"report_interval_seconds": live.INTERVAL}
    await _ask(
        target, "PATCH", f"/vps/{vps_id}", {"tags": list(profile.tags), "agent_config": config}
    )
    counting = {
        "reset_day": 1 + profile.number % 3 * 9,
        "time_zone": profile.region.time_zone,
        "counted": "out" if profile.number % 4 == 0 else "both",
        "allowance": profile.plan.allowance,
    }
    await _ask(target, "PUT", f"/vps/{vps_id}/traffic/settings", counting)
    return vps_id, added["enrolment"]["token"]


async def _report_once(
    target: Target, filled: Sequence[Filled], servers: dict[UUID, LiveServer]
) -> None:
    """Let every agent send the last sample of its history, so that the console shows it."""
    places = asyncio.Semaphore(CONNECTING)
    left: dict[UUID, datetime] = {}

    async def report(server: Filled) -> None:
        async with places:
            left[server.vps_id] = await servers[server.vps_id].report_once(server.until.timestamp())

    async with asyncio.TaskGroup() as tasks:
        for server in filled:
            tasks.create_task(report(server))
    await _date_back(target, [s for s in filled if s.profile.silent_seconds], left)


async def _date_back(
    target: Target, silent: Sequence[Filled], left: Mapping[UUID, datetime]
) -> None:
    """Set back the last contact of servers, after the gateway has recorded that they left."""
    ids = [server.vps_id for server in silent]
    async with asyncio.timeout(SEEN_SECONDS):
        while True:
            async with await _connect(target) as connection:
                seen = await store.some(connection, vps_ids=ids)
            if all(vps.last_seen_at and vps.last_seen_at >= left[vps.id] for vps in seen.values()):
                break
            await asyncio.sleep(0.2)
    async with await _connect(target) as connection:
        for server in silent:
            await connection.execute(
                "UPDATE vps SET last_seen_at = %(at)s WHERE id = %(id)s",
                {"at": server.until, "id": server.vps_id},
            )


async def remove(target: Target) -> int:
    """Remove the servers that `fill` has added; return how many there were."""
    found = await _demo_servers(target)
    for vps_id in found:
        await _ask(target, "DELETE", f"/vps/{vps_id}")
    return len(found)


async def _demo_servers(target: Target) -> list[UUID]:
    async with await _connect(target) as connection:
        cursor = await connection.execute(
            "SELECT id FROM vps WHERE metadata ? %(mark)s ORDER BY name", {"mark": MARK}
        )
        return [vps_id for (vps_id,) in await cursor.fetchall()]


async def _connect(target: Target) -> psycopg.AsyncConnection:
    """Return a connection whose block commits."""
    return await psycopg.AsyncConnection.connect(target.database_url)


async def _ask(target: Target, method: str, path: str, body: object = None) -> Any:
    answer = await target.client.request(method, path, json=body)
    if not answer.is_success:
        raise DemoError(f"{method} {path} answered {answer.status_code}: {answer.text[:300]}")
    return answer.json() if answer.content else None


def say(what: str) -> None:
    sys.stdout.write(f"[{time.monotonic() - STARTED:5.1f} s] {what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
