"""Scripts that go on while the bus, or the gateway that follows them, does not."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio

from flotilla.v1.command_pb2 import CommandResponse
from services.gateway import scripts
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

    async def cut(self) -> None:
        await self.link.shut()
        await until(lambda: not self._connected())

    async def mend(self) -> None:
        await self.link.open()
        await until(self._connected)

    def _connected(self) -> bool:
        checks = self.world.health["gateway"].status().checks
        return all(check.ready for check in checks if check.name == "bus")


@pytest_asyncio.fixture(loop_scope="session")
async def console(own_world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Console]:
    monkeypatch.setattr(scripts, "REPEAT_INTERVAL", 0.2)
    link = Gate(own_world.nats.port)
    await link.open()
    own_world.start("edge")
    own_world.start("gateway", nats_url=f"nats://127.0.0.1:{link.port}")
    await own_world.ready("edge", "gateway")
    user = await own_world.user("member")
    agent = await own_world.enrolled(user)
    await agent.connect()
    yield Console(own_world, user, agent, link)
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
