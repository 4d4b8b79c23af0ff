"""Connections of the pool have correct transactions, whatever happened to earlier users."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import psycopg
import pytest_asyncio
from pydantic import SecretStr

from services.kit.database.pool import Pool, open_pool, transaction
from services.kit.health import Health
from services.kit.settings import DatabaseSettings
from tests.fixtures.world import World


@pytest_asyncio.fixture(loop_scope="session")
async def pool(world: World) -> AsyncIterator[Pool]:
    settings = DatabaseSettings(database_url=SecretStr(world.database_url))
    async with open_pool(settings, Health("test"), size=1) as opened:
        yield opened


async def test_a_cancelled_user_leaves_transactions_as_they_are(pool: Pool) -> None:
    async def use() -> None:
        async with transaction(pool):
            pass

    for attempt in range(100):
        using = asyncio.ensure_future(use())
        for _ in range(
            2
        ):  # like a server that stops and cancels a request that was already cancelled
            await asyncio.sleep(attempt * 10e-6)
            using.cancel()
        with suppress(asyncio.CancelledError):
            await using
        async with transaction(pool) as connection:
            assert not connection.autocommit, f"cancelled after {attempt * 10} µs"


async def test_a_block_that_fails_leaves_nothing_behind(pool: Pool) -> None:
    with suppress(ZeroDivisionError):
        async with transaction(pool) as connection:
            await connection.execute("CREATE TABLE left_behind (id integer)")
            raise ZeroDivisionError
    async with transaction(pool) as connection:
        cursor = await connection.execute("SELECT to_regclass('left_behind')")
        assert await cursor.fetchone() == (None,)


async def test_a_transaction_can_choose_its_isolation(pool: Pool) -> None:
    async with transaction(pool) as connection:
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor = await connection.execute("SHOW transaction_isolation")
        assert await cursor.fetchone() == ("repeatable read",)


async def test_a_broken_connection_is_replaced(pool: Pool, world: World) -> None:
    async with transaction(pool) as connection:
        broken = connection.info.backend_pid
    async with await psycopg.AsyncConnection.connect(world.database_url, autocommit=True) as other:
        await other.execute("SELECT pg_terminate_backend(%s)", [broken])
    async with transaction(pool) as connection:
        assert connection.info.backend_pid != broken
