import secrets
from collections.abc import AsyncIterator, Iterator

import pytest

from agent.commands.policy import Policy
from agent.docker.actions import DockerActions
from tests.fixtures.agent.docker_actions import ALL_ACTIONS, Manage
from tests.fixtures.docker_engine import Engine, engine


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    # A socket's path has at most 107 bytes.
    with engine(tmp_path_factory.mktemp("c", numbered=True)) as started:
        yield started


@pytest.fixture
def changes() -> list[None]:
    """Return a list that gets an entry for each reported change."""
    return []


@pytest.fixture
async def manage(running: Engine, changes: list[None]) -> AsyncIterator[Manage]:
    made: list[DockerActions] = []

    def make(policy: Policy = ALL_ACTIONS, agent_tag: str = "") -> DockerActions:
        made.append(
            DockerActions(
                policy,
                socket=lambda: running.socket,
                changed=lambda: changes.append(None),
                agent_tag=agent_tag or secrets.token_hex(8),
            )
        )
        return made[-1]

    yield make
    for docker in made:
        await docker.close()


@pytest.fixture
def docker(manage: Manage) -> DockerActions:
    return manage()
