"""Runs continue while the bus, the database or the gateway that drives them is away."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest
import pytest_asyncio

from flotilla.v1.command_pb2 import Command, CommandResponse
from services.gateway.runs import supervisor
from services.gateway.timing import GatewayTiming
from services.kit.agents.timing import CommandTiming
from tests.fixtures import runs
from tests.fixtures.runs import RUNNING, printed
from tests.fixtures.scripted_agent import ScriptedAgent
from tests.fixtures.waiting import until
from tests.fixtures.world import Gate, World

QUICK = GatewayTiming(commands=CommandTiming(repeat_first=0.2, heartbeat=0.3, silence=1.5))


@dataclass
class Console:
    """A gateway whose links to NATS and to the database can be cut; the edge has its own."""

    world: World
    user: httpx.AsyncClient
    agent: ScriptedAgent
    bus: Gate
    database: Gate
    run: dict[str, Any] = field(default_factory=dict)

    async def start(self, **fields: Any) -> Command:
        """Start a run; return the command that the agent received."""
        self.run = await runs.start(self.user, self.agent, **fields)
        return (await self.agent.commanded())[1]

    async def shows(self, **fields: Any) -> None:
        """Wait until this is the result of the run's server."""

        async def look() -> bool:
            (server,) = (await runs.read(self.user, self.run))["servers"]
            return all(server[name] == value for name, value in fields.items())

        await until(look, otherwise=f"no {fields}")

    async def gateway(self) -> None:
        self.world.start(
            "gateway",
            nats_url=f"nats://127.0.0.1:{self.bus.port}",
            database_url=database_url(self.world, self.database),
            timing=QUICK,
        )
        await self.world.ready("gateway")

    async def was_done(self, *expected: tuple[str, bool, str]) -> None:
        """Wait until these are the audit entries about the server's scripts, in that order."""
        me = (await self.user.get("/auth/me")).json()["id"]

        async def look() -> bool:
            rows = await self.world.sql(
                "SELECT action, allowed, reason FROM audit_entries WHERE object = %(o)s"
                " AND actor = %(a)s AND action LIKE 'command.%%' ORDER BY time",
                o=f"vps:{self.agent.vps_id}",
                a=f"user:{me}",
            )
            return rows == list(expected)

        await until(look, otherwise=f"not {expected}")

    async def cut(self) -> None:
        await self.bus.shut()
        await until(lambda: not self.connected())

    async def mend(self) -> None:
        await self.bus.open()
        await until(self.connected)

    def connected(self, name: str = "gateway") -> bool:
        checks = self.world.health[name].status().checks
        return all(check.ready for check in checks if check.name == "bus")

    async def restart_nats(self) -> None:
        self.world.nats.kill()
        await self.bus.shut()
        await until(lambda: not self.connected() and not self.connected("edge"))
        await self.world.nats.start()
        await self.bus.open()
        await until(lambda: self.connected() and self.connected("edge"))


def database_url(world: World, gate: Gate) -> str:
    return world.role_url("gateway").replace(f":{database_port(world)}/", f":{gate.port}/")


def database_port(world: World) -> int:
    return httpx.URL(world.database_url).port or 5432


@pytest_asyncio.fixture(loop_scope="session")
async def console(own_world: World) -> AsyncIterator[Console]:
    bus, database = Gate(own_world.nats.port), Gate(database_port(own_world))
    await bus.open()
    await database.open()
    own_world.start("edge")
    await own_world.ready("edge")
    console = Console(own_world, own_world.anonymous(), own_world.agent(), bus, database)
    await console.gateway()
    console.user = await own_world.user("member")
    console.agent = await own_world.enrolled(console.user)
    await console.agent.connect()
    yield console
    await console.agent.close()
    await own_world.stop("gateway")
    await bus.shut()
    await database.shut()


