"""Secrets in a real database: where they open, and what a rotation does with them."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import psycopg
import pytest
import pytest_asyncio
from psycopg import AsyncConnection
from pydantic import SecretBytes, SecretStr

from services.kit.errors import SettingsError
from services.kit.secrets import rotation, store, vault
from services.kit.secrets.columns import ENCRYPTED_COLUMNS, EncryptedColumn
from services.kit.secrets.envelope import DecryptionError
from services.kit.secrets.master_keys import MasterKeys
from tests.fixtures.waiting import until

COLUMN = EncryptedColumn("channels", "password", "id")
OTHER = EncryptedColumn("vendors", "token", "name")
COLUMNS = (COLUMN, OTHER)


def new_key() -> SecretStr:
    return SecretStr(base64.b64encode(os.urandom(32)).decode())


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[AsyncConnection]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        yield connection


@pytest_asyncio.fixture(loop_scope="session")
async def db(database_url: str) -> AsyncIterator[AsyncConnection]:
    async with connect(database_url) as connection:
        await connection.execute(
            "CREATE TABLE channels (id integer PRIMARY KEY, password encrypted)"
        )
        await connection.execute(
            "CREATE TABLE vendors (name text PRIMARY KEY, token encrypted NOT NULL)"
        )
        yield connection


async def put(
    db: AsyncConnection, keys: MasterKeys, column: EncryptedColumn, row: object, value: str
) -> None:
    async with db.transaction():
        place, plain = column.row(row), SecretBytes(value.encode())
        encrypted = await vault.encrypt(db, keys, place, plain)
        statement = f"INSERT INTO {column.table} VALUES (%s, %s)"
        await db.execute(statement.encode(), [row, encrypted])


async def get(db: AsyncConnection, keys: MasterKeys, column: EncryptedColumn, row: object) -> str:
    statement = f"SELECT {column.column} FROM {column.table} WHERE {column.key} = %s"
    cursor = await db.execute(statement.encode(), [row])
    found = await cursor.fetchone()
    assert found is not None
    value = await vault.decrypt(db, keys, column.row(row), found[0])
    return value.get_secret_value().decode()


async def filled(db: AsyncConnection, keys: MasterKeys) -> None:
    await vault.check_keys(db, keys)
    for number in range(25):
        await put(db, keys, COLUMN, number, f"password {number}")
    for name in ("a", "b", "é"):
        await put(db, keys, OTHER, name, f"token {name}")
    await db.execute("INSERT INTO channels VALUES (99, NULL)")


async def all_open(db: AsyncConnection, keys: MasterKeys) -> None:
    for number in range(25):
        assert await get(db, keys, COLUMN, number) == f"password {number}"
    for name in ("a", "b", "é"):
        assert await get(db, keys, OTHER, name) == f"token {name}"


async def test_every_encrypted_column_of_the_schema_is_registered(database_url: str) -> None:
    async with connect(database_url) as db:
        cursor = await db.execute(
            "SELECT c.table_name, c.column_name, k.column_name FROM information_schema.columns c"
            " LEFT JOIN (information_schema.table_constraints t"
            " JOIN information_schema.key_column_usage k USING (constraint_name, table_name))"
            " ON t.table_name = c.table_name AND t.constraint_type = 'PRIMARY KEY'"
            " WHERE c.domain_name = 'encrypted' ORDER BY 1, 2"
        )
        schema = await cursor.fetchall()
    registered = [(column.table, column.column, column.key) for column in ENCRYPTED_COLUMNS]
    assert sorted(registered) == schema


async def test_the_database_refuses_a_value_that_is_not_encrypted(db: AsyncConnection) -> None:
    for plain in (b"", b"password", b"p" * 100, b"\x01" * 44):
        with pytest.raises(psycopg.errors.CheckViolation):
            await db.execute("INSERT INTO channels VALUES (1, %s)", [plain])


async def test_a_value_opens_only_in_its_own_row_and_column(db: AsyncConnection) -> None:
    keys = MasterKeys(new_key())
    await vault.check_keys(db, keys)
    await put(db, keys, COLUMN, 1, "first")
    await put(db, keys, COLUMN, 2, "second")
    assert await get(db, keys, COLUMN, 1) == "first"

    await db.execute(
        "UPDATE channels SET password = (SELECT password FROM channels WHERE id = 1) WHERE id = 2"
    )
    await db.execute("INSERT INTO vendors SELECT '1', password FROM channels WHERE id = 1")
    with pytest.raises(DecryptionError, match="row 2"):
        await get(db, keys, COLUMN, 2)
    with pytest.raises(DecryptionError, match="row 1"):
        await get(db, keys, OTHER, "1")
    assert await get(db, keys, COLUMN, 1) == "first"


async def test_two_services_that_start_at_once_make_one_data_key(database_url: str) -> None:
    keys = MasterKeys(new_key())

    async def start() -> None:
        async with connect(database_url) as db, db.transaction():
            await vault.check_keys(db, keys)

    await asyncio.gather(*(start() for _ in range(8)))
    async with connect(database_url) as db:
        assert len(await store.stored_keys(db)) == 1


async def test_another_master_key_is_refused_by_name(db: AsyncConnection) -> None:
    right, wrong = MasterKeys(new_key()), MasterKeys(new_key())
    await filled(db, right)
    with pytest.raises(SettingsError, match="FLOTILLA_MASTER_KEY") as raised:
        await vault.check_keys(db, wrong)
    assert wrong.current_id in str(raised.value)
    assert right.current_id in str(raised.value)
    with pytest.raises(DecryptionError, match="no master key"):
        await get(db, wrong, COLUMN, 1)
    with pytest.raises(SettingsError):
        await rotation.rotate(db, wrong, columns=COLUMNS)
    await all_open(db, right)


async def test_a_rotation_encrypts_everything_with_a_new_data_key(db: AsyncConnection) -> None:
    first, second = new_key(), new_key()
    old, both, new = MasterKeys(first), MasterKeys(second, first), MasterKeys(second)
    await filled(db, old)
    (before,) = await store.stored_keys(db)

    result = await rotation.rotate(db, both, columns=COLUMNS, batch=4)

    (after,) = await store.stored_keys(db)
    assert (result.rewrapped, result.encrypted, result.deleted) == (1, 28, 1)
    assert result.failures == {}
    assert before.id != after.id
    # Services with either setting read and write until the previous master key is retired.
    for keys in (old, both, new):
        await all_open(db, keys)
        await put(db, keys, COLUMN, f"10{len(keys.ids)}{keys is new:d}", "more")
    status = await rotation.status(db, columns=COLUMNS)
    assert status.values == {COLUMN: {after.id: 28}, OTHER: {after.id: 3}}
    assert status.is_complete(new.current_id)
    assert not status.is_complete(old.current_id)

    assert await rotation.retire(db, new, status) == 1
    await all_open(db, new)
    await vault.check_keys(db, new)
    with pytest.raises(SettingsError):
        await vault.check_keys(db, old)


async def test_a_rotation_that_is_repeated_changes_nothing(db: AsyncConnection) -> None:
    first = new_key()
    both = MasterKeys(new_key(), first)
    await filled(db, MasterKeys(first))
    await rotation.rotate(db, both, columns=COLUMNS)
    keys = await store.stored_keys(db)
    values = await (await db.execute("SELECT password FROM channels ORDER BY id")).fetchall()

    again = await rotation.rotate(db, both, columns=COLUMNS)

    assert again == rotation.Result()
    assert await store.stored_keys(db) == keys
    cursor = await db.execute("SELECT password FROM channels ORDER BY id")
    assert await cursor.fetchall() == values


async def test_a_rotation_continues_where_it_was_interrupted(
    db: AsyncConnection, database_url: str
) -> None:
    first = new_key()
    old, both = MasterKeys(first), MasterKeys(new_key(), first)
    await filled(db, old)
    # The trigger ends the connection in the third batch, as a killed process would.
    await db.execute(
        "CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$"
    )
    await db.execute(
        "CREATE TRIGGER stop BEFORE UPDATE ON channels FOR EACH ROW WHEN (NEW.id = 19)"
        " EXECUTE FUNCTION stop()"
    )
    with pytest.raises(psycopg.OperationalError):
        async with connect(database_url) as other:
            await rotation.rotate(other, both, columns=COLUMNS, batch=4)
    await db.execute("DROP TRIGGER stop ON channels")
    for keys in (old, both):
        await all_open(db, keys)
    counts = (await rotation.status(db, columns=COLUMNS)).values[COLUMN]
    done = 25 - counts[(await store.stored_keys(db))[-1].id]
    assert 0 < done < 25
    assert not (await rotation.status(db, columns=COLUMNS)).is_complete(both.current_id)
    with pytest.raises(rotation.RotationError, match="not complete"):
        await rotation.retire(db, both, await rotation.status(db, columns=COLUMNS))

    result = await rotation.rotate(db, both, columns=COLUMNS, batch=4)

    assert (result.encrypted, result.deleted, result.failures) == (28 - done, 1, {})
    await all_open(db, both)
    assert (await rotation.status(db, columns=COLUMNS)).is_complete(both.current_id)


async def test_a_value_that_does_not_open_is_reported_and_keeps_its_key(
    db: AsyncConnection,
) -> None:
    first = new_key()
    both = MasterKeys(new_key(), first)
    await filled(db, MasterKeys(first))
    await db.execute(
        "UPDATE channels SET password = (SELECT password FROM channels WHERE id = 0) WHERE id = 7"
    )

    for encrypted in (27, 0):
        result = await rotation.rotate(db, both, columns=COLUMNS, batch=4)
        assert result.encrypted == encrypted
        assert result.deleted == 0
        assert list(result.failures) == [COLUMN.row(7)]

    assert await get(db, both, COLUMN, 8) == "password 8"
    await db.execute("DELETE FROM channels WHERE id = 7")
    assert (await rotation.rotate(db, both, columns=COLUMNS)).deleted == 1
    assert (await rotation.status(db, columns=COLUMNS)).is_complete(both.current_id)


async def test_a_value_written_during_a_rotation_is_not_lost(
    db: AsyncConnection, database_url: str
) -> None:
    first = new_key()
    old, both = MasterKeys(first), MasterKeys(new_key(), first)
    await filled(db, old)
    async with connect(database_url) as writer:
        # The service has chosen the old data key, but commits only when the rotation is at its end.
        async with writer.transaction():
            value = await vault.encrypt(writer, old, COLUMN.row(50), SecretBytes(b"late"))
            rotating = asyncio.create_task(rotation.rotate(db, both, columns=COLUMNS))
            async with connect(database_url) as watcher:
                await until(lambda: waiting_for_lock(watcher), otherwise="nothing waits")
            await writer.execute("INSERT INTO channels VALUES (50, %s)", [value])
        result = await rotating
    assert (result.encrypted, result.deleted) == (29, 1)
    assert await get(db, both, COLUMN, 50) == "late"


async def waiting_for_lock(watcher: AsyncConnection) -> bool:
    cursor = await watcher.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event_type = 'Lock'"
    )
    return await cursor.fetchone() == (1,)


async def test_two_rotations_do_not_run_at_once(db: AsyncConnection, database_url: str) -> None:
    await rotation.lock(db)
    async with connect(database_url) as other:
        with pytest.raises(rotation.RotationError, match="Another process"):
            await rotation.lock(other)


async def test_the_ids_of_data_keys_are_random(db: AsyncConnection) -> None:
    keys = MasterKeys(new_key())
    await vault.check_keys(db, keys)
    (key,) = await store.stored_keys(db)
    assert UUID(str(key.id)).version == 4
    assert "wrap" not in repr(key)
