"""Passwords, access tokens and random secrets."""

import asyncio
import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import jwt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from pydantic import SecretStr

ACCESS_LIFETIME = timedelta(minutes=10)
ALGORITHM = "HS256"
AUDIENCE = "flotilla-api"
ISSUER = "flotilla"
PASSWORD_MIN_LENGTH = 12  # characters
HASHINGS_AT_ONCE = 2  # each takes 64 MiB and a core

_hasher = PasswordHasher()
_hashings = asyncio.Semaphore(HASHINGS_AT_ONCE)
# Checked where there is no such user, so that the answer takes as long.
_NOBODY = _hasher.hash(secrets.token_urlsafe())


@dataclass(frozen=True, slots=True)
class Claims:
    user_id: UUID
    session_id: UUID


def hash_password(password: str) -> str:
    return _hasher.hash(password)


async def password_matches(password: str, password_hash: str | None) -> bool:
    """False for None, in the time that a wrong password takes."""

    def verify() -> bool:
        try:
            return _hasher.verify(password_hash or _NOBODY, password)
        except (VerificationError, InvalidHashError):
            return False

    async with _hashings:
        return await asyncio.to_thread(verify) and password_hash is not None


def new_secret() -> str:
    return secrets.token_urlsafe(32)


def hash_secret(secret: str) -> bytes:
    """SHA-256: for secrets of 256 random bits, where a slow hash adds nothing."""
    return hashlib.sha256(secret.encode()).digest()


def issue_token(key: SecretStr, claims: Claims) -> str:
    now = datetime.now(UTC)
    payload = {
        "sub": str(claims.user_id),
        "sid": str(claims.session_id),
        "aud": AUDIENCE,
        "iss": ISSUER,
        "iat": now,
        "exp": now + ACCESS_LIFETIME,
    }
    return jwt.encode(payload, key.get_secret_value(), ALGORITHM)


def read_token(key: SecretStr, token: str) -> Claims | None:
    """None for a token that is forged, expired, or meant for something else."""
    try:
        payload = jwt.decode(
            token,
            key.get_secret_value(),
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            issuer=ISSUER,
            options={"require": ["sub", "sid", "aud", "iss", "exp"]},
        )
        return Claims(UUID(payload["sub"]), UUID(payload["sid"]))
    except (jwt.InvalidTokenError, ValueError, AttributeError):
        return None
