"""Terminals with lost messages, agents that leave, slow viewers, and shellproxies that stop."""

import os
import random

import httpx

from flotilla.v1.command_pb2 import PtyDataToServer
from tests.fixtures.terminal_agent import TerminalAgent
from tests.fixtures.terminals import (
    ended,
    numbered,
    recorded,
    refused,
    screen,
    session_of,
    shell_url,
    terminal_agent,
    viewers,
)
from tests.fixtures.waiting import until
from tests.fixtures.world import World

KIB = 1024


# --- what is lost on the way ---


class Loses:
    """Drops a share of an agent's messages of one kind."""

    def __init__(self, kind: str, share: float) -> None:
        self.kind = kind
        self.share = share
        self._random = random.Random(4)

    def __call__(self, message: PtyDataToServer) -> bool:
        return message.WhichOneof("event") == self.kind and self._random.random() < self.share


async def test_output_that_is_lost_or_doubled_is_shown_once(
    world: World, user: httpx.AsyncClient, agent: TerminalAgent
) -> None:
    said = numbered(60_000)
    async with screen(world.ws, user, agent.vps_id) as terminal:
        pty = await agent.pty()
        pty.lose = Loses("output", 0.1)
        pty.say(said[:200_000])
        pty.again()
        pty.say(said[200_000:])
        assert await terminal.shows(said[-12:], seconds=30) == said


async def test_typed_input_whose_acknowledgement_is_lost_is_not_typed_twice(
    world: World, user: httpx.AsyncClient, agent: TerminalAgent
) -> None:
    typed = numbered(5_000)
    async with screen(world.ws, user, agent.vps_id) as terminal:
        pty = await agent.pty()
        pty.lose = Loses("acknowledge", 0.5)
        for start in range(0, len(typed), 1_000):
            await terminal.type(typed[start : start + 1_000])
        await until(lambda: len(pty.typed) >= len(typed))
    assert pty.typed == typed


async def test_a_broken_stream_that_comes_back_loses_nothing_either_way(
    world: World, user: httpx.AsyncClient, agent: TerminalAgent
) -> None:
    said, typed = numbered(150_000), numbered(300)
    async with screen(world.ws, user, agent.vps_id) as terminal:
        pty = await agent.pty()
        pty.say(said[:500_000])
        await terminal.shows(b"1000\r\n")
        await agent.offline()
        pty.say(said[500_000:])
        await terminal.type(typed)
        await until(lambda: _is_offline(user, agent))  # the edge has forgotten the stream
        await agent.online()
        pty.again()
        assert await terminal.shows(said[-12:], seconds=30) == said
        await until(lambda: pty.typed == typed)


async def _is_offline(user: httpx.AsyncClient, agent: TerminalAgent) -> bool:
    return bool((await user.get(f"/vps/{agent.vps_id}")).json()["status"] == "offline")


async def test_a_server_away_for_longer_than_the_lease_ends_its_terminals(
    own_world: World,
) -> None:
    await own_world.start_all()
    await own_world.stop("shellproxy")
    own_world.start("shellproxy", shell_lease_seconds=2)
    await own_world.ready("shellproxy")
    user = await own_world.user("member")
    agent = await terminal_agent(own_world, user)
    await agent.online()
    async with screen(own_world.ws, user, agent.vps_id) as terminal:
        session = await session_of(terminal)
        await agent.offline()
        await terminal.frame(type="exit", reason="the server was offline for too long")
    assert (await ended(user, session))["exit_code"] is None


async def test_a_terminal_outlives_a_restart_of_the_bus(own_world: World) -> None:
    await own_world.start_all()
    user = await own_world.user("member")
    agent = await terminal_agent(own_world, user)
    await agent.online()
    said = numbered(100_000)
    async with screen(own_world.ws, user, agent.vps_id) as terminal:
        pty = await agent.pty()
        pty.say(said[:300_000])
        await terminal.shows(b"1000\r\n")
        own_world.nats.kill()
        pty.say(said[300_000:])
        await terminal.type(b"typed meanwhile")
        await own_world.nats.start()
        # Lost output may make the screen start again. It ends with the same output.
        shown = await terminal.shows(said[-12:], seconds=40)
        await until(lambda: pty.typed == b"typed meanwhile", seconds=30)
    assert said.endswith(shown)
    await agent.close()


# --- who is slow ---


