"""Encrypt and decrypt values with the data keys of the database."""

import os
from uuid import UUID, uuid4

from psycopg import AsyncConnection
from pydantic import SecretBytes

from services.kit.errors import FlotillaError, SettingsError
from services.kit.secrets import envelope, store
from services.kit.secrets.columns import Place
from services.kit.secrets.envelope import DataKey, DecryptionError
from services.kit.secrets.master_keys import MasterKeys
from services.kit.secrets.store import StoredKey


async def encrypt(
    connection: AsyncConnection, keys: MasterKeys, place: Place, value: SecretBytes
) -> bytes:
    """Encrypt a value for one place, with the newest data key.

    Store the result in the same transaction: until its end, the data key cannot be deleted.

    Raises:
        FlotillaError: no data key can be unwrapped with these master keys.
    """
    found = await store.newest_key(connection, master_key_ids=keys.ids)
    if found is None:
        raise FlotillaError("The master key was retired. Restart this service with the new one.")
    key_id, master_key_id, wrapped = found
    data_key = DataKey(key_id, keys.unwrap(master_key_id, wrapped))
    return envelope.encrypt(data_key, place, value)


async def decrypt(
    connection: AsyncConnection, keys: MasterKeys, place: Place, value: bytes
) -> SecretBytes:
    """Decrypt the value of one place.

    Raises:
        DecryptionError: the value was changed, belongs to another place, or its key is not there.
    """
    key_id = envelope.key_id(place, value)
    found = await store.wrap_of_key(connection, key_id=key_id, master_key_ids=keys.ids)
    if found is None:
        raise DecryptionError(place, f"no master key in the settings opens its data key {key_id}")
    return envelope.decrypt(DataKey(key_id, keys.unwrap(*found)), place, value)


async def check_keys(connection: AsyncConnection, keys: MasterKeys) -> None:
    """Check that the master keys open every data key. Make the first data key if there is none.

    Raises:
        SettingsError: a data key was wrapped by a master key that is not in the settings.
    """
    stored = await store.stored_keys(connection)
    if not stored:
        await store.lock_first_key(connection)
        stored = await store.stored_keys(connection)
        if not stored:
            await add_key(connection, keys)
            return
    for key in stored:
        open_key(keys, key)


async def add_key(connection: AsyncConnection, keys: MasterKeys) -> UUID:
    """Make a data key, wrapped by every master key, and return its id."""
    key_id = uuid4()
    await store.insert_key(connection, key_id=key_id, master_key_id=keys.current_id)
    wraps = keys.wrap(os.urandom(envelope.KEY_LENGTH))
    await store.insert_wraps(connection, key_id=key_id, wraps=wraps)
    return key_id


def open_key(keys: MasterKeys, stored: StoredKey) -> DataKey:
    """Unwrap a data key.

    Raises:
        SettingsError: no master key in the settings has wrapped it.
    """
    for master_key_id in keys.ids:
        if master_key_id in stored.wraps:
            return DataKey(stored.id, keys.unwrap(master_key_id, stored.wraps[master_key_id]))
    needed = " or ".join(sorted(stored.wraps)) or "that is not known"
    raise SettingsError(
        f"FLOTILLA_MASTER_KEY is the key {keys.current_id}, but the secrets in this database are"
        f" encrypted with the master key {needed}. Set FLOTILLA_MASTER_KEY to that key: it is in"
        " the backup of the settings."
    )
