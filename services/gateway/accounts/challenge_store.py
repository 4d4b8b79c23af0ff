"""Challenges: log-ins whose password was right and that wait for the code of the second factor.

A challenge is a random secret. It is valid for minutes, for one log-in, and only as long as the
account is enabled and keeps its password. Functions never commit.
"""

import hashlib
from datetime import timedelta
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row

from services.gateway.accounts.store import USER_COLUMNS, User
from services.gateway.accounts.tokens import hash_secret, new_secret
from services.gateway.api.limits import CHALLENGES_OF_USER

LIFETIME = timedelta(minutes=5)

_VALID = (
    "login_challenges c JOIN users ON users.id = c.user_id"
    " WHERE c.secret_hash = %(secret_hash)s AND c.expires_at > now() AND enabled"
    " AND c.password_digest = sha256(convert_to(password_hash, 'UTF8'))"
)


async def start(connection: AsyncConnection, user: User) -> str | None:
    """Return a new challenge if the user has a second factor, else None.

    `user` is the one whose password was checked.
    """
    # A second factor that is being turned on is seen either here, or by the session that follows.
    await connection.execute("SELECT FROM users WHERE id = %s FOR SHARE", [user.id])
    secret = new_secret()
    cursor = await connection.execute(
        "INSERT INTO login_challenges (secret_hash, user_id, password_digest, expires_at)"
        " SELECT %(secret_hash)s, user_id, %(digest)s, now() + %(lifetime)s FROM totp_factors"
        " WHERE user_id = %(user_id)s AND confirmed_at IS NOT NULL",
        {
            "secret_hash": hash_secret(secret),
            "user_id": user.id,
            "digest": hashlib.sha256(user.password_hash.encode()).digest(),
            "lifetime": LIFETIME,
        },
    )
    if cursor.rowcount == 0:
        return None
    await connection.execute(
        "DELETE FROM login_challenges WHERE expires_at < now() OR secret_hash IN"
        " (SELECT secret_hash FROM login_challenges WHERE user_id = %(user_id)s"
        " ORDER BY expires_at DESC OFFSET %(most)s)",
        {"user_id": user.id, "most": CHALLENGES_OF_USER},
    )
    return secret


async def user_of(connection: AsyncConnection, challenge: str) -> User | None:
    """Return the user of a valid challenge."""
    async with connection.cursor(row_factory=class_row(User)) as cursor:
        await cursor.execute(
            f"SELECT {USER_COLUMNS} FROM {_VALID}", {"secret_hash": hash_secret(challenge)}
        )
        return await cursor.fetchone()


async def take(connection: AsyncConnection, challenge: str) -> bool:
    """Use a challenge up; return False if it is not valid, or was used up."""
    cursor = await connection.execute(
        "DELETE FROM login_challenges WHERE secret_hash IN"
        f" (SELECT c.secret_hash FROM {_VALID} FOR UPDATE OF c)",
        {"secret_hash": hash_secret(challenge)},
    )
    return cursor.rowcount == 1


async def delete_all(connection: AsyncConnection, *, user_id: UUID) -> None:
    await connection.execute("DELETE FROM login_challenges WHERE user_id = %s", [user_id])
