"""The pool of database connections, and transactions with translated errors."""

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
ACQUIRE_TIMEOUT = 10.0  # seconds to wait for a connection of the pool
# Seconds over which the pool tries to reconnect, with growing pauses. The next request for a
# connection starts again with short pauses.
RECONNECT_TIMEOUT = 8.0
STATEMENT_TIMEOUT = 15_000  # milliseconds

Connection = psycopg.AsyncConnection
Pool = AsyncConnectionPool[Connection]


@asynccontextmanager
async def open_pool(
    settings: DatabaseSettings, health: Health, *, size: int
) -> AsyncIterator[Pool]:
    """Open a pool; wait for the database as long as necessary, and report that in `health`."""
    pool: Pool = AsyncConnectionPool(
        settings.database_url.get_secret_value(),
        min_size=1,
        max_size=size,
        max_waiting=200,
        timeout=ACQUIRE_TIMEOUT,
        reconnect_timeout=RECONNECT_TIMEOUT,
        reconnect_failed=lambda _: log.warning("database_away"),
        kwargs={
            "application_name": f"flotilla-{health.service}",
            "connect_timeout": CONNECT_TIMEOUT,
            "options": f"-c statement_timeout={STATEMENT_TIMEOUT} -c timezone=UTC",
        },
        check=_begin,
        open=False,
    )
    health.checks["database"] = lambda: (False, "not connected")
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


async def _begin(connection: Connection) -> None:
    """Begin the transaction of the caller. This fails if the connection is broken.

    The pool's own check is not used, because it switches autocommit on for its query. If autocommit
    stayed on, later transactions would commit each statement separately. An empty query takes no
    snapshot, so the caller can still choose the isolation level.
    """
    await connection.execute("")


def _check(pool: Pool) -> tuple[bool, str]:
    stats = pool.get_stats()
    size, errors = stats.get("pool_size", 0), stats.get("connections_errors", 0)
    return size > 0, f"{size} connections, {errors} failed"


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[psycopg.AsyncConnection]:
    """Commit at the end of the block, or roll back on an error.

    Raises:
        TransientError: the database is unavailable or overloaded, took too long, or its schema
            or the rights of this service are older than this code.
        PoisonError: a value exceeds a limit of the database.
    """
    try:
        async with AsyncExitStack() as stack:
            with cancellation.propagate_cancellation():
                connection = await stack.enter_async_context(pool.connection())
            yield connection
    except psycopg.errors.ProgramLimitExceeded as error:  # an OperationalError, but a permanent one
        raise PoisonError(f"The database refused a value: {error}.") from error
    except (
        PoolTimeout,
        psycopg.OperationalError,
        psycopg.errors.SerializationFailure,
        psycopg.errors.DeadlockDetected,
        psycopg.errors.ReadOnlySqlTransaction,  # a failover is in progress
        psycopg.errors.UndefinedTable,  # the schema is not migrated yet
        psycopg.errors.UndefinedColumn,
        psycopg.errors.InsufficientPrivilege,  # the rights are not granted yet
    ) as error:
        raise TransientError(f"The database is not available ({type(error).__name__}).") from error
