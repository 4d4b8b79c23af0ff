from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from tests.fixtures.pty_script import TerminalAgent
from tests.fixtures.terminals import terminal_agent
from tests.fixtures.world import World

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # One loop for all: services of the session's world run in it.
    for item in items:
        if item.path.is_relative_to(HERE) and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(loop_scope="session")
async def user(world: World) -> httpx.AsyncClient:
    return await world.user("member")


@pytest_asyncio.fixture(loop_scope="session")
async def agent(world: World, user: httpx.AsyncClient) -> AsyncIterator[TerminalAgent]:
    """Of a server of the user's, online; its terminals are the test's."""
    agent = await terminal_agent(world, user)
    await agent.online()
    yield agent
    await agent.close()
