"""Messages of terminal sessions, which the edge relays between an agent and the session's owner."""

import asyncio
import secrets

from nats.aio.client import Client

from flotilla.v1.agent_pb2 import MessageToServer
from flotilla.v1.command_pb2 import (
    CommandRequest,
    CommandResponse,
    PtyAcknowledge,
    PtyAction,
    PtyClose,
    PtyDataToAgent,
    PtyDataToServer,
    PtyExit,
    PtyOutput,
)
from services.ingest.edge import command_relay
from services.kit.bus import subjects
from tests.fixtures.commands import command, signer
from tests.fixtures.scripted_agent import ScriptedAgent
from tests.fixtures.world import World


class Owner:
    """A session's owner on the bus."""

    def __init__(self, client: Client, vps_id: str, session: str) -> None:
        self.session = session
        self.heard: asyncio.Queue[PtyDataToServer] = asyncio.Queue()
        self._client = client
        self._subject = subjects.agent_pty(vps_id)

    async def listen(self) -> None:
        async def take(message: object) -> None:
            self.heard.put_nowait(PtyDataToServer.FromString(message.data))  # type: ignore[attr-defined]

        await self._client.subscribe(subjects.pty_output(self.session), cb=take)
        await self._client.flush()

    async def send(self, **event: object) -> None:
        data = PtyDataToAgent(session_id=self.session, **event)  # type: ignore[arg-type]
        await self._client.publish(self._subject, data.SerializeToString())
        await self._client.flush()

    async def hear(self) -> PtyDataToServer:
        async with asyncio.timeout(5):
            return await self.heard.get()


def start(world: World, vps_id: str, session: str) -> CommandRequest:
    return signer(world).sign(command(vps_id, pty=PtyAction(session_id=session)))


async def test_a_sessions_messages_go_both_ways_in_order(
    world: World, agent: ScriptedAgent
) -> None:
    async with world.nats.client("shellproxy") as client:
        owner = Owner(client, agent.vps_id, secrets.token_hex(16))
        await owner.listen()
        await owner.send(start=start(world, agent.vps_id, owner.session))
        opened = (await agent.receive("pty_data")).pty_data
        assert opened.session_id == owner.session
        assert opened.HasField("start")
        for number in range(100):
            await agent.say(owner.session, output=PtyOutput(offset=number, data=b"x"))
        offsets = [(await owner.hear()).output.offset for _ in range(100)]
        assert offsets == list(range(100))
        await agent.say(owner.session, exit=PtyExit(exit_code=1))
        assert (await owner.hear()).exit.exit_code == 1


async def test_an_agent_speaks_only_for_sessions_it_was_spoken_to_of_on_that_stream(
    world: World, agent: ScriptedAgent
) -> None:
    stranger = await world.enrolled(await world.user())
    await stranger.connect()
    async with world.nats.client("shellproxy") as client:
        owner = Owner(client, agent.vps_id, secrets.token_hex(16))
        await owner.listen()
        await owner.send(start=start(world, agent.vps_id, owner.session))
        await agent.receive("pty_data")
        await stranger.say(owner.session, output=PtyOutput(data=b"forged"))
        await stranger.say("a.b.>", output=PtyOutput(data=b"forged"))
        await stranger.report()
        await stranger.receive("batch_ack")
        await agent.say(owner.session, output=PtyOutput(data=b"real"))
        assert (await owner.hear()).output.data == b"real"

        # A new stream learns of a session from its owner's next message.
        await agent.leave()
        await agent.connect()
        await agent.say(owner.session, output=PtyOutput(data=b"too early"))
        await agent.report()
        await agent.receive("batch_ack")
        await owner.send(acknowledge=PtyAcknowledge(offset=4))
        await agent.receive("pty_data")
        await agent.say(owner.session, output=PtyOutput(offset=4, data=b"again"))
        assert (await owner.hear()).output.data == b"again"
        assert owner.heard.empty()


async def test_the_last_word_to_a_session_that_ended_does_not_begin_it_again(
    world: World, agent: ScriptedAgent
) -> None:
    async with world.nats.client("shellproxy") as client:
        owner = Owner(client, agent.vps_id, secrets.token_hex(16))
        await owner.listen()
        await owner.send(start=start(world, agent.vps_id, owner.session))
        await agent.receive("pty_data")
        await agent.say(owner.session, exit=PtyExit())
        assert (await owner.hear()).HasField("exit")
        await owner.send(close=PtyClose(reason="it ended"))
        assert (await agent.receive("pty_data")).pty_data.HasField("close")
        await agent.say(owner.session, output=PtyOutput(data=b"too late"))
        await agent.report()
        await agent.receive("batch_ack")
        await client.flush()
        assert owner.heard.empty()


async def test_one_session_too_many_is_turned_away_with_a_word(
    world: World, agent: ScriptedAgent
) -> None:
    async with world.nats.client("shellproxy") as client:
        for number in range(command_relay.SESSIONS_LIMIT):
            one = Owner(client, agent.vps_id, f"session-{number}")
            await one.send(start=start(world, agent.vps_id, one.session))
            await agent.receive("pty_data")
        over = Owner(client, agent.vps_id, "one-too-many")
        await over.listen()
        await over.send(start=start(world, agent.vps_id, over.session))
        answer = await over.hear()
        assert answer.exit.failure == CommandResponse.FAILURE_BUSY

        await agent.say("session-0", exit=PtyExit())
        await agent.report()
        await agent.receive("batch_ack")
        await over.send(start=start(world, agent.vps_id, over.session))
        assert (await agent.receive("pty_data")).pty_data.session_id == "one-too-many"


async def test_frames_that_are_none_are_dropped_and_the_stream_goes_on(
    world: World, agent: ScriptedAgent
) -> None:
    async with world.nats.client("shellproxy") as client:
        subject = subjects.agent_pty(agent.vps_id)
        for payload in (
            b"\xff\xff",
            PtyDataToAgent(session_id="a.b").SerializeToString(),
            PtyDataToAgent(session_id="").SerializeToString(),
            PtyDataToAgent(session_id="a", data=b"x" * command_relay.MAX_FRAME).SerializeToString(),
        ):
            await client.publish(subject, payload)
        await client.publish(subject, PtyDataToAgent(session_id="good").SerializeToString())
        await client.flush()
    assert (await agent.receive("pty_data")).pty_data.session_id == "good"
    await agent.send(MessageToServer(pty_data=PtyDataToServer(session_id="good")))
    await agent.report()
    await agent.receive("batch_ack")
