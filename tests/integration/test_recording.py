"""Recordings of terminals, from bytes to the database's parts."""

import asyncio
import json
import random
import time
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr

from services.kit import database
from services.kit.health import Health
from services.kit.settings import DatabaseSettings
from services.shellproxy import recording
from services.shellproxy.recording import Recording

SESSION = "0" * 32


@pytest_asyncio.fixture(loop_scope="session")
async def pool(database_url: str) -> AsyncIterator[database.Pool]:
    settings = DatabaseSettings(database_url=SecretStr(database_url))
    async with database.open_pool(settings, Health("test"), size=2) as pool:
        async with pool.connection() as connection:
            await connection.execute(
                "WITH u AS (INSERT INTO users (username, password_hash, role)"
                " VALUES ('a', '', 'member') RETURNING id),"
                " v AS (INSERT INTO vps (user_id, name) SELECT id, 'a' FROM u RETURNING *)"
                " INSERT INTO shell_sessions (id, vps_id, user_id, username, instance)"
                " SELECT repeat('0', 32), id, user_id, 'a', 'x' FROM v"
            )
        yield pool


async def parts(pool: database.Pool) -> list[bytes]:
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT data FROM shell_recordings ORDER BY part")
        return [zlib.decompress(data) for (data,) in await cursor.fetchall()]


async def events(pool: database.Pool) -> list[Any]:
    return [json.loads(line) for line in b"".join(await parts(pool)).splitlines()]


async def test_a_recording_is_asciicast_of_whole_characters(pool: database.Pool) -> None:
    said = 'é漢😀 "quoted" \\ \x00\x1b[0m\r\n'.encode()
    shown = Recording(pool, SESSION, 80, 24)
    for byte in said:
        shown.output(bytes([byte]))
    shown.resize(100, 30)
    shown.output(b"\xff broken \xe6\xbc")
    shown.close()
    await shown.run()
    header, *happened = await events(pool)

    assert (header["version"], header["width"], header["height"]) == (2, 80, 24)
    text = "".join(text for _, kind, text in happened if kind == "o")
    assert text == said.decode() + "\N{REPLACEMENT CHARACTER} broken \N{REPLACEMENT CHARACTER}"
    assert [text for _, kind, text in happened if kind == "r"] == ["100x30"]


async def test_a_recordings_parts_are_bounded_and_hold_whole_lines(pool: database.Pool) -> None:
    shown = Recording(pool, SESSION, 80, 24)
    running = asyncio.create_task(shown.run())
    for _ in range(300):
        shown.output(random.randbytes(512).hex().encode())
        await asyncio.sleep(0.001)
    shown.close()
    await asyncio.wait_for(running, 10)
    stored = await parts(pool)

    assert len(stored) > 3
    assert all(len(lines) <= recording.BACKLOG for lines in stored)
    assert all(lines.endswith(b"\n") for lines in stored)
    assert len(await events(pool)) == 301


async def test_a_recording_waits_for_the_database_and_loses_nothing(pool: database.Pool) -> None:
    async with pool.connection() as connection:
        await connection.execute("ALTER TABLE shell_recordings RENAME TO away")
    shown = Recording(pool, SESSION, 80, 24)
    running = asyncio.create_task(shown.run())
    while not shown.holds_up(time.monotonic()):
        shown.output(b"x" * 10_000)
        await asyncio.sleep(0)
    assert not shown.stopped
    async with pool.connection() as connection:
        await connection.execute("ALTER TABLE away RENAME TO shell_recordings")
    shown.output(b"last")
    shown.close()
    await asyncio.wait_for(running, 10)

    assert not shown.holds_up(time.monotonic())
    assert [text for _, _, text in (await events(pool))[1:]][-1] == "last"


async def test_a_recording_that_cannot_be_stored_for_long_is_given_up(
    pool: database.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "PATIENCE", 0.3)
    async with pool.connection() as connection:
        await connection.execute("DROP TABLE shell_recordings")
    shown = Recording(pool, SESSION, 80, 24)
    running = asyncio.create_task(shown.run())
    while not shown.holds_up(time.monotonic()):
        shown.output(b"x" * 10_000)
        await asyncio.sleep(0)
    await asyncio.sleep(0.4)

    assert not shown.holds_up(time.monotonic())
    assert "database" in shown.stopped
    await asyncio.wait_for(running, 10)


async def test_a_recording_is_bounded_before_compression_too(
    pool: database.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert recording.RAW_LIMIT == 128 * 1024 * 1024
    monkeypatch.setattr(recording, "RAW_LIMIT", 3 * 1024 * 1024)
    shown = Recording(pool, SESSION, 80, 24)
    running = asyncio.create_task(shown.run())
    async with asyncio.timeout(20):
        while not shown.stopped:
            if not shown.holds_up(time.monotonic()):
                shown.output(b"y\r\n" * 10_000)
            await asyncio.sleep(0.001)
        shown.output(b"never recorded")
        shown.close()
        await running
    stored = b"".join(await parts(pool))

    assert shown.stopped == "it has 3 MiB before compression"
    assert 1024 * 1024 < len(stored) <= recording.RAW_LIMIT
    assert shown.size < 100_000
    assert all(json.loads(line) for line in stored.splitlines())
