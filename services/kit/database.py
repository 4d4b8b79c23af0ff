import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import psycopg
import structlog
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from services.kit import cancellation
from services.kit.errors import PoisonError, TransientError
from services.kit.health import Health
from services.kit.settings import DatabaseSettings

log = structlog.get_logger(__name__)

CONNECT_TIMEOUT = 5  # seconds
WAIT = 10.0  # seconds for a connection of the pool
# Attempts come ever slower until then, and fast again with the next who wants one.
RECONNECT_TIMEOUT = 8.0  # seconds
STATEMENT_TIMEOUT = 15_000  # milliseconds

Connection = psycopg.AsyncConnection
Pool = AsyncConnectionPool[Connection]


@asynccontextmanager
async def open_pool(
    settings: DatabaseSettings, health: Health, *, size: int
) -> AsyncIterator[Pool]:
    """A pool that waits for the database, and says so, instead of failing."""
    pool: Pool = AsyncConnectionPool(
        settings.database_url.get_secret_value(),
        min_size=1,
        max_size=size,
        max_waiting=200,
        timeout=WAIT,
        reconnect_timeout=RECONNECT_TIMEOUT,
        reconnect_failed=lambda _: log.warning("database_away"),
        kwargs={
            "application_name": f"flotilla-{health.service}",
            "connect_timeout": CONNECT_TIMEOUT,
            "options": f"-c statement_timeout={STATEMENT_TIMEOUT} -c timezone=UTC",
        },
        check=AsyncConnectionPool.check_connection,
        open=False,
    )
    try:
        await pool.open()
        while True:
            try:
                # Not `pool.wait`, which closes the pool when it times out.
                async with pool.connection(timeout=CONNECT_TIMEOUT):
                    break
            except PoolTimeout:
                log.warning("database_away", retry_in=1)
                await asyncio.sleep(1)
        log.info("database_connected")
        health.checks["database"] = lambda: _check(pool)
        yield pool
    finally:
        await pool.close(timeout=5)


def _check(pool: Pool) -> tuple[bool, str]:
    stats = pool.get_stats()
    size, errors = stats.get("pool_size", 0), stats.get("connections_errors", 0)
    return size > 0, f"{size} connections, {errors} failed"


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[psycopg.AsyncConnection]:
    """Commits at the end of the block, rolls back on an error.

    Raises:
        TransientError: the database is away, overloaded, took too long, or its schema is
            older than this code.
        PoisonError: something is too large for it, now and ever.
    """
    try:
        async with AsyncExitStack() as stack:
            with cancellation.heeded():
                connection = await stack.enter_async_context(pool.connection())
            yield connection
    except psycopg.errors.ProgramLimitExceeded as error:  # an OperationalError like what passes
        raise PoisonError(f"database: {error}") from error
    except (
        PoolTimeout,
        psycopg.OperationalError,
        psycopg.errors.SerializationFailure,
        psycopg.errors.DeadlockDetected,
        psycopg.errors.ReadOnlySqlTransaction,  # a failover is under way
        psycopg.errors.UndefinedTable,  # the schema is not migrated yet
        psycopg.errors.UndefinedColumn,
    ) as error:
        raise TransientError(f"database: {type(error).__name__}") from error
