import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from agent.config import Config, LiveConfig
from agent.identity import Identity, StateFolder
from agent.outbox import Outbox
from agent.stream import Stream, Timing
from flotilla.v1.agent_pb2 import AgentConfig, HostFacts
from tests.unit.agent.edge import VPS_ID, Authority, Edge, soon
from tests.unit.agent.host import Host
from tests.unit.agent.processes import Launch, launching
from tests.unit.agent.running import FAST, Agent, Start


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture
async def edge(authority: Authority) -> AsyncIterator[Edge]:
    edge = Edge(authority)
    await edge.start()
    yield edge
    await edge.stop()


@pytest.fixture(autouse=True)
def agent_logs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    logger = logging.getLogger("agent")
    level = logger.level
    caplog.set_level(logging.DEBUG, "agent")
    yield
    logger.setLevel(level)


@pytest.fixture
async def start(edge: Edge, authority: Authority) -> AsyncIterator[Start]:
    agents: list[Agent] = []

    def begin(timing: Timing = FAST, ca: str = authority.ca_pem, address: str = "") -> Agent:
        identity = Identity(VPS_ID, address or edge.address, ca, SigningKey.generate())
        outbox = Outbox(VPS_ID)
        config = LiveConfig(Config(), AgentConfig())
        stopping = asyncio.Event()

        def configure(pushed: AgentConfig) -> None:
            config.apply(pushed)

        stream = Stream(
            identity,
            outbox,
            revision=lambda: config.revision,
            configure=configure,
            facts=lambda: HostFacts(hostname="web-1"),
            timing=timing,
        )
        running = asyncio.ensure_future(stream.run(stopping))
        agents.append(Agent(identity, outbox, config, stopping, running))
        return agents[-1]

    yield begin
    for agent in agents:
        agent.stopping.set()
        await soon(agent.running)


@pytest.fixture
async def launch() -> AsyncIterator[Launch]:
    async with launching() as launch:
        yield launch


@pytest.fixture
def state(tmp_path: Path, edge: Edge, authority: Authority) -> StateFolder:
    state = StateFolder(tmp_path)
    state.keep_identity(Identity(VPS_ID, edge.address, authority.ca_pem, SigningKey.generate()))
    return state