async def test_a_slow_driver_slows_the_terminal_and_nothing_gathers(
    world: World, user: httpx.AsyncClient, agent: TerminalAgent
) -> None:
    said = numbered(300_000)
    async with screen(world.ws, user, agent.vps_id) as terminal:
        terminal.slow = True
        pty = await agent.pty()
        pty.say(said)
        # First the window of the screen is full, then the window of the agent.
        await until(lambda: terminal.received >= 256 * KIB)
        await until(lambda: pty.sent >= (256 + 128) * KIB)
        # A resize does not overtake output, so all earlier output has arrived.
        await terminal.say(type="resize", columns=90, rows=20)
        await terminal.frame(type="resize", columns=90, rows=20)
        assert terminal.received == 256 * KIB
        assert pty.sent == (256 + 128) * KIB
        terminal.slow = False
        await terminal.credit()
        assert await terminal.shows(said[-12:], seconds=30) == said
    assert pty.most_on_its_way <= 128 * KIB


async def test_a_slow_watcher_slows_nobody_and_starts_over(
    world: World, user: httpx.AsyncClient, agent: TerminalAgent
) -> None:
    said = numbered(300_000)
    async with screen(world.ws, user, agent.vps_id) as driver:
        session = await session_of(driver)
        pty = await agent.pty()
        async with screen(world.ws, user, agent.vps_id, session=session, observe=1) as watcher:
            watcher.slow = True
            await watcher.frame(type="ready")
            pty.say(said)
            assert await driver.shows(said[-12:], seconds=30) == said
            assert watcher.received == 256 * KIB
            watcher.slow = False
            await watcher.credit()
            shown = await watcher.shows(said[-12:])
    assert said.endswith(shown)
    assert len([frame for frame in watcher.frames if frame["type"] == "ready"]) == 2


async def test_without_anybody_there_it_goes_on(
    world: World, user: httpx.AsyncClient, agent: TerminalAgent
) -> None:
    async with screen(world.ws, user, agent.vps_id) as terminal:
        session = await session_of(terminal)
        pty = await agent.pty()
    await until(lambda: viewers(user, session, 0))
    pty.say(os.urandom(4 * KIB * KIB))
    # More than the agent may send without an acknowledgement.
    await until(lambda: pty.acknowledged > 128 * KIB)
    async with screen(world.ws, user, agent.vps_id, session=session):
        await until(lambda: pty.acknowledged == 4 * KIB * KIB, seconds=20)


async def test_what_a_program_does_not_take_is_bounded_and_told(
    world: World, user: httpx.AsyncClient, agent: TerminalAgent
) -> None:
    chunk = bytes(32 * KIB)
    async with screen(world.ws, user, agent.vps_id) as terminal:
        pty = await agent.pty()
        pty.takes_input = False
        for _ in range(33):
            await terminal.type(chunk)
        error = await terminal.frame(type="error")
        pty.takes_input = True
        await until(lambda: len(pty.typed) == 32 * len(chunk), seconds=20)
    assert "dropped" in error["reason"]


# --- the relay's own end ---


async def test_the_relays_orderly_end_is_told_and_ends_the_shells(own_world: World) -> None:
    await own_world.start_all()
    user = await own_world.user("member")
    agent = await terminal_agent(own_world, user)
    await agent.online()
    async with screen(own_world.ws, user, agent.vps_id) as terminal:
        session = await session_of(terminal)
        pty = await agent.pty()
        pty.say(b"last words")
        await terminal.shows(b"last words")
        await own_world.stop("shellproxy")
        await terminal.frame(type="exit", reason="the terminal service was restarted")
    _, events = await recorded(user, session)
    status, _ = await refused(await shell_url(own_world.ws, user, agent.vps_id))
    await agent.close()

    assert pty.closed[0] == "the terminal service was restarted"
    assert (await ended(user, session))["end_reason"] == "the terminal service was restarted"
    assert events[-1][2] == "last words"
    assert status == 503


async def test_sessions_of_a_dead_relay_are_ended_by_the_next(own_world: World) -> None:
    await own_world.start_all()
    user = await own_world.user("member")
    agent = await terminal_agent(own_world, user)
    await own_world.sql(
        "INSERT INTO shell_sessions (id, vps_id, user_id, username, instance, heartbeat_at)"
        " SELECT repeat('a', 32), id, user_id, 'a', 'dead', now() - interval '21 s' FROM vps"
    )
    await own_world.stop("shellproxy")
    own_world.start("shellproxy")
    row = await ended(user, "a" * 32)
    status, _ = await refused(await shell_url(own_world.ws, user, agent.vps_id, session="a" * 32))

    assert row["end_reason"] == "the terminal service was restarted"
    assert status == 409
