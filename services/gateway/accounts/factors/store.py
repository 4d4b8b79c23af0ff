"""Queries for second factors and recovery codes. Functions never commit."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row, scalar_row


@dataclass(frozen=True, slots=True)
class Factor:
    seed: bytes = field(repr=False)
    """The encrypted seed."""
    last_step: int


async def lock_user(connection: AsyncConnection, *, user_id: UUID) -> None:
    """Let only one transaction at a time change the factors of a user."""
    await connection.execute("SELECT FROM users WHERE id = %s FOR NO KEY UPDATE", [user_id])


async def confirmed_at(connection: AsyncConnection, *, user_id: UUID) -> datetime | None:
    """Return when the second factor of a user was confirmed; None if there is none."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute("SELECT confirmed_at FROM totp_factors WHERE user_id = %s", [user_id])
        found: datetime | None = await cursor.fetchone()
        return found


async def insert_factor(connection: AsyncConnection, *, user_id: UUID, seed: bytes) -> bool:
    """Add a factor that is not confirmed, in place of another such one.

    Return False if the user has a confirmed one.
    """
    cursor = await connection.execute(
        "INSERT INTO totp_factors AS f (user_id, seed) VALUES (%(user_id)s, %(seed)s)"
        " ON CONFLICT (user_id) DO UPDATE"
        " SET seed = excluded.seed, created_at = now(), last_step = 0 WHERE f.confirmed_at IS NULL",
        {"user_id": user_id, "seed": seed},
    )
    return cursor.rowcount == 1


async def lock_factor(connection: AsyncConnection, *, user_id: UUID) -> Factor | None:
    """Return the confirmed factor. Nobody else uses a code of it before the transaction ends."""
    async with connection.cursor(row_factory=class_row(Factor)) as cursor:
        await cursor.execute(
            "SELECT seed, last_step FROM totp_factors"
            " WHERE user_id = %s AND confirmed_at IS NOT NULL FOR UPDATE",
            [user_id],
        )
        return await cursor.fetchone()


async def lock_enrolment(
    connection: AsyncConnection, *, user_id: UUID, lifetime: timedelta
) -> Factor | None:
    """Return the factor that is not confirmed and not older than `lifetime`."""
    async with connection.cursor(row_factory=class_row(Factor)) as cursor:
        await cursor.execute(
            "SELECT seed, last_step FROM totp_factors WHERE user_id = %(user_id)s"
            " AND confirmed_at IS NULL AND created_at > now() - %(lifetime)s FOR UPDATE",
            {"user_id": user_id, "lifetime": lifetime},
        )
        return await cursor.fetchone()


async def accept_step(connection: AsyncConnection, *, user_id: UUID, step: int) -> None:
    """Store the time step of an accepted code. A factor is confirmed by its first code."""
    await connection.execute(
        "UPDATE totp_factors SET last_step = %(step)s, confirmed_at = coalesce(confirmed_at, now())"
        " WHERE user_id = %(user_id)s",
        {"user_id": user_id, "step": step},
    )


async def delete_factor(connection: AsyncConnection, *, user_id: UUID) -> bool:
    """Delete the factor and the recovery codes; return True if there was a confirmed factor."""
    await connection.execute("DELETE FROM recovery_codes WHERE user_id = %s", [user_id])
    cursor = await connection.execute(
        "DELETE FROM totp_factors WHERE user_id = %s RETURNING confirmed_at", [user_id]
    )
    return any(confirmed is not None for (confirmed,) in await cursor.fetchall())


async def replace_recovery_codes(
    connection: AsyncConnection, *, user_id: UUID, hashes: Sequence[bytes]
) -> None:
    await connection.execute("DELETE FROM recovery_codes WHERE user_id = %s", [user_id])
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO recovery_codes (user_id, code_hash) VALUES (%s, %s)",
            [(user_id, code_hash) for code_hash in hashes],
        )


async def use_recovery_code(
    connection: AsyncConnection, *, user_id: UUID, code_hash: bytes
) -> bool:
    cursor = await connection.execute(
        "UPDATE recovery_codes SET used_at = now()"
        " WHERE user_id = %s AND code_hash = %s AND used_at IS NULL",
        [user_id, code_hash],
    )
    return cursor.rowcount == 1


async def count_recovery_codes(connection: AsyncConnection, *, user_id: UUID) -> int:
    """Return the number of codes that were not used."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "SELECT count(*) FROM recovery_codes WHERE user_id = %s AND used_at IS NULL",
            [user_id],
        )
        number: int = await cursor.fetchone() or 0
        return number
