"""Log-in with user name and password, and limits on failed attempts.

A browser that has logged in to an account keeps a device cookie (OWASP, "Slow Down Online Guessing
Attacks with Device Cookies"). Its attempts on that account have a limit of their own, so guesses
from elsewhere never lock the owner out.
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv6Address, ip_address
from uuid import UUID

from psycopg import AsyncConnection
from pydantic import SecretStr

from services.gateway.accounts import attempts, challenge_store, session_store, store
from services.gateway.accounts.passwords import password_matches
from services.gateway.accounts.tokens import hash_secret, new_secret
from services.gateway.api import errors
from services.gateway.api.limits import SESSIONS_OF_USER
from services.gateway.api.problem_types import ProblemType
from services.gateway.api.request_audit import RequestAudit
from services.kit.bus.audit import ANONYMOUS
from services.kit.database import pool as database

SESSION_LIFETIME = timedelta(days=14)
FAILURE_WINDOW = timedelta(minutes=5)
REUSE_TIME = timedelta(seconds=60)  # for which the secret before the current one stays valid
# Limits of failed attempts within the window: per account and address (or device), per address, and
# per account from all addresses.
PAIR_LIMIT, ADDRESS_LIMIT, NAME_LIMIT = 5, 30, 50
ENDED = "The login session has ended. Log in again."
USER_AGENT_LENGTH = 300  # characters that are kept
ACTION = "session.login"  # action in the audit log


@dataclass(frozen=True, slots=True)
class Session:
    """A new login session."""

    id: UUID
    user: store.User
    secret: str
    device: str
    """Value of the device cookie."""


@dataclass(frozen=True, slots=True)
class Browser:
    """The browser, or the program, that logs in."""

    device: str
    """Value of its device cookie; empty if it has none."""
    user_agent: str
    address: str


async def log_in(
    pool: database.Pool,
    audit: RequestAudit,
    key: SecretStr,
    browser: Browser,
    *,
    username: str,
    password: str,
) -> Session:
    """Check the password and start a login session, or a challenge if there is a second factor.

    `key` signs the device cookie.

    Raises:
        RequestError: the name or the password is wrong, there were too many attempts or too many
            log-ins at once, or a second factor is required.
        TransientError: the database is not reachable.
    """
    user = await check_password(
        pool, audit, username=username, password=password, key=key, device=browser.device
    )
    async with database.transaction(pool) as connection:
        challenge = await challenge_store.start(connection, user)
        begun = challenge or await open_session(connection, key, user, browser)
    if isinstance(begun, str):
        audit.record(f"user:{user.id}", user.username, action="session.challenge", actor=ANONYMOUS)
        raise errors.second_factor_required(begun, challenge_store.LIFETIME)
    audit.record("", action=ACTION, actor=f"user:{user.id}")
    return begun


async def renew(
    pool: database.Pool, audit: RequestAudit, secret: str
) -> tuple[store.User, UUID, str]:
    """Return the user and the session of a cookie's secret, and the next secret for the cookie.

    Two pages of a browser may renew at the same time, so the secret before the current one is valid
    for a short time, without a next secret. After that, somebody has copied the cookie: the session
    ends.

    Raises:
        RequestError: 401, the session does not exist, or has ended.
        TransientError: the database is not reachable.
    """
    following = new_secret()
    async with database.transaction(pool) as connection:
        session = await session_store.by_secret(connection, secret_hash=hash_secret(secret))
        if session is None:
            raise errors.unauthenticated(ENDED)
        user = await store.user_of_session(
            connection, session_id=session.session_id, user_id=session.user_id
        )
        is_copy = not session.is_current and session.age > REUSE_TIME
        if is_copy:
            await session_store.delete(
                connection, user_id=session.user_id, session_id=session.session_id
            )
        elif session.is_current:
            await session_store.rotate(
                connection,
                session_id=session.session_id,
                secret_hash=hash_secret(following),
                address=audit.peer,
            )
    if is_copy:
        audit.record(
            f"user:{session.user_id}",
            action="session.refresh",
            actor=ANONYMOUS,
            allowed=False,
            reason="the cookie was used before",
        )
    if user is None or is_copy:
        raise errors.unauthenticated(ENDED)
    return user, session.session_id, following if session.is_current else ""


async def check_password(
    pool: database.Pool,
    audit: RequestAudit,
    *,
    username: str,
    password: str,
    key: SecretStr | None = None,
    device: str = "",
) -> store.User:
    """Return the user with this name and password.

    The password is hashed between two short transactions, because hashing takes long. Attempts from
    a browser whose `device` is a cookie of the account, signed with `key`, are counted apart.

    Raises:
        RequestError: the name or the password is wrong, or there were too many attempts.
        TransientError: the database is not reachable.
    """
    username = username.strip().lower()
    async with database.transaction(pool) as connection:
        user = await store.user_by_name(connection, username=username)
        is_known = user is not None and key is not None and is_device_of(key, user.id, device)
        limits = _limits(username, audit.peer, device if is_known else "")
        wait, numbers = await attempts.counted(connection, limits, FAILURE_WINDOW)
        if wait:
            # The error rolls the count back: only attempts whose password is checked count.
            _refuse(audit, user, "too many attempts")
            raise errors.throttled(wait)
    try:
        is_right = await password_matches(
            password,
            None if user is None else user.password_hash,
            is_known=is_known,
            attempts=max(numbers[name] for name in limits if not name.startswith("name:")),
        )
    except errors.RequestError:
        async with database.transaction(pool) as connection:
            await attempts.take_back(connection, limits)
        _refuse(audit, user, "too many log-ins at once")
        raise
    if user is None or not is_right or not user.enabled:
        _refuse(audit, user, "wrong name or password")
        raise errors.RequestError(
            ProblemType.WRONG_CREDENTIALS, "The user name or the password is wrong."
        )
    async with database.transaction(pool) as connection:
        await attempts.forgive(connection, limits)
    return user


async def open_session(
    connection: AsyncConnection, key: SecretStr, user: store.User, browser: Browser
) -> Session:
    """Start a login session. The browser keeps its device cookie if that is of this account."""
    secret = new_secret()
    session_id = await session_store.insert(
        connection,
        user_id=user.id,
        secret_hash=hash_secret(secret),
        lifetime=SESSION_LIFETIME,
        most=SESSIONS_OF_USER,
        user_agent=browser.user_agent[:USER_AGENT_LENGTH],
        address=browser.address,
    )
    is_known = is_device_of(key, user.id, browser.device)
    device = browser.device if is_known else new_device(key, user.id)
    return Session(session_id, user, secret, device)


async def count_registration(pool: database.Pool, audit: RequestAudit) -> None:
    """Count an attempt to register, so that nobody can guess tokens or occupy the hashing.

    Raises:
        RequestError: there were too many attempts from this address.
        TransientError: the database is not reachable.
    """
    limits = {f"register:{network_of(audit.peer)}": ADDRESS_LIMIT}
    async with database.transaction(pool) as connection:
        if wait := await attempts.count(connection, limits, FAILURE_WINDOW):
            raise errors.throttled(wait)


def new_device(key: SecretStr, user_id: UUID) -> str:
    nonce = new_secret()
    return f"{nonce}.{_signature(key, user_id, nonce)}"


def is_device_of(key: SecretStr, user_id: UUID, device: str) -> bool:
    """Tell whether a device cookie was made for this account."""
    nonce, _, signature = device.partition(".")
    expected = _signature(key, user_id, nonce)
    return hmac.compare_digest(signature.encode(), expected.encode())


def _signature(key: SecretStr, user_id: UUID, nonce: str) -> str:
    text = f"device {user_id} {nonce}".encode()
    return hmac.new(key.get_secret_value().encode(), text, hashlib.sha256).hexdigest()


def _limits(username: str, peer: str, device: str) -> dict[str, int]:
    """Return the limit of each counter of an attempt; a correct password resets the first one."""
    if device:
        return {f"device:{username}@{hash_secret(device).hex()}": PAIR_LIMIT}
    network = network_of(peer)
    return {
        f"pair:{username}@{network}": PAIR_LIMIT,
        f"address:{network}": ADDRESS_LIMIT,
        f"name:{username}": NAME_LIMIT,
    }


def network_of(peer: str) -> str:
    """Return the addresses of one client: an IPv4 address, or the /64 network of an IPv6 address."""
    try:
        address = ip_address(peer)
    except ValueError:
        return peer
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return f"{IPv6Address(int(address) >> 64 << 64)}/64"
    return str(address)


def _refuse(audit: RequestAudit, user: store.User | None, reason: str) -> None:
    """Write an audit entry. It names accounts that exist: a wrong name may be a password."""
    audit.record(
        "" if user is None else f"user:{user.id}",
        "unknown account" if user is None else user.username,
        action=ACTION,
        actor=ANONYMOUS,
        allowed=False,
        reason=reason,
    )
