"""Access tokens (JWT): issue and check. Also random secrets and their hashes."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import jwt
from pydantic import SecretStr

ACCESS_LIFETIME = timedelta(minutes=10)
ALGORITHM = "HS256"
AUDIENCE = "flotilla-api"
ISSUER = "flotilla"


@dataclass(frozen=True, slots=True)
class Claims:
    user_id: UUID
    session_id: UUID
    """Id of the login session, or of the API token."""
    is_api_token: bool = False


def new_secret() -> str:
    return secrets.token_urlsafe(32)


def hash_secret(secret: str) -> bytes:
    """Return the SHA-256 of a secret with 256 random bits, which need no slow hash."""
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
    """Return the claims of an access token; None if it is forged, expired or for another use."""
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
