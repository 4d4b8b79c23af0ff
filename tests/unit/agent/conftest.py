import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from agent.config import Config, LiveConfig
from agent.execute.hands import Hands
from agent.execute.policy import Policy
from agent.execute.trust import Trust
from agent.identity import Identity, StateFolder
from agent.outbox import Outbox
from agent.stream import Stream, Timing
from flotilla.v1.agent_pb2 import AgentConfig, HostFacts
from tests.unit.agent.console import CONSOLE
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
async def start(edge: Edge, authority: Authority, tmp_path: Path) -> AsyncIterator[Start]:
    agents: list[Agent] = []

    def begin(
        timing: Timing = FAST,
        ca: str = authority.ca_pem,
        address: str = "",
        policy: Policy | None = None,
    ) -> Agent:
        identity = Identity(
            VPS_ID, address or edge.address, ca, SigningKey.generate(), (bytes(CONSOLE.verify_key),)
        )
        state = StateFolder(tmp_path)
        state.keep_identity(identity)
        hands = Hands(
            state,
            policy or Policy(),
            Trust(VPS_ID, identity.command_keys),
            docker_socket=lambda: tmp_path / "docker.sock",
            docker_changed=lambda: None,
        )
        outbox = Outbox(VPS_ID)
        config = LiveConfig(Config(), AgentConfig())
        stopping = asyncio.Event()

        def configure(pushed: AgentConfig) -> None:
            config.apply(pushed)

        stream = Stream(
            identity,
            outbox,
            hands,
            revision=lambda: config.revision,
            configure=configure,
            facts=lambda: HostFacts(hostname="web-1"),
            timing=timing,
        )
        running = asyncio.ensure_future(stream.run(stopping))
        agents.append(Agent(identity, outbox, hands, config, stopping, running))
        return agents[-1]

    yield begin
    for agent in agents:
        agent.stopping.set()
        await soon(agent.running)
        await soon(agent.hands.close())


@pytest.fixture
async def launch() -> AsyncIterator[Launch]:
    async with launching() as launch:
        yield launch


@pytest.fixture
def state(tmp_path: Path, edge: Edge, authority: Authority) -> StateFolder:
    state = StateFolder(tmp_path)
    state.keep_identity(Identity(VPS_ID, edge.address, authority.ca_pem, SigningKey.generate()))
    return state
