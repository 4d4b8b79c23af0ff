"""Database transaction of a request. It is committed before the answer is sent.

A handler gets the connection as `db`. A transaction occupies one of the few connections of the
pool, so a handler that waits for an agent must not use `db`.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import structlog
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.types import Scope

from services.kit.database import pool as database
from services.kit.errors import FlotillaError

log = structlog.get_logger(__name__)

KEY = "transaction"  # key in the state of the scope

UseConnection = NamedDependency[database.Connection]
Callback = Callable[[], Awaitable[None] | None]


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that must succeed before a transaction is committed."""

    meet: Callable[[], Awaitable[None]]
    """Raises an error if the transaction must be rolled back."""
    undo: Callable[[], None]
    """Called if `meet` succeeded but the transaction was not committed."""


@dataclass(slots=True)
class _Open:
    stack: AsyncExitStack
    conditions: list[Condition] = field(default_factory=list)
    callbacks: list[Callback] = field(default_factory=list)


async def open_transaction(scope: Scope, state: State) -> AsyncGenerator[database.Connection, None]:
    """Provide `db`. Commit after the handler has returned; roll back if it raised an error.

    Raises:
        TransientError: the database is not reachable, or the commit failed.
    """
    async with _transaction(scope, state.pool) as connection:
        yield connection


async def open_snapshot(scope: Scope, state: State) -> AsyncGenerator[database.Connection, None]:
    """Provide a read-only `db` that sees a snapshot of the database, taken at the first query.

    Raises:
        TransientError: the database is not reachable.
    """
    async with _transaction(scope, state.pool) as connection:
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield connection


@asynccontextmanager
async def _transaction(scope: Scope, pool: database.Pool) -> AsyncIterator[database.Connection]:
    met: Sequence[Condition] = ()
    try:
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(database.transaction(pool))
            transaction = _Open(stack)
            scope["state"][KEY] = transaction
            yield connection
            if transaction.conditions:
                # Fails now, and not in the commit, if the connection is lost.
                await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
                await _meet(transaction.conditions)
                met = transaction.conditions
    except BaseException:
        for condition in met:
            condition.undo()
        raise
    del scope["state"][KEY]
    for callback in transaction.callbacks:
        try:
            if (running := callback()) is not None:
                await running
        except FlotillaError as error:
            # The change is committed, so the answer stays a success.
            log.warning("after_commit_failed", error=str(error))


async def _meet(conditions: Sequence[Condition]) -> None:
    """Meet all conditions at the same time; if one fails, undo the others and raise its error."""
    results = await asyncio.gather(
        *(condition.meet() for condition in conditions), return_exceptions=True
    )
    errors = [result for result in results if result is not None]
    if errors:
        for condition, result in zip(conditions, results, strict=True):
            if result is None:
                condition.undo()
        raise errors[0]


def before_commit(scope: Scope, condition: Condition) -> bool:
    """Commit the request's transaction only if the condition is met.

    Return False, without meeting it, if the request has no transaction.
    """
    transaction: _Open | None = scope["state"].get(KEY)
    if transaction is None:
        return False
    transaction.conditions.append(condition)
    return True


def after_commit(scope: Scope, callback: Callback) -> bool:
    """Call `callback` after the commit of the request's transaction.

    Return False, without calling it, if the request has no transaction.
    """
    transaction: _Open | None = scope["state"].get(KEY)
    if transaction is None:
        return False
    transaction.callbacks.append(callback)
    return True


async def roll_back(error: Exception, scope: Scope) -> None:
    """Close the transaction of a request that failed.

    Litestar does not close a dependency if another dependency raises an error after it.
    """
    transaction: _Open | None = scope.get("state", {}).pop(KEY, None)
    if transaction is not None:
        await transaction.stack.__aexit__(type(error), error, error.__traceback__)
