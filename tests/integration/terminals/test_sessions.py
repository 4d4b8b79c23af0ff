"""Terminals, their viewers and their recordings, with a scripted agent."""

import httpx

from flotilla.v1.command_pb2 import PtyAction
from tests.fixtures.terminal_agent import TerminalAgent
from tests.fixtures.terminals import (
    audited,
    ended,
    listed,
    numbered,
    recorded,
    refused,
    screen,
    session_of,
    shell_url,
)
from tests.fixtures.waiting import until
from tests.fixtures.world import World

KIB = 1024
CONTAINER = "0123456789ab"


# --- what it is for ---


async def test_what_is_typed_arrives_and_what_is_said_is_shown(
    world: World, user: httpx.AsyncClient, agent: TerminalAgent
) -> None:
    async with screen(world.ws, user, agent.vps_id, columns=132, rows=43) as terminal:
        pty = await agent.pty()
        pty.say(b"hello\r\n")
        ready = await terminal.frame(type="ready")
        await terminal.shows(b"hello\r\n")
        await terminal.type(b"ls\r")
        await until(lambda: pty.typed == b"ls\r")

    assert ready["role"] == "driver"
    assert ready["recorded"] is True
    assert ready["resumed"] is False
    assert (ready["columns"], ready["rows"]) == (132, 43)
    assert (pty.action.columns, pty.action.rows) == (132, 43)
    assert agent.commands[0].actor == ready["username"]


async def test_a_reload_is_back_in_the_same_terminal_with_what_it_showed(
    world: World, user: httpx.AsyncClient, agent: TerminalAgent
) -> None:
    async with screen(world.ws, user, agent.vps_id) as terminal:
        session = await session_of(terminal)
        pty = await agent.pty()
        pty.say(b"before\r\n")
        await terminal.shows(b"before\r\n")
    pty.say(b"meanwhile\r\n")
    async with screen(world.ws, user, agent.vps_id, session=session) as again:
        ready = await again.frame(type="ready", session=session)
        await again.shows(b"before\r\nmeanwhile\r\n")
        pty.say(b"after\r\n")
        assert await again.shows(b"after\r\n") == b"before\r\nmeanwhile\r\nafter\r\n"

    assert ready["resumed"] is True
    assert ready["role"] == "driver"
    assert len(agent.ptys) == 1


async def test_what_is_typed_just_before_leaving_arrives(
    world: World, user: httpx.AsyncClient, agent: TerminalAgent
) -> None:
    typed = numbered(9_000)
    async with screen(world.ws, user, agent.vps_id) as terminal:
        await terminal.frame(type="ready")
        pty = await agent.pty()
        await terminal.type(typed)
    await until(lambda: pty.typed == typed)


async def test_a_second_device_takes_over_and_the_first_watches(
    world: World, user: httpx.AsyncClient, agent: TerminalAgent
) -> None:
    async with screen(world.ws, user, agent.vps_id) as first:
        session = await session_of(first)
        pty = await agent.pty()
        pty.say(b"one\r\n")
        await first.shows(b"one\r\n")
        async with screen(
            world.ws, user, agent.vps_id, session=session, columns=100, rows=30
        ) as second:
            await second.frame(type="ready", role="driver")
            await first.frame(type="ready", role="observer")
            await first.frame(type="resize", columns=100, rows=30)
            viewers = (await second.frame(type="viewers"))["viewers"]
            await first.type(b"x")
            await first.frame(type="error")
            await second.type(b"y")
            await until(lambda: bool(pty.typed))
            pty.say(b"two\r\n")
            await second.shows(b"one\r\ntwo\r\n")
            await first.shows(b"one\r\ntwo\r\n")

    assert sorted(viewer["role"] for viewer in viewers) == ["driver", "observer"]
    assert pty.typed == b"y"
    assert pty.sizes[-1] == (100, 30)