async def test_a_script_is_followed_across_the_gateways_own_broken_link(console: Console) -> None:
    command = await console.start()
    letter = "ä".encode()
    await console.agent.answer(command.id, part=0, stdout=b"one " + letter[:1], **RUNNING)
    await console.shows(stdout="one ")
    await console.cut()
    await console.agent.answer(command.id, part=1, stdout=letter[1:], **RUNNING)
    await console.mend()
    await console.agent.answer(command.id, part=2, stdout=b" two", **RUNNING)
    # Asking again has no effect, because the edge waits for the first answer.
    await console.shows(status="running", stdout="one ")
    await console.agent.answer(command.id, part=3, exit_code=4)

    _, again = await console.agent.commanded()
    assert again == command
    await console.agent.answer(command.id, part=0, stdout=b"one ", **RUNNING)
    await console.agent.answer(command.id, part=1, stdout=letter + b" two", exit_code=4)
    result = await runs.result(console.user, console.run)
    assert (result["status"], result["exit_code"]) == ("finished", 4)
    assert (result["stdout"], result["truncated"]) == ("one ä two", False)


async def test_the_end_of_a_script_is_heard_soon_after_nats_was_restarted(
    console: Console,
) -> None:
    command = await console.start(timeout_seconds=600)
    await console.agent.answer(command.id, part=0, stdout=b"one ", **RUNNING)
    await console.restart_nats()
    await console.agent.answer(command.id, part=1, stdout=b"two")

    await console.agent.commanded()
    await console.agent.answer(command.id, stdout=b"one two")
    result = await runs.result(console.user, console.run)
    assert (result["status"], result["stdout"]) == ("finished", "one two")


async def test_output_waits_for_the_database_and_is_whole_when_it_is_back(
    console: Console,
) -> None:
    command = await console.start()
    await console.agent.answer(command.id, part=0, stdout=b"one ", **RUNNING)
    await console.shows(stdout="one ")
    await console.database.shut()
    await console.agent.answer(command.id, part=1, stdout=b"two ", **RUNNING)
    await console.agent.answer(command.id, part=2, stdout=b"three", exit_code=5)
    await console.database.open()
    result = await runs.result(console.user, console.run)
    assert (result["status"], result["exit_code"]) == ("finished", 5)
    assert printed(await runs.lines(console.user, console.run)) == "one two three"
    await console.was_done(("command.begin", True, ""), ("command.run", True, ""))


@pytest.mark.parametrize("sudden", [False, True], ids=["stopped", "killed"])
async def test_a_script_whose_gateway_ended_is_followed_by_the_next(
    console: Console, *, sudden: bool
) -> None:
    command = await console.start(timeout_seconds=60)
    letter = "ä".encode()
    await console.agent.answer(command.id, part=0, stdout=b"one " + letter[:1], **RUNNING)
    await console.was_done(("command.begin", True, ""))
    async with runs.follow(console.user, console.run) as following:
        before = await runs.until_line(following, data="one ")
    if sudden:
        # A killed gateway sends nothing any more.
        await console.database.shut()
    await console.world.stop("gateway")
    if sudden:
        await console.database.open()
    await console.gateway()
    async with runs.follow(console.user, console.run, before[-1]["offset"] + 1) as following:
        # Only the edge receives this answer. It then lets the next gateway ask.
        await console.agent.answer(command.id, part=1, stdout=b"two", exit_code=4)
        _, again = await console.agent.commanded()
        assert again == command
        await console.agent.answer(command.id, stdout=b"one " + letter + b" two", exit_code=4)
        after = await runs.until_line(following, event="run")
    assert printed(before + after) == "one ä two"
    await console.shows(status="finished", stdout="one ä two", exit_code=4)
    await console.was_done(("command.begin", True, ""), ("command.run", True, ""))


async def test_servers_that_wait_are_begun_by_the_next_gateway(console: Console) -> None:
    command = await console.start()
    second = await console.world.enrolled(console.user, "second")
    await second.connect()
    waiting = await runs.start(console.user, second)
    _, other = await second.commanded()
    await console.world.stop("gateway")
    await console.world.sql(
        "UPDATE run_servers SET status = 'queued', request = NULL, started_at = NULL"
        " WHERE run_id = %(id)s",
        id=waiting["id"],
    )
    await console.world.sql("UPDATE runs SET status = 'queued' WHERE id = %(id)s", id=waiting["id"])
    await console.gateway()
    _, again = await second.commanded()
    assert again.id != other.id
    await second.answer(again.id)
    assert (await runs.result(console.user, waiting))["status"] == "finished"
    await console.agent.answer(command.id)
    _, again = await console.agent.commanded()
    await console.agent.answer(again.id)
    assert (await runs.result(console.user, console.run))["status"] == "finished"


