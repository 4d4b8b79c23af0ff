import argparse
import asyncio
import getpass
import sys
from pathlib import Path

import psycopg

from services.gateway.credentials import PASSWORD_MIN_LENGTH, hash_password
from services.gateway.store import accounts
from services.kit.access import Role
from services.kit.errors import SettingsError
from services.kit.settings import DatabaseSettings, load


def add(arguments: argparse.Namespace) -> int:
    settings = load(DatabaseSettings)
    password = _password(arguments.password_file)
    if len(password) < PASSWORD_MIN_LENGTH:
        raise SettingsError(f"a password has at least {PASSWORD_MIN_LENGTH} characters")

    async def insert() -> bool:
        url = settings.database_url.get_secret_value()
        async with await psycopg.AsyncConnection.connect(url) as connection:
            user_id = await accounts.insert_user(
                connection,
                username=arguments.username,
                password_hash=hash_password(password),
                role=Role(arguments.role),
            )
        return user_id is not None

    try:
        made = asyncio.run(insert())
    except psycopg.errors.CheckViolation:
        raise SettingsError(
            "a user name has 1 to 63 of a-z, 0-9, '.', '_', '-' and starts with a letter or digit"
        ) from None
    if made:
        print(f"user {arguments.username} added as {arguments.role}")
        return 0
    print(f"user {arguments.username} exists already")
    return 0 if arguments.if_missing else 1


def _password(file: Path | None) -> str:
    if file is not None:
        return file.read_text().partition("\n")[0]
    if sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        if password != getpass.getpass("Again: "):
            raise SettingsError("the two passwords differ")
        return password
    return sys.stdin.readline().rstrip("\n")
