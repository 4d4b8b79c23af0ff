"""Limits of terminals: time, number, and the size of a recording."""

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from services.gateway.api.problem_types import ProblemType
from services.shellproxy.timing import TerminalTiming
from tests.fixtures.terminal_agent import TerminalAgent
from tests.fixtures.terminals import (
    ended,
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


@asynccontextmanager
async def terminals(
    world: World, timing: TerminalTiming | None = None, **settings: Any
) -> AsyncIterator[tuple[httpx.AsyncClient, TerminalAgent]]:
    """Start the services of terminals; yield a user and the agent of the user's server."""
    for name in ("edge", "gateway"):
        world.start(name)
    world.start("shellproxy", timing=timing, **settings)
    await world.ready("edge", "gateway", "shellproxy")
    user = await world.user("member")
    agent = await terminal_agent(world, user)
    await agent.online()
    yield user, agent
    await agent.close()


async def test_a_terminal_is_kept_while_it_is_viewed_and_ends_without_a_viewer(
    own_world: World,
) -> None:
    timing = TerminalTiming(idle_limit=0.5)
    async with terminals(own_world, timing) as (user, agent):
        async with screen(own_world.ws, user, agent.vps_id) as terminal:
            session = await session_of(terminal)
            pty = await agent.pty()
            seen_at = time.monotonic()
            await until(lambda: time.monotonic() > seen_at + 2 * timing.idle_limit)
            assert not pty.closed
        row = await ended(user, session)

    assert row["end_reason"].startswith("nobody was attached")
    assert pty.closed[0] == row["end_reason"]


async def test_a_terminal_has_an_age_limit(own_world: World) -> None:
    async with (
        terminals(own_world, TerminalTiming(age_limit=0.5)) as (user, agent),
        screen(own_world.ws, user, agent.vps_id) as terminal,
    ):
        frame = await terminal.frame(type="exit")
    assert "time limit" in frame["reason"]


async def test_a_viewer_whose_gateway_is_silent_is_detached(own_world: World) -> None:
    # A gateway sends a beat every 10 s.
    timing = TerminalTiming(heartbeat_interval=0.1, viewer_timeout=0.5)
    async with (
        terminals(own_world, timing) as (user, agent),
        screen(own_world.ws, user, agent.vps_id) as terminal,
    ):
        session = await session_of(terminal)
        await until(lambda: viewers(user, session, 0))


async def test_an_agent_that_does_not_answer_is_not_waited_for(own_world: World) -> None:
    async with terminals(own_world, TerminalTiming(start_timeout=0.3)) as (user, agent):
        agent.answers = False
        status, problem = await refused(await shell_url(own_world.ws, user, agent.vps_id))

    assert (status, problem["type"]) == (503, ProblemType.AGENT_UNANSWERED)
    assert "answer" in problem["detail"]


async def test_an_instance_has_a_limit(own_world: World) -> None:
    async with (
        terminals(own_world, shell_max_sessions=1) as (user, agent),
        screen(own_world.ws, user, agent.vps_id),
    ):
        status, problem = await refused(await shell_url(own_world.ws, user, agent.vps_id))

    assert status == 429
    assert problem["detail"] == "1 terminals are open, which is the limit. Close one."


async def test_a_user_has_four_terminals_on_a_server(
    world: World, user: httpx.AsyncClient, agent: TerminalAgent
) -> None:
    async with (
        screen(world.ws, user, agent.vps_id) as first,
        screen(world.ws, user, agent.vps_id),
        screen(world.ws, user, agent.vps_id),
        screen(world.ws, user, agent.vps_id),
    ):
        status, problem = await refused(await shell_url(world.ws, user, agent.vps_id))
        await first.say(type="close")
        await first.frame(type="exit")
        await ended(user, await session_of(first))
        async with screen(world.ws, user, agent.vps_id):
            pass

    assert (status, problem["type"]) == (429, ProblemType.BUSY)
    assert "4 terminals" in problem["detail"]


async def test_a_recording_that_stops_is_told_and_the_terminal_goes_on(own_world: World) -> None:
    async with (
        terminals(own_world, TerminalTiming(recording_wait=0.3)) as (user, agent),
        screen(own_world.ws, user, agent.vps_id) as terminal,
    ):
        session = await session_of(terminal)
        pty = await agent.pty()
        await own_world.sql("ALTER TABLE shell_recordings RENAME TO away")
        pty.say(os.urandom(1024 * KIB).hex().encode())
        frame = await terminal.frame(type="error")
        pty.say(b"and on it goes")
        await terminal.shows(b"and on it goes")
        async with screen(own_world.ws, user, agent.vps_id, session=session) as again:
            ready = await again.frame(type="ready")

    assert frame["reason"].startswith("The recording stopped")
    assert ready["recorded"] is False