async def test_who_watches_cannot_type_and_that_is_written_down(
    world: World, user: httpx.AsyncClient, agent: TerminalAgent
) -> None:
    async with screen(world.ws, user, agent.vps_id) as driver:
        session = await session_of(driver)
        pty = await agent.pty()
        async with screen(world.ws, user, agent.vps_id, session=session, observe=1) as watcher:
            ready = await watcher.frame(type="ready")
            pty.say(b"seen by both")
            await watcher.shows(b"seen by both")
            await watcher.type(b"rm -rf /\r")
            await watcher.frame(type="error")
            await driver.type(b"fine")
            await until(lambda: bool(pty.typed))

    assert ready["role"] == "observer"
    assert pty.typed == b"fine"
    await until(
        lambda: audited(world, agent, session, allowed=False), otherwise="it was not audited"
    )


async def test_opening_watching_and_ending_are_written_down(
    world: World, user: httpx.AsyncClient, agent: TerminalAgent
) -> None:
    async with screen(world.ws, user, agent.vps_id) as driver:
        session = await session_of(driver)
        async with screen(world.ws, user, agent.vps_id, session=session, observe=1):
            pass
        async with screen(world.ws, user, agent.vps_id, session=session) as again:
            await again.say(type="close")
            await again.frame(type="exit", reason="the terminal was closed")

    wanted = {"shell.open", "shell.observe", "shell.attach", "shell.close"}

    async def complete() -> bool:
        return await audited(world, agent, session, allowed=True) == wanted

    await until(complete, otherwise="an entry is missing")


async def test_the_shells_own_end_is_told_after_all_it_said(
    world: World, user: httpx.AsyncClient, agent: TerminalAgent
) -> None:
    async with screen(world.ws, user, agent.vps_id) as terminal:
        session = await session_of(terminal)
        pty = await agent.pty()
        said = numbered(60_000)
        pty.say(said)
        pty.end(3)
        exit_frame = await terminal.frame(type="exit")
        assert await terminal.ended() == 1000
        assert terminal.shown == said
    row = await ended(user, session)

    assert exit_frame == {"type": "exit", "code": 3, "reason": ""}
    assert row["exit_code"] == 3
    assert row["bytes"] == len(said)
    assert row["duration_seconds"] > 0
    url = await shell_url(world.ws, user, agent.vps_id, session=session)
    assert (await refused(url))[0] == 409


async def test_a_session_that_its_user_ends_has_no_exit_code(
    world: World, user: httpx.AsyncClient, agent: TerminalAgent
) -> None:
    async with screen(world.ws, user, agent.vps_id) as terminal:
        session = await session_of(terminal)
        await agent.pty()
        await terminal.say(type="close")
        exit_frame = await terminal.frame(type="exit")
    row = await ended(user, session)

    assert (exit_frame["code"], row["exit_code"]) == (None, None)


async def test_the_signal_that_an_earlier_version_stored_is_not_shown(
    world: World, user: httpx.AsyncClient, agent: TerminalAgent
) -> None:
    async with screen(world.ws, user, agent.vps_id) as terminal:
        session = await session_of(terminal)
        (await agent.pty()).end(0)
        await terminal.frame(type="exit")
    assert (await ended(user, session))["exit_code"] == 0
    await world.sql("UPDATE shell_sessions SET exit_code = -1 WHERE id = %(s)s", s=session)

    assert (await ended(user, session))["exit_code"] is None


async def test_a_shell_that_a_signal_ended_has_no_exit_code(
    world: World, user: httpx.AsyncClient, agent: TerminalAgent
) -> None:
    async with screen(world.ws, user, agent.vps_id) as terminal:
        session = await session_of(terminal)
        (await agent.pty()).end(-15)
        exit_frame = await terminal.frame(type="exit")
    row = await ended(user, session)

    assert (exit_frame["code"], row["exit_code"]) == (None, None)


