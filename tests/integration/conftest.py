from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from tests.fixtures.terminal_agent import TerminalAgent
from tests.fixtures.terminals import terminal_agent
from tests.fixtures.world import World

HERE = Path(__file__).parent
# These tests start no service, so each of them runs in its own event loop.
AGENT = HERE / "agent"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The services that the session's fixtures start run in one event loop with all tests.
    for item in items:
        alone = not item.path.is_relative_to(HERE) or item.path.is_relative_to(AGENT)
        if not alone and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(loop_scope="session")
async def user(world: World) -> httpx.AsyncClient:
    return await world.user("member")


@pytest_asyncio.fixture(loop_scope="session")
async def agent(world: World, user: httpx.AsyncClient) -> AsyncIterator[TerminalAgent]:
    """The agent of a server of the user, online, with scripted terminals."""
    agent = await terminal_agent(world, user)
    await agent.online()
    yield agent
    await agent.close()
