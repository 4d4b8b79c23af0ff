"""`flotilla secrets`: shows and rotates the keys that encrypt secrets in the database."""

import argparse
import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import psycopg
from psycopg import AsyncConnection

from services.cli.database import explained
from services.cli.settings import change_key, new_key, require_changeable
from services.kit.errors import SettingsError
from services.kit.secrets import rotation, vault
from services.kit.secrets.master_keys import MasterKeys
from services.kit.settings import DatabaseSettings, RandomKey, load

NAME = "FLOTILLA_MASTER_KEY"
CONNECT_TIMEOUT = 5  # seconds


class SecretsSettings(DatabaseSettings):
    master_key: RandomKey
    master_key_previous: RandomKey | None = None

    @property
    def keys(self) -> MasterKeys:
        return MasterKeys(self.master_key, self.master_key_previous)


def status(_arguments: argparse.Namespace) -> int:
    settings = load(SecretsSettings)
    return _run(settings, lambda connection: _status(connection, settings.keys))


def rotate(arguments: argparse.Namespace) -> int:
    settings = load(SecretsSettings)
    return _run(settings, lambda connection: _rotate(connection, settings, arguments.batch))


def retire(_arguments: argparse.Namespace) -> int:
    settings = load(SecretsSettings)
    if settings.master_key_previous is None:
        raise SettingsError(f"{NAME}_PREVIOUS is not set, so there is no master key to retire.")
    return _run(settings, lambda connection: _retire(connection, settings))


async def _status(connection: AsyncConnection, keys: MasterKeys) -> int:
    found = await rotation.status(connection)
    for number, id_ in enumerate(keys.ids):
        print(f"master key  {id_}  {NAME}{'_PREVIOUS' if number else ''}")
    for key in found.keys:
        wrapped = ", ".join(sorted(key.wraps)) or "none"
        print(f"data key    {key.id}  made {key.created_at:%Y-%m-%d}, wrapped by {wrapped}")
    for column, counts in found.values.items():
        name, total = f"{column.table}.{column.column}", sum(counts.values())
        newest = counts.get(found.keys[0].id, 0) if found.keys else 0
        print(f"values      {name}: {total:,}, of which {newest:,} with the newest data key")
    try:
        for key in found.keys:
            vault.open_key(keys, key)
    except SettingsError as error:
        print(error)
        return 1
    if not found.keys:
        print("There are no data keys yet. The gateway makes the first one when it starts.")
    elif not found.is_complete(keys.current_id):
        print("A rotation is not complete. Run `flotilla secrets rotate`.")
        return 1
    elif len(keys.ids) > 1:
        print(
            "The rotation is complete. Restart every gateway, then run `flotilla secrets retire`."
        )
    return 0


async def _rotate(connection: AsyncConnection, settings: SecretsSettings, batch: int) -> int:
    await rotation.lock(connection)
    keys = settings.keys
    if settings.master_key_previous is None:
        path = require_changeable(NAME)
        for key in (await rotation.status(connection)).keys:
            vault.open_key(keys, key)
        new = new_key()
        change_key(path, NAME, new, settings.master_key)
        keys = MasterKeys(new, settings.master_key)
        print(f"{path} has a new master key, and the previous one as {NAME}_PREVIOUS.")
    result = await rotation.rotate(connection, keys, batch=batch)
    print(f"{result.rewrapped:,} data keys wrapped with the master key {keys.current_id}")
    print(f"{result.encrypted:,} values encrypted again, {result.deleted:,} data keys deleted")
    for reason in result.failures.values():
        print(reason)
    if result.failures:
        print("These values stay as they are. Replace or delete them, then run this command again.")
        return 1
    print("Restart every gateway with both settings, then run `flotilla secrets retire`.")
    return 0


async def _retire(connection: AsyncConnection, settings: SecretsSettings) -> int:
    await rotation.lock(connection)
    async with connection.transaction():
        found = await rotation.status(connection)
        number = await rotation.retire(connection, settings.keys, found)
    print(f"{number:,} wrapped data keys of other master keys deleted")
    if os.environ.get(f"{NAME}_PREVIOUS"):
        print(f"Remove {NAME}_PREVIOUS from the environment.")
    else:
        change_key(require_changeable(NAME), NAME, settings.master_key, None)
        print(f"The settings file no longer has {NAME}_PREVIOUS.")
    return 0


def _run(settings: SecretsSettings, work: Callable[[AsyncConnection], Awaitable[int]]) -> int:
    url = settings.database_url.get_secret_value()

    async def connected() -> int:
        async with _connection(url) as connection:
            return await work(connection)

    with explained(url):
        return asyncio.run(connected())


@asynccontextmanager
async def _connection(url: str) -> AsyncIterator[AsyncConnection]:
    async with await psycopg.AsyncConnection.connect(
        url, autocommit=True, connect_timeout=CONNECT_TIMEOUT
    ) as connection:
        yield connection