async def test_a_container_is_named_to_the_agent(
    world: World, user: httpx.AsyncClient, agent: TerminalAgent
) -> None:
    async def allowed() -> bool:
        """Tell whether the gateway has stored the report of the agent."""
        server = (await user.get(f"/vps/{agent.vps_id}")).json()
        return bool(server["powers"] and server["powers"]["docker"] == "actions")

    await until(allowed)
    async with screen(world.ws, user, agent.vps_id, container=CONTAINER) as terminal:
        session = await session_of(terminal)
        pty = await agent.pty()

    assert pty.action.kind == PtyAction.KIND_CONTAINER_EXEC
    assert pty.action.container == CONTAINER
    assert (await listed(user, session))["kind"] == "container"


# --- recordings ---


async def test_a_recording_is_what_was_shown_and_never_what_was_typed(
    world: World, user: httpx.AsyncClient, agent: TerminalAgent
) -> None:
    said = numbered(30_000) + "héllo 漢字 😀\r\n".encode()
    async with screen(world.ws, user, agent.vps_id, columns=80, rows=24) as terminal:
        session = await session_of(terminal)
        pty = await agent.pty()
        for start in range(0, len(said), 4_999):  # characters come in two
            pty.say(said[start : start + 4_999])
        await terminal.type(b"the password is hunter2\r")
        await until(lambda: b"hunter2" in pty.typed)
        await terminal.say(type="resize", columns=100, rows=30)
        await terminal.frame(type="resize")
        pty.end()
        await terminal.frame(type="exit")
        shown = bytes(terminal.shown)
    assert (await ended(user, session))["recorded"] is True
    header, events = await recorded(user, session)

    assert shown == said
    assert (header["version"], header["width"], header["height"]) == (2, 80, 24)
    assert "".join(text for _, kind, text in events if kind == "o") == said.decode()
    assert [text for _, kind, text in events if kind == "r"] == ["100x30"]
    assert [time for time, _, _ in events] == sorted(time for time, _, _ in events)
    assert not any("hunter2" in text for _, _, text in events)


async def test_terminals_that_run_are_listed_before_newer_ones_that_ended(
    world: World, user: httpx.AsyncClient, agent: TerminalAgent
) -> None:
    me = (await user.get("/auth/me")).json()["id"]
    async with screen(world.ws, user, agent.vps_id) as terminal:
        session = await session_of(terminal)
        await world.sql(
            "INSERT INTO shell_sessions"
            " (id, vps_id, user_id, username, instance, started_at, ended_at)"
            " SELECT md5(%(v)s || n), %(v)s::uuid, %(u)s, 'x', 'x',"
            " now() + n * interval '1 s', now() + interval '1 hour' FROM generate_series(1, 3) n",
            v=agent.vps_id,
            u=me,
        )
        for url in ("/shell-sessions", f"/vps/{agent.vps_id}/shell-sessions"):
            page = (await user.get(url, params={"limit": 2})).json()
            running, newest = page["items"]
            assert (page["total"], running["id"], running["ended_at"]) == (4, session, None)
            rest = (await user.get(url, params={"limit": 2, "offset": 2})).json()["items"]
            starts = [item["started_at"] for item in (newest, *rest)]
            assert starts == sorted(starts, reverse=True)


async def test_old_recordings_go(own_world: World) -> None:
    await own_world.sql(
        "WITH u AS (INSERT INTO users (username, password_hash, role) VALUES ('a', '', 'member')"
        " RETURNING id) INSERT INTO vps (user_id, name) SELECT id, 'a' FROM u"
    )
    await own_world.sql(
        "INSERT INTO shell_sessions (id, vps_id, user_id, username, instance, ended_at, recorded)"
        " SELECT repeat(n::text, 32), v.id, v.user_id, 'a', 'x',"
        " now() - make_interval(days => 80 + 15 * n), true FROM vps v, generate_series(0, 1) n"
    )
    await own_world.sql(
        "INSERT INTO shell_recordings SELECT s.id, p, '' FROM shell_sessions s,"
        " generate_series(0, 450) p"
    )
    own_world.start("shellproxy")

    async def left() -> bool:
        rows = await own_world.sql("SELECT id FROM shell_sessions")
        return bool(rows == [("0" * 32,)])

    await until(left, otherwise="the old session is still there")
    assert await own_world.sql("SELECT count(*) FROM shell_recordings") == [(451,)]
