import pytest_asyncio

from tests.fixtures.scripted_agent import ScriptedAgent
from tests.fixtures.world import World


@pytest_asyncio.fixture(loop_scope="session")
async def agent(world: World) -> ScriptedAgent:
    """An agent that is online and does only what a test says."""
    return await world.connected()
