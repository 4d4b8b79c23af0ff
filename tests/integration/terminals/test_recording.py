"""Recordings of terminals: from output to parts in the database."""

import asyncio
import json
import random
import time
import zlib
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest_asyncio
from pydantic import SecretStr

from services.kit.database import pool as database
from services.kit.health import Health
from services.kit.settings import DatabaseSettings
from services.shellproxy.recording import BACKLOG, MIB, Recording, RecordingLimits
from tests.fixtures.waiting import until

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
        shown.add_output(bytes([byte]))
    shown.add_resize(100, 30)
    shown.add_output(b"\xff broken \xe6\xbc")
    shown.close()
    await shown.run()
    header, *happened = await events(pool)

    assert (header["version"], header["width"], header["height"]) == (2, 80, 24)
    text = "".join(text for _, kind, text in happened if kind == "o")
    assert text == said.decode() + "\N{REPLACEMENT CHARACTER} broken \N{REPLACEMENT CHARACTER}"
    assert [text for _, kind, text in happened if kind == "r"] == ["100x30"]


def _has_stored(shown: Recording, size: int) -> bool:
    return shown.raw_size > size


async def test_a_recordings_parts_are_bounded_and_hold_whole_lines(pool: database.Pool) -> None:
    shown = Recording(pool, SESSION, 80, 24)
    running = asyncio.create_task(shown.run())
    for number in range(4):
        for _ in range(75):
            shown.add_output(random.randbytes(512).hex().encode())
        await until(partial(_has_stored, shown, 75 * 1024 * (number + 1)))
    shown.close()
    await running
    stored = await parts(pool)

    assert len(stored) >= 4
    assert all(len(lines) <= BACKLOG for lines in stored)
    assert all(lines.endswith(b"\n") for lines in stored)
    assert len(await events(pool)) == 301


async def test_a_recording_waits_for_the_database_and_loses_nothing(pool: database.Pool) -> None:
    async with pool.connection() as connection:
        await connection.execute("ALTER TABLE shell_recordings RENAME TO away")
    shown = Recording(pool, SESSION, 80, 24)
    running = asyncio.create_task(shown.run())
    while not shown.must_wait(time.monotonic()):
        shown.add_output(b"x" * 10_000)
        await asyncio.sleep(0)
    assert not shown.stopped
    async with pool.connection() as connection:
        await connection.execute("ALTER TABLE away RENAME TO shell_recordings")
    shown.add_output(b"last")
    shown.close()
    await running

    assert not shown.must_wait(time.monotonic())
    assert [text for _, _, text in (await events(pool))[1:]][-1] == "last"


async def test_a_recording_that_cannot_be_stored_for_long_is_given_up(pool: database.Pool) -> None:
    async with pool.connection() as connection:
        await connection.execute("DROP TABLE shell_recordings")
    shown = Recording(pool, SESSION, 80, 24, max_wait=5.0)
    running = asyncio.create_task(shown.run())
    while not shown.must_wait(time.monotonic()):
        shown.add_output(b"x" * 10_000)
        await asyncio.sleep(0)

    assert not shown.must_wait(time.monotonic() + 6)
    assert "database" in shown.stopped
    await running


async def fill(shown: Recording, output: bytes) -> None:
    """Repeat the output until the recording stops."""
    running = asyncio.create_task(shown.run())
    while not shown.stopped:
        if not shown.must_wait(time.monotonic()):
            shown.add_output(output)
        await asyncio.sleep(0.001)
    shown.add_output(b"never recorded")
    shown.close()
    await running


async def test_a_recording_is_bounded_after_compression(pool: database.Pool) -> None:
    shown = Recording(pool, SESSION, 80, 24, max_wait=60.0, limits=RecordingLimits(compressed=1))
    await fill(shown, random.randbytes(16 * 1024).hex().encode())

    assert shown.stopped == "the limit of 1 MiB was reached"
    assert shown.size <= MIB
    assert b"never recorded" not in b"".join(await parts(pool))


async def test_a_recording_is_bounded_before_compression_too(pool: database.Pool) -> None:
    shown = Recording(pool, SESSION, 80, 24, max_wait=60.0, limits=RecordingLimits(lines=3))
    await fill(shown, b"y\r\n" * 10_000)
    stored = b"".join(await parts(pool))

    assert shown.stopped == "the limit of 3 MiB before compression was reached"
    assert MIB < len(stored) <= 3 * MIB
    assert shown.size < 100_000
    assert all(json.loads(line) for line in stored.splitlines())
