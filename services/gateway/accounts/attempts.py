"""Limits on failed attempts to guess a password or a code."""

from collections.abc import Mapping
from datetime import timedelta

from psycopg import AsyncConnection

from services.gateway.accounts import store


async def count(connection: AsyncConnection, limits: Mapping[str, int], window: timedelta) -> int:
    """Count an attempt; return the seconds to wait if it exceeds a limit, else 0.

    `limits` has the limit of each counter. A caller that refuses the attempt rolls the transaction
    back, so that only attempts that are checked count.
    """
    return (await counted(connection, limits, window))[0]


async def counted(
    connection: AsyncConnection, limits: Mapping[str, int], window: timedelta
) -> tuple[int, dict[str, int]]:
    """Count an attempt as `count` does; return the number of attempts of each counter too."""
    attempts = await store.count_attempt(connection, keys=list(limits), window=window)
    waits = [left for name, (number, left) in attempts.items() if number > limits[name]]
    numbers = {name: number for name, (number, _) in attempts.items()}
    return (int(max(waits)) + 1 if waits else 0), numbers


async def forgive(connection: AsyncConnection, limits: Mapping[str, int]) -> None:
    """Take an attempt back that was right, and clear the first counter."""
    await take_back(connection, limits)
    await store.clear_attempts(connection, key=next(iter(limits)))


async def take_back(connection: AsyncConnection, limits: Mapping[str, int]) -> None:
    """Take an attempt back that was right, or that was not checked."""
    await store.take_back_attempt(connection, keys=list(limits))
