"""Rotation of the master key: a new data key, and every value encrypted again with it.

Every step can be repeated. A rotation that was interrupted continues where it stopped. Services keep
reading and writing meanwhile, with the new or with the previous master key.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from psycopg import AsyncConnection

from services.kit.errors import FlotillaError
from services.kit.secrets import envelope, store, vault
from services.kit.secrets.columns import ENCRYPTED_COLUMNS, EncryptedColumn, Place
from services.kit.secrets.envelope import DataKey, DecryptionError
from services.kit.secrets.master_keys import MasterKeys

BATCH = 500  # values per transaction
LOCK = 0x666C6F76  # for pg_advisory_lock


class RotationError(FlotillaError):
    """The rotation cannot start or end now."""


@dataclass(slots=True)
class Result:
    """The work of one rotation."""

    rewrapped: int = 0
    """Data keys that the current master key has wrapped in addition."""
    encrypted: int = 0
    """Values that were encrypted again."""
    deleted: int = 0
    """Data keys that no value needs any more."""
    failures: dict[Place, str] = field(default_factory=dict)
    """Values that cannot be decrypted, with the reasons. They stay as they are."""


@dataclass(frozen=True, slots=True)
class Status:
    """The data keys, the newest first, and for each column the number of its values by data key."""

    keys: list[store.StoredKey]
    values: dict[EncryptedColumn, dict[UUID, int]]

    def is_complete(self, master_key_id: str) -> bool:
        """Tell whether the master key wraps all keys, and all values have a key made under it."""
        used = {key_id for counts in self.values.values() for key_id in counts}
        made = {key.id for key in self.keys if key.master_key_id == master_key_id}
        return (
            bool(made)
            and used <= made
            and all(master_key_id in key.wraps and key.id in made for key in self.keys)
        )


async def lock(connection: AsyncConnection) -> None:
    """Lock the rotation for this connection, which must be in autocommit mode.

    Raises:
        RotationError: another process holds the lock.
    """
    cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
    if await cursor.fetchone() != (True,):
        raise RotationError("Another process is rotating the keys. Wait until it has ended.")


async def rotate(
    connection: AsyncConnection,
    keys: MasterKeys,
    *,
    columns: Sequence[EncryptedColumn] = ENCRYPTED_COLUMNS,
    batch: int = BATCH,
) -> Result:
    """Wrap all data keys with the current master key, and encrypt all values with a data key made under it.

    The connection must be in autocommit mode: each batch is a transaction of its own.

    Raises:
        SettingsError: the master keys do not open a data key.
    """
    result = Result()
    async with connection.transaction():
        work = await _prepare(connection, keys, result)
    for column in columns:
        after = ""
        while True:
            async with connection.transaction():
                rows = await work.waiting(column, after, batch)
                await work.encrypt_again(column, rows)
            if not rows:
                break
            after = rows[-1][0]
    async with connection.transaction():
        await work.delete_unused(columns)
    return result


async def retire(connection: AsyncConnection, keys: MasterKeys, status: Status) -> int:
    """Delete what other master keys than the current one have wrapped; return the number of rows.

    Raises:
        RotationError: the rotation to the current master key is not complete.
    """
    if not status.is_complete(keys.current_id):
        raise RotationError(
            "The rotation to the current master key is not complete. Run `flotilla secrets rotate`."
        )
    return await store.delete_wraps(connection, except_master_key_id=keys.current_id)


async def status(
    connection: AsyncConnection, *, columns: Sequence[EncryptedColumn] = ENCRYPTED_COLUMNS
) -> Status:
    keys = await store.stored_keys(connection)
    return Status(
        keys, {column: await store.count_values(connection, column) for column in columns}
    )


async def _prepare(connection: AsyncConnection, keys: MasterKeys, result: Result) -> "_Work":
    """Wrap the data keys, and add one if none was made under the current master key."""
    await store.lock_first_key(connection)
    for stored in await store.stored_keys(connection):
        wraps = keys.wrap(vault.open_key(keys, stored).key)
        missing = {id_: wraps[id_] for id_ in wraps.keys() - stored.wraps.keys()}
        await store.insert_wraps(connection, key_id=stored.id, wraps=missing)
        result.rewrapped += keys.current_id in missing
    stored_keys = await store.stored_keys(connection)
    if not stored_keys or stored_keys[0].master_key_id != keys.current_id:
        await vault.add_key(connection, keys)
        stored_keys = await store.stored_keys(connection)
    known = {stored.id: vault.open_key(keys, stored) for stored in stored_keys}
    return _Work(connection, known[stored_keys[0].id], known, result)


@dataclass(frozen=True, slots=True)
class _Work:
    """Encryption of values with the newest data key."""

    connection: AsyncConnection
    newest: DataKey
    known: dict[UUID, DataKey]
    result: Result

    async def waiting(
        self, column: EncryptedColumn, after: str, limit: int
    ) -> list[tuple[str, bytes]]:
        """Return values that another data key encrypts, with their primary keys."""
        return await store.values_of_other_keys(
            self.connection, column, key_id=self.newest.id, after=after, limit=limit
        )

    async def encrypt_again(
        self, column: EncryptedColumn, rows: Sequence[tuple[str, bytes]]
    ) -> set[UUID]:
        """Encrypt values with the newest data key; return the data keys of those that failed."""
        needed: set[UUID] = set()
        for row, value in rows:
            place = Place(column, row)
            try:
                plain = envelope.decrypt(self._key_of(place, value), place, value)
            except DecryptionError as error:
                self.result.failures[place] = str(error)
                needed.add(UUID(bytes=value[1 : envelope.ID_END]))
                continue
            again = envelope.encrypt(self.newest, place, plain)
            await store.update_value(self.connection, column, row=row, value=again)
            self.result.encrypted += 1
        return needed

    async def delete_unused(self, columns: Sequence[EncryptedColumn]) -> None:
        """Delete the other data keys, except those of values that cannot be decrypted.

        A transaction that began before the newest data key may have encrypted a value with another
        one. The lock waits for it, and then its value is encrypted again.
        """
        others = await store.lock_keys(self.connection, except_id=self.newest.id)
        needed: set[UUID] = set()
        for column in columns:
            needed |= await self.encrypt_again(column, await self.waiting(column, "", 2**31))
        unused = [key_id for key_id in others if key_id not in needed]
        await store.delete_keys(self.connection, key_ids=unused)
        self.result.deleted = len(unused)

    def _key_of(self, place: Place, value: bytes) -> DataKey:
        key_id = envelope.key_id(place, value)
        if key_id not in self.known:
            raise DecryptionError(place, f"its data key {key_id} does not exist")
        return self.known[key_id]
