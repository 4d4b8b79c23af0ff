"""The edge hands commands and sessions' messages on, and nothing that was not asked for."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from nats.aio.client import Client
from prometheus_client import REGISTRY
from pydantic import SecretStr

from flotilla.v1.agent_pb2 import MessageToServer
from flotilla.v1.command_pb2 import (
    Command,
    CommandRequest,
    CommandResponse,
    FileAction,
    PtyAcknowledge,
    PtyAction,
    PtyClose,
    PtyDataToAgent,
    PtyDataToServer,
    PtyExit,
    PtyOutput,
    ShellAction,
)
from services.ingest import relay
from services.kit import bus, subjects
from services.kit.commands import (
    CommandError,
    OfflineError,
    Signer,
    execute,
    execution,
    new_command,
)
from services.kit.errors import TransientError
from services.kit.settings import Settings
from tests.fixtures.agent_script import ScriptedAgent
from tests.fixtures.waiting import until
from tests.fixtures.world import World


@pytest_asyncio.fixture(loop_scope="session")
async def connection(world: World) -> AsyncIterator[bus.Bus]:
    """The bus as the gateway has it."""
    settings = world.settings(Settings)
    password = SecretStr(world.nats.passwords["gateway"])
    async with bus.connect(settings, subjects.User.GATEWAY, password, name="test") as connection:
        yield connection


@pytest_asyncio.fixture(loop_scope="session")
async def agent(world: World) -> ScriptedAgent:
    agent = await world.enrolled(await world.user())
    await agent.connect()
    return agent


def signer(world: World) -> Signer:
    return Signer.of(SecretStr(world.command_key))


def command(vps_id: str, timeout: float = 10, **action: object) -> Command:
    made = new_command(vps_id, "a test", timeout=timeout)
    made.MergeFrom(Command(**action or {"shell": ShellAction(script="true")}))  # type: ignore[arg-type]
    return made


async def refused(answer: asyncio.Task[CommandResponse]) -> CommandError:
    with pytest.raises(CommandError) as raised:
        await answer
    return raised.value


async def test_a_command_reaches_its_agent_as_it_was_signed(
    world: World, connection: bus.Bus, agent: ScriptedAgent
) -> None:
    wanted = command(agent.vps_id)
    answer = asyncio.create_task(execute(connection, signer(world), wanted))
    request, arrived = await agent.commanded()
    await agent.answer(arrived.id, exit_code=3, stdout=b"done")

    assert arrived == wanted
    assert request == signer(world).sign(wanted)
    assert ((await answer).exit_code, (await answer).stdout) == (3, b"done")


async def test_who_is_away_is_known_at_once(world: World, connection: bus.Bus) -> None:
    away = await world.enrolled(await world.user())
    started = time.monotonic()
    with pytest.raises(OfflineError):
        await execute(connection, signer(world), command(away.vps_id, timeout=60))
    assert time.monotonic() - started < 1


async def test_parts_arrive_in_order_and_are_all_there(
    world: World, connection: bus.Bus, agent: ScriptedAgent
) -> None:
    async with execution(connection, signer(world), command(agent.vps_id)) as running:
        _, arrived = await agent.commanded()
        for number in range(300):
            await agent.answer(
                arrived.id,
                status=CommandResponse.STATUS_RUNNING,
                part=number,
                last=False,
                stdout=b"%d\n" % number,
            )
        await agent.answer(arrived.id, part=300)
        text = b"".join([part.stdout async for part in running.parts()])
    assert text == b"".join(b"%d\n" % number for number in range(300))


async def test_an_answer_nobody_asked_for_reaches_nobody(
    world: World, connection: bus.Bus, agent: ScriptedAgent
) -> None:
    other = await world.enrolled(await world.user())
    await other.connect()
    answer = asyncio.create_task(execute(connection, signer(world), command(agent.vps_id)))
    _, arrived = await agent.commanded()
    await other.answer(arrived.id, stdout=b"forged by another agent")
    await other.answer("f" * 32, stdout=b"to nothing at all")
    await other.report()
    await other.receive("batch_ack")  # its answers were looked at by now
    await agent.answer(arrived.id, stdout=b"real")
    assert (await answer).stdout == b"real"


@pytest.mark.parametrize(
    "fields",
    [{"part": 7}, {"stdout": b"x" * (relay.MAX_ANSWER + 1)}],
    ids=["out of order", "too long"],
)
async def test_an_improper_answer_ends_the_command_and_not_the_stream(
    world: World, connection: bus.Bus, agent: ScriptedAgent, fields: dict[str, object]
) -> None:
    answer = asyncio.create_task(execute(connection, signer(world), command(agent.vps_id)))
    _, arrived = await agent.commanded()
    await agent.answer(arrived.id, **fields)
    assert (await refused(answer)).failure == CommandResponse.FAILURE_TOO_LARGE
    await agent.report()
    await agent.receive("batch_ack")


async def test_a_command_delivered_twice_reaches_the_agent_once_while_it_runs(
    world: World, connection: bus.Bus, agent: ScriptedAgent
) -> None:
    wanted = command(agent.vps_id)
    first = asyncio.create_task(execute(connection, signer(world), wanted))
    _, arrived = await agent.commanded()
    second = asyncio.create_task(execute(connection, signer(world), wanted))
    assert (await refused(second)).failure == CommandResponse.FAILURE_CONFLICT
    await agent.answer(arrived.id, stdout=b"once")
    assert (await first).stdout == b"once"
    assert [m.WhichOneof("payload") for m in agent.seen].count("command_request") == 1

    # Once it is over, a repeat is the agent's to answer, from what it remembers.
    third = asyncio.create_task(execute(connection, signer(world), wanted))
    _, again = await agent.commanded()
    await agent.answer(again.id, stdout=b"once")
    assert (await third).stdout == b"once"


async def test_too_many_commands_at_once_are_told_so_at_once_and_room_comes_back(
    world: World, connection: bus.Bus, agent: ScriptedAgent
) -> None:
    many = [
        asyncio.create_task(execute(connection, signer(world), command(agent.vps_id, timeout=60)))
        for _ in range(relay.COMMANDS_AT_ONCE)
    ]
    arrived = [await agent.commanded() for _ in many]
    over = asyncio.create_task(execute(connection, signer(world), command(agent.vps_id)))
    assert (await refused(over)).failure == CommandResponse.FAILURE_BUSY
    for _, one in arrived:
        await agent.answer(one.id)
    await asyncio.gather(*many)
    after = asyncio.create_task(execute(connection, signer(world), command(agent.vps_id)))
    _, one = await agent.commanded()
    await agent.answer(one.id)
    await after


async def test_an_agent_that_does_not_read_makes_commands_busy_and_keeps_its_stream(
    world: World, connection: bus.Bus, agent: ScriptedAgent
) -> None:
    data = FileAction(
        operation=FileAction.OPERATION_WRITE, path="/x", data=secrets.token_bytes(256 * 1024)
    )
    failures: list[int] = []

    async def ask() -> None:
        try:
            await execute(connection, signer(world), command(agent.vps_id, timeout=60, file=data))
        except CommandError as error:
            failures.append(error.failure)

    before = relayed()
    many = [asyncio.create_task(ask()) for _ in range(40)]
    await until(lambda: relayed() - before + len(failures) == len(many))
    taken = int(relayed() - before)
    # It reads again: what was taken for it arrives, and the stream is the same one.
    for _ in range(taken):
        _, one = await agent.commanded()
        await agent.answer(one.id)
    await asyncio.gather(*many)
    assert set(failures) == {CommandResponse.FAILURE_BUSY}
    assert taken > 1
    await agent.report()
    await agent.receive("batch_ack")


def relayed() -> float:
    """Commands that this process's edges have taken for agents."""
    return REGISTRY.get_sample_value("flotilla_edge_relayed_total", {"what": "command"}) or 0