async def test_what_waited_too_long_for_a_gateway_is_not_begun(console: Console) -> None:
    await console.world.stop("gateway")
    ids = {"run": "11111111-1111-4111-8111-111111111111", "vps": console.agent.vps_id}
    await console.world.sql(
        "INSERT INTO runs (id, username, script, timeout_seconds, followed_at)"
        " VALUES (%(run)s, 'somebody', 'true', 60, now() - interval '11 minutes')",
        **ids,
    )
    await console.world.sql(
        "INSERT INTO run_servers (run_id, vps_id) VALUES (%(run)s, %(vps)s)", **ids
    )
    await console.gateway()
    result = await runs.result(console.user, {"id": ids["run"]})
    assert (result["status"], result["problem"]) == ("failed", "/problems/dependency-unavailable")
    assert "No gateway" in result["reason"]


async def test_a_run_that_lives_with_its_gateway_is_taken_by_no_other(console: Console) -> None:
    command = await console.start()
    taken_over = supervisor.TAKEN_OVER._value.get()
    # Longer than a heartbeat is delayed on a busy machine.
    silence = 6.0
    timing = replace(QUICK, commands=replace(QUICK.commands, silence=silence))
    other = await runs.second_gateway(console.world, console.user, timing=timing)
    started = time.monotonic()

    async def beat() -> Any:
        return await console.world.sql(
            "SELECT followed_at FROM runs WHERE id = %(id)s", id=console.run["id"]
        )

    while time.monotonic() < started + 1.5 * silence:
        before = await beat()

        async def moved(before: Any = before) -> bool:
            return bool(await beat() != before)

        await until(moved)
    await console.agent.answer(command.id)
    assert (await runs.result(other, console.run))["status"] == "finished"
    assert supervisor.TAKEN_OVER._value.get() == taken_over
    await console.world.stop("gateway-2")


async def follower(console: Console) -> Any:
    """Return the gateway that drives the run."""
    rows = await console.world.sql(
        "SELECT follower FROM runs WHERE id = %(id)s", id=console.run["id"]
    )
    return rows[0][0]


async def test_a_gateway_that_was_cut_off_writes_nothing_after_another_took_over(
    console: Console,
) -> None:
    command = await console.start(timeout_seconds=60)
    await console.agent.answer(command.id, part=0, stdout=b"one ", **RUNNING)
    await console.shows(stdout="one ")
    await console.database.shut()
    first = await follower(console)
    other = await runs.second_gateway(console.world, console.user, timing=QUICK)

    async def taken_over() -> bool:
        return await follower(console) not in (None, first)

    await until(taken_over)
    # The first gateway still follows the command, so the edge sends the answer only to it.
    await console.agent.answer(command.id, part=1, stdout=b"two", exit_code=4)
    await console.database.open()
    _, again = await console.agent.commanded()
    assert again == command
    await console.agent.answer(command.id, stdout=b"one two", exit_code=4)
    result = await runs.result(other, console.run)
    assert (result["status"], result["stdout"]) == ("finished", "one two")
    assert printed(await runs.lines(other, console.run)) == "one two"
    await console.was_done(("command.begin", True, ""), ("command.run", True, ""))
    await console.world.stop("gateway-2")


async def test_what_came_of_a_script_that_its_agent_forgot_is_not_known(console: Console) -> None:
    command = await console.start()
    await console.world.stop("gateway")
    await console.agent.answer(command.id)
    await console.gateway()
    await console.agent.commanded()
    await console.agent.answer(
        command.id,
        status=CommandResponse.STATUS_REFUSED,
        failure=CommandResponse.FAILURE_FORBIDDEN,
        reason="it has expired",
    )
    await console.shows(status="lost", problem="/problems/agent-unanswered")
    (server,) = (await runs.read(console.user, console.run))["servers"]
    assert "it has expired" in server["reason"]


async def test_a_script_of_long_ago_is_not_asked_for_any_more(console: Console) -> None:
    await console.start()
    await console.world.stop("gateway")
    await console.world.sql(
        "UPDATE run_servers SET started_at = now() - interval '25 hours' WHERE run_id = %(id)s",
        id=console.run["id"],
    )
    await console.gateway()
    assert (await runs.result(console.user, console.run))["status"] == "lost"
