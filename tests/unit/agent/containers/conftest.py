import secrets
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from agent.execute.containers import Containers
from agent.execute.policy import Policy
from flotilla.v1.agent_pb2 import Powers
from tests.fixtures.engine import Engine, engine

MAY_ALL = Policy(docker=Powers.DOCKER_ACCESS_ACTIONS, shell=True)

Manage = Callable[..., Containers]


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    # A socket's path has at most 107 bytes.
    with engine(tmp_path_factory.mktemp("c", numbered=True)) as started:
        yield started


@pytest.fixture
def changes() -> list[None]:
    """An entry for each time that telemetry was told to look."""
    return []


@pytest.fixture
async def manage(running: Engine, changes: list[None]) -> AsyncIterator[Manage]:
    made: list[Containers] = []

    def make(policy: Policy = MAY_ALL, mark: str = "") -> Containers:
        made.append(
            Containers(
                *(policy, lambda: running.socket, lambda: changes.append(None)),
                mark=mark or secrets.token_hex(8),
            )
        )
        return made[-1]

    yield make
    for containers in made:
        await containers.close()


@pytest.fixture
def containers(manage: Manage) -> Containers:
    return manage()
