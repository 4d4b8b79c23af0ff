import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from agent.base.config import Config, LiveConfig
from agent.base.identity import Identity, StateFolder
from agent.commands.policy import Policy
from agent.commands.signature_check import CommandVerifier
from agent.dispatch.dispatcher import Dispatcher
from agent.spool.send_queue import SendQueue
from agent.stream import ServerConnection, Timing
from flotilla.v1.agent_pb2 import AgentConfig, HostFacts
from tests.fixtures.agent.fake_edge import VPS_ID, Authority, Edge
from tests.fixtures.agent.logs import captured_agent_logs
from tests.fixtures.agent.processes import Launch, launching
from tests.fixtures.agent.running_agent import FAST, Agent, Start
from tests.fixtures.agent.signed_commands import CONSOLE
from tests.fixtures.waiting import soon

agent_logs = pytest.fixture(autouse=True)(captured_agent_logs)


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture
async def edge(authority: Authority) -> AsyncIterator[Edge]:
    edge = Edge(authority)
    await edge.start()
    yield edge
    await edge.stop()


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
        state.save_identity(identity)
        dispatcher = Dispatcher(
            state,
            policy or Policy(),
            CommandVerifier(VPS_ID, identity.command_keys),
            docker_socket=lambda: tmp_path / "docker.sock",
            docker_changed=lambda: None,
        )
        queue = SendQueue(VPS_ID)
        config = LiveConfig(Config(), AgentConfig())
        stopping = asyncio.Event()

        def configure(pushed: AgentConfig) -> None:
            config.apply(pushed)

        connection = ServerConnection(
            identity,
            queue,
            dispatcher,
            revision=lambda: config.revision,
            configure=configure,
            facts=lambda: HostFacts(hostname="web-1"),
            timing=timing,
        )
        running = asyncio.ensure_future(connection.run(stopping))
        agents.append(Agent(identity, queue, dispatcher, config, stopping, running))
        return agents[-1]

    yield begin
    for agent in agents:
        agent.stopping.set()
        await soon(agent.running)
        await soon(agent.dispatcher.close())


@pytest.fixture
async def launch() -> AsyncIterator[Launch]:
    async with launching() as launch:
        yield launch


@pytest.fixture
def state(tmp_path: Path, edge: Edge, authority: Authority) -> StateFolder:
    state = StateFolder(tmp_path)
    state.save_identity(Identity(VPS_ID, edge.address, authority.ca_pem, SigningKey.generate()))
    return state
