"""`flotilla user`: adds users, sets their passwords, and turns their second factors off."""

import argparse
import asyncio
import getpass
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import psycopg

from services.cli.database import explained
from services.gateway.accounts import challenge_store, session_store
from services.gateway.accounts import store as account_store
from services.gateway.accounts.factors import store as factor_store
from services.gateway.accounts.passwords import PASSWORD_MIN_LENGTH, hash_password
from services.gateway.audit import store as audit_store
from services.kit.access import Role
from services.kit.errors import SettingsError
from services.kit.settings import DatabaseSettings, load

CONNECT_TIMEOUT = 5  # seconds


def add(arguments: argparse.Namespace) -> int:
    url = load(DatabaseSettings).database_url.get_secret_value()
    with explained(url):
        asyncio.run(_check_database(url))
    password = _new_password(arguments.password_file)

    async def insert() -> bool:
        async with await psycopg.AsyncConnection.connect(url) as connection:
            user_id = await account_store.insert_user(
                connection,
                username=arguments.username,
                password_hash=hash_password(password),
                role=Role(arguments.role),
            )
            if user_id is not None:
                await account_store.insert_organisation(
                    connection, name=arguments.username, owner_id=user_id
                )
        return user_id is not None

    try:
        with explained(url):
            is_new = asyncio.run(insert())
    except psycopg.errors.CheckViolation:
        raise SettingsError(
            "The user name must have 1 to 63 characters of a-z, 0-9, '.', '_' and '-', and start"
            " with a letter or digit."
        ) from None
    if is_new:
        print(f"user {arguments.username} added as {arguments.role}")
        return 0
    print(f"user {arguments.username} exists already")
    return 0 if arguments.if_missing else 1


def set_password(arguments: argparse.Namespace) -> int:
    """Set the password of a user, and end the login sessions."""
    url = load(DatabaseSettings).database_url.get_secret_value()
    username = arguments.username.strip().lower()
    with explained(url):
        asyncio.run(_check_database(url))
    password_hash = hash_password(_new_password(arguments.password_file))
    with explained(url):
        is_known = asyncio.run(_set_password(url, username, password_hash))
    if not is_known:
        print(f"There is no user {arguments.username}.")
        return 1
    print(f"The password of {arguments.username} is set, and all its sessions have ended.")
    return 0


async def _set_password(url: str, username: str, password_hash: str) -> bool:
    """Return False if there is no such user."""
    connecting = psycopg.AsyncConnection.connect(url, connect_timeout=CONNECT_TIMEOUT)
    async with await connecting as connection:
        user = await account_store.user_by_name(connection, username=username)
        if user is None:
            return False
        await account_store.set_password(connection, user_id=user.id, password_hash=password_hash)
        # A log-in that waits for a code was started with the old password.
        await challenge_store.delete_all(connection, user_id=user.id)
        await session_store.delete(connection, user_id=user.id)
        await _audit(connection, "password.reset", user.id, username)
        return True


def reset_factors(arguments: argparse.Namespace) -> int:
    """Turn the second factor of a user off, and end the login sessions."""
    url = load(DatabaseSettings).database_url.get_secret_value()
    with explained(url):
        was_on = asyncio.run(_reset_factors(url, arguments.username.strip().lower()))
    if was_on is None:
        print(f"There is no user {arguments.username}.")
        return 1
    print(
        f"The second factor of {arguments.username} is off, and all its sessions have ended."
        if was_on
        else f"The second factor of {arguments.username} was off already."
    )
    return 0


async def _reset_factors(url: str, username: str) -> bool | None:
    """Return True if the second factor was on; None if there is no such user."""
    connecting = psycopg.AsyncConnection.connect(url, connect_timeout=CONNECT_TIMEOUT)
    async with await connecting as connection:
        user = await account_store.user_by_name(connection, username=username)
        if user is None:
            return None
        await factor_store.lock_user(connection, user_id=user.id)
        was_on = await factor_store.delete_factor(connection, user_id=user.id)
        if was_on:
            await challenge_store.delete_all(connection, user_id=user.id)
            await session_store.delete(connection, user_id=user.id)
            await _audit(connection, "factor.reset", user.id, username)
        return was_on


async def _audit(
    connection: psycopg.AsyncConnection, action: str, user_id: UUID, username: str
) -> None:
    entry = audit_store.Entry(
        id=uuid4(),
        time=datetime.now(UTC),
        actor="operator",
        action=action,
        object=f"user:{user_id}",
        detail=username,
        allowed=True,
        reason="",
        peer="",
    )
    await audit_store.insert(connection, entries=[entry])


async def _check_database(url: str) -> None:
    """Check that users can be read, before the command asks for the password.

    Raises: psycopg.Error.
    """
    connecting = psycopg.AsyncConnection.connect(url, connect_timeout=CONNECT_TIMEOUT)
    async with await connecting as connection:
        await connection.execute("SELECT FROM users LIMIT 1")


def _new_password(file: Path | None) -> str:
    """Return the password from the file, the terminal or standard input.

    Raises: SettingsError.
    """
    password = _password(file)
    if len(password) < PASSWORD_MIN_LENGTH:
        count = "1 character" if len(password) == 1 else f"{len(password)} characters"
        raise SettingsError(f"The password has {count}; it needs {PASSWORD_MIN_LENGTH} or more.")
    return password


def _password(file: Path | None) -> str:
    if file is not None:
        return file.read_text().partition("\n")[0]
    if sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        if password != getpass.getpass("Again: "):
            raise SettingsError("The two passwords differ.")
        return password
    return sys.stdin.readline().rstrip("\n")
