"""Scripts that go on while the bus, or the gateway that follows them, does not."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio

from flotilla.v1.command_pb2 import CommandResponse
from services.gateway import following, orphans
from tests.fixtures.agent_script import ScriptedAgent
from tests.fixtures.waiting import until
from tests.fixtures.world import Gate, World

RUNNING: dict[str, Any] = {"status": CommandResponse.STATUS_RUNNING, "last": False}


@dataclass
class Console:
    """A gateway whose link to NATS can be cut; the edge has one of its own."""

    world: World
    user: httpx.AsyncClient
    agent: ScriptedAgent
    link: Gate

    def run(self, **fields: Any) -> asyncio.Task[httpx.Response]:
        url, body = f"/vps/{self.agent.vps_id}/commands", {"script": "true", **fields}
        return asyncio.create_task(self.user.post(url, json=body, timeout=60))

    async def kept(self) -> dict[str, Any]:
        """The one command in the server's history, with its output."""
        url = f"/vps/{self.agent.vps_id}/commands"
        (item,) = (await self.user.get(url)).json()["items"]
        found: dict[str, Any] = (await self.user.get(f"{url}/{item['id']}")).json()
        return found

    async def shows(self, **fields: Any) -> None:
        async def look() -> bool:
            return fields.items() <= (await self.kept()).items()

        await until(look, otherwise=f"no {fields}")

    async def gateway(self) -> None:
        self.world.start("gateway", nats_url=f"nats://127.0.0.1:{self.link.port}")
        await self.world.ready("gateway")

    async def audited(self) -> list[tuple[str, bool, str]]:
        """What was done to the server's scripts, by its owner, in that order."""
        me = (await self.user.get("/auth/me")).json()["id"]
        rows: list[tuple[str, bool, str]] = await self.world.sql(
            "SELECT action, allowed, reason FROM audit_entries WHERE object = %(o)s"
            " AND actor = %(a)s AND action LIKE 'command.%%' ORDER BY time",
            o=f"vps:{self.agent.vps_id}",
            a=f"user:{me}",
        )
        return rows

    async def was_done(self, *expected: tuple[str, bool, str]) -> None:
        async def look() -> bool:
            return await self.audited() == list(expected)

        await until(look, otherwise=f"not {expected}")

    async def cut(self) -> None:
        await self.link.shut()
        await until(lambda: not self._connected())

    async def mend(self) -> None:
        await self.link.open()
        await until(self._connected)

    def _connected(self, name: str = "gateway") -> bool:
        checks = self.world.health[name].status().checks
        return all(check.ready for check in checks if check.name == "bus")

    async def restart_nats(self) -> None:
        self.world.nats.kill()
        await self.link.shut()
        await until(lambda: not self._connected() and not self._connected("edge"))
        await self.world.nats.start()
        await self.link.open()
        await until(lambda: self._connected() and self._connected("edge"))


@pytest_asyncio.fixture(loop_scope="session")
async def console(own_world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Console]:
    monkeypatch.setattr(following, "REPEAT_INTERVAL", 0.2)
    link = Gate(own_world.nats.port)
    await link.open()
    own_world.start("edge")
    own_world.start("gateway", nats_url=f"nats://127.0.0.1:{link.port}")
    await own_world.ready("edge", "gateway")
    user = await own_world.user("member")
    agent = await own_world.enrolled(user)
    await agent.connect()
    yield Console(own_world, user, agent, link)
    await agent.close()
    await own_world.stop("gateway")
    await link.shut()


async def test_a_script_is_followed_across_the_gateways_own_broken_link(console: Console) -> None:
    answer = console.run()
    _, command = await console.agent.commanded()
    letter = "ä".encode()
    await console.agent.answer(command.id, part=0, stdout=b"one " + letter[:1], **RUNNING)
    await console.cut()
    await console.agent.answer(command.id, part=1, stdout=letter[1:], **RUNNING)
    await console.mend()
    await console.agent.answer(command.id, part=2, stdout=b" two", **RUNNING)
    await asyncio.sleep(1.0)  # it is asked for in vain: the edge waits for the first answer
    assert (await console.kept())["status"] == "running"
    await console.agent.answer(command.id, part=3, exit_code=4)

    _, again = await console.agent.commanded()
    assert again == command
    await console.agent.answer(command.id, part=0, stdout=b"one ", **RUNNING)
    await console.agent.answer(command.id, part=1, stdout=letter + b" two", exit_code=4)
    result = (await answer).json()
    assert (result["status"], result["exit_code"]) == ("finished", 4)
    assert (result["stdout"], result["truncated"]) == ("one ä two", False)


async def test_the_end_of_a_script_is_heard_soon_after_nats_was_restarted(
    console: Console,
) -> None:
    answer = console.run(timeout_seconds=600)
    _, command = await console.agent.commanded()
    await console.agent.answer(command.id, part=0, stdout=b"one ", **RUNNING)
    await console.restart_nats()
    await console.agent.answer(command.id, part=1, stdout=b"two")

    await console.agent.commanded()
    await console.agent.answer(command.id, stdout=b"one two")
    result = (await answer).json()
    assert (result["status"], result["stdout"]) == ("finished", "one two")


@pytest.fixture(params=["stopped", "killed"])
def sudden(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that is killed says nothing any more: others notice its silence."""
    if request.param == "stopped":
        return

    async def nothing(_: object) -> None:
        return

    monkeypatch.setattr(orphans, "let_go", nothing)
    monkeypatch.setattr(orphans, "SILENCE", timedelta(seconds=1))
    monkeypatch.setattr(orphans, "BEAT", 0.3)


@pytest.mark.usefixtures("sudden")
async def test_a_script_whose_gateway_ended_is_followed_by_the_next(console: Console) -> None:
    answer = console.run(timeout_seconds=60)
    _, command = await console.agent.commanded()
    await console.agent.answer(command.id, part=0, stdout=b"one ", **RUNNING)
    await console.was_done(("command.begin", True, ""))
    await console.world.stop("gateway")
    await asyncio.gather(answer, return_exceptions=True)
    await console.gateway()
    assert (await console.kept())["status"] == "running"
    # Nobody hears this, but for the edge: it lets the next gateway ask.
    await console.agent.answer(command.id, part=1, stdout=b"two", exit_code=4)

    _, again = await console.agent.commanded()
    assert again == command
    await console.agent.answer(command.id, stdout=b"one two", exit_code=4)
    await console.shows(status="finished", stdout="one two", exit_code=4)
    await console.was_done(("command.begin", True, ""), ("command.run", True, ""))


async def test_a_script_that_lives_with_its_gateway_is_followed_by_no_other(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "SILENCE", timedelta(seconds=1))
    monkeypatch.setattr(orphans, "BEAT", 0.3)
    answer = console.run()
    _, command = await console.agent.commanded()
    before = orphans.ADOPTED._value.get()
    await asyncio.sleep(2.0)
    await console.agent.answer(command.id)
    assert (await answer).json()["status"] == "finished"
    assert orphans.ADOPTED._value.get() == before


async def test_what_came_of_a_script_that_its_agent_forgot_is_not_known(console: Console) -> None:
    answer = console.run()
    _, command = await console.agent.commanded()
    await console.world.stop("gateway")
    await asyncio.gather(answer, return_exceptions=True)
    await console.agent.answer(command.id)
    await console.gateway()
    await console.agent.commanded()
    await console.agent.answer(
        command.id,
        status=CommandResponse.STATUS_REFUSED,
        failure=CommandResponse.FAILURE_FORBIDDEN,
        reason="it has expired",
    )
    await console.shows(status="lost", reason=f"{orphans.LOST} (it has expired)")