async def test_what_is_no_command_is_refused_without_asking_the_agent(
    world: World, agent: ScriptedAgent
) -> None:
    wanted = command(agent.vps_id)
    wanted.file.data = b"x" * relay.MAX_REQUEST
    no_id = signer(world).sign(Command(vps_id=agent.vps_id))
    async with world.nats.client("gateway") as client:
        for payload, failure in (
            (b"\xff\xff", CommandResponse.FAILURE_INVALID),
            (CommandRequest(command=b"\xff\xff").SerializeToString(), 4),
            (no_id.SerializeToString(), CommandResponse.FAILURE_INVALID),
            (signer(world).sign(wanted).SerializeToString(), CommandResponse.FAILURE_TOO_LARGE),
        ):
            subject = subjects.agent_command(agent.vps_id)
            answer = CommandResponse.FromString(
                (await client.request(subject, payload, timeout=5)).data
            )
            assert answer.status == CommandResponse.STATUS_REFUSED
            assert answer.failure == failure
    await agent.report()
    await agent.receive("batch_ack")
    assert not any(m.HasField("command_request") for m in agent.seen)


async def test_when_the_stream_ends_who_waits_is_told_at_once(
    world: World, connection: bus.Bus, agent: ScriptedAgent
) -> None:
    wanted = command(agent.vps_id, timeout=60)
    started = time.monotonic()
    async with execution(connection, signer(world), wanted) as running:
        _, arrived = await agent.commanded()
        running_part = {"status": CommandResponse.STATUS_RUNNING, "last": False}
        await agent.answer(arrived.id, part=0, **running_part)
        parts = running.parts()
        await anext(parts)
        await agent.leave()
        last = await anext(parts)
    assert last.last
    assert last.failure == CommandResponse.FAILURE_DISCONNECTED
    assert time.monotonic() - started < 5

    await agent.connect()
    answer = asyncio.create_task(execute(connection, signer(world), command(agent.vps_id)))
    await agent.commanded()
    await agent.leave()
    with pytest.raises(TransientError):
        await answer


async def test_a_removed_servers_stream_ends_with_what_it_was_told_to_do(
    world: World, connection: bus.Bus
) -> None:
    user = await world.user()
    agent = await world.enrolled(user)
    await agent.connect()
    answer = asyncio.create_task(execute(connection, signer(world), command(agent.vps_id)))
    await agent.commanded()
    assert (await user.delete(f"/vps/{agent.vps_id}")).status_code == 204
    with pytest.raises(TransientError):
        await answer
    await agent.ended()

    async def is_offline() -> bool:
        try:
            await execute(connection, signer(world), command(agent.vps_id, timeout=1))
        except OfflineError:
            return True
        except (TransientError, CommandError):
            return False
        return False

    await until(is_offline)


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

        # A new stream knows of a session what its owner says next.
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
        for number in range(relay.SESSIONS_AT_ONCE):
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
            PtyDataToAgent(session_id="a", data=b"x" * relay.MAX_FRAME).SerializeToString(),
        ):
            await client.publish(subject, payload)
        await client.publish(subject, PtyDataToAgent(session_id="good").SerializeToString())
        await client.flush()
    assert (await agent.receive("pty_data")).pty_data.session_id == "good"
    await agent.send(MessageToServer(pty_data=PtyDataToServer(session_id="good")))
    await agent.report()
    await agent.receive("batch_ack")
