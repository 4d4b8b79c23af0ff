"""What is refused on a server leaves an entry in the audit trail, and no flood of them."""

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx
import pytest_asyncio

from flotilla.v1.command_pb2 import CommandResponse
from tests.fixtures.agent_script import ScriptedAgent
from tests.fixtures.waiting import until
from tests.fixtures.world import World

CONTAINER = "a" * 12
REFUSED: dict[str, Any] = {"status": CommandResponse.STATUS_REFUSED}


@dataclass
class Account:
    """Somebody with a server, and what the audit trail has of them."""

    world: World
    user: httpx.AsyncClient
    id: str
    agent: ScriptedAgent

    @property
    def vps(self) -> str:
        return f"/vps/{self.agent.vps_id}"

    async def entries(self) -> list[dict[str, Any]]:
        """The oldest first, without the log-in and the server's making."""
        rows = await self.world.sql(
            "SELECT to_jsonb(a) FROM audit_entries a WHERE actor = %(actor)s"
            " AND action NOT IN ('session.login', 'vps.create', 'vps.enrol') ORDER BY time",
            actor=f"user:{self.id}",
        )
        return [row for (row,) in rows]

    async def refused(self, action: str, *, detail: str = "", reason: str = "") -> dict[str, Any]:
        """The newest refusal of that action, once there is one with these words."""

        async def look() -> Any:
            for entry in reversed(await self.entries()):
                is_it = (entry["action"], entry["allowed"]) == (action, False)
                if is_it and detail in entry["detail"] and reason in entry["reason"]:
                    return entry
            return None

        found: dict[str, Any] = await until(look, otherwise=f"no refusal of {action} {detail}")
        return found


@pytest_asyncio.fixture(loop_scope="session")
async def account(world: World) -> Account:
    user = await world.user("member")
    agent = await world.enrolled(user)
    return Account(world, user, (await user.get("/auth/me")).json()["id"], agent)


async def test_a_poll_that_fails_is_no_entry_and_one_that_is_forbidden_is(
    account: Account,
) -> None:
    agent = account.agent
    await agent.connect()
    for failure, status in (
        (CommandResponse.FAILURE_UNAVAILABLE, 503),
        (CommandResponse.FAILURE_NOT_FOUND, 404),
        (CommandResponse.FAILURE_FORBIDDEN, 403),
    ):
        url = f"{account.vps}/docker/containers/{CONTAINER}"
        answer = asyncio.create_task(account.user.get(url))
        _, command = await agent.commanded()
        await agent.answer(command.id, failure=failure, reason="so it is", **REFUSED)
        assert (await answer).status_code == status
    await account.refused("docker.inspect", detail=CONTAINER, reason="so it is")
    assert [entry["action"] for entry in await account.entries()] == ["docker.inspect"]
