"""Commands, which the edge relays to an agent, and their responses."""

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from pydantic import SecretStr

from flotilla.v1.command_pb2 import (
    Command,
    CommandRequest,
    CommandResponse,
    FileAction,
)
from services.ingest.edge import command_relay
from services.kit.agents.commands import (
    CommandError,
    OfflineError,
    execute,
    execution,
)
from services.kit.bus import connection as bus
from services.kit.bus import subjects
from services.kit.errors import TransientError
from services.kit.settings import Settings
from tests.fixtures.commands import command, signer
from tests.fixtures.metrics import metric
from tests.fixtures.scripted_agent import ScriptedAgent
from tests.fixtures.waiting import until
from tests.fixtures.world import World


@pytest_asyncio.fixture(loop_scope="session")
async def connection(world: World) -> AsyncIterator[bus.Bus]:
    """A connection with the gateway's NATS user."""
    settings = world.settings(Settings)
    password = SecretStr(world.nats.passwords["gateway"])
    async with bus.connect(settings, subjects.User.GATEWAY, password, name="test") as connection:
        yield connection


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


async def test_an_agent_that_is_away_is_offline(world: World, connection: bus.Bus) -> None:
    away = await world.enrolled(await world.user())
    # If the agent did not answer, another error would come after a minute.
    with pytest.raises(OfflineError):
        await execute(connection, signer(world), command(away.vps_id, timeout=60))


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
    await other.receive("batch_ack")  # by now, the edge has handled its answers
    await agent.answer(arrived.id, stdout=b"real")
    assert (await answer).stdout == b"real"


@pytest.mark.parametrize(
    "fields",
    [{"part": 7}, {"stdout": b"x" * (command_relay.MAX_RESPONSE + 1)}],
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

    # After the end of the command, the agent answers a repeat from its command history.
    third = asyncio.create_task(execute(connection, signer(world), wanted))
    _, again = await agent.commanded()
    await agent.answer(again.id, stdout=b"once")
    assert (await third).stdout == b"once"


async def test_too_many_commands_at_once_are_told_so_at_once_and_room_comes_back(
    world: World, connection: bus.Bus, agent: ScriptedAgent
) -> None:
    many = [
        asyncio.create_task(execute(connection, signer(world), command(agent.vps_id, timeout=60)))
        for _ in range(command_relay.COMMANDS_LIMIT)
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
    # The agent reads again: accepted commands arrive on the same stream.
    for _ in range(taken):
        _, one = await agent.commanded()
        await agent.answer(one.id)
    await asyncio.gather(*many)
    assert set(failures) == {CommandResponse.FAILURE_BUSY}
    assert taken > 1
    await agent.report()
    await agent.receive("batch_ack")


def relayed() -> float:
    """Return the number of commands that the edges of this process accepted for agents."""
    return metric("flotilla_edge_relayed_total", what="command")


async def test_what_is_no_command_is_refused_without_asking_the_agent(
    world: World, agent: ScriptedAgent
) -> None:
    wanted = command(agent.vps_id)
    wanted.file.data = b"x" * command_relay.MAX_REQUEST
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
