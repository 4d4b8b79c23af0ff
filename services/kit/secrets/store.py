"""Queries for data keys and encrypted values. Functions never commit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from psycopg import AsyncConnection, sql

from services.kit.secrets.columns import EncryptedColumn
from services.kit.secrets.envelope import ID_END

FIRST_KEY_LOCK = 0x666C6F75  # for pg_advisory_xact_lock


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A data key as it is stored."""

    id: UUID
    master_key_id: str
    """The master key that was current when the data key was made."""
    created_at: datetime
    wraps: dict[str, bytes] = field(default_factory=dict, repr=False)
    """The wrapped data key, by the id of the master key."""


async def stored_keys(connection: AsyncConnection) -> list[StoredKey]:
    """Return all data keys, the newest first."""
    cursor = await connection.execute(
        "SELECT id, k.master_key_id, created_at, w.master_key_id, wrapped"
        " FROM data_keys k LEFT JOIN data_key_wraps w ON w.data_key_id = k.id"
        " ORDER BY created_at DESC, id, w.master_key_id"
    )
    keys: dict[UUID, StoredKey] = {}
    for id_, made_under, created_at, master_key_id, wrapped in await cursor.fetchall():
        key = keys.setdefault(id_, StoredKey(id_, made_under, created_at))
        if master_key_id is not None:
            key.wraps[master_key_id] = wrapped
    return list(keys.values())


async def newest_key(
    connection: AsyncConnection, *, master_key_ids: Sequence[str]
) -> tuple[UUID, str, bytes] | None:
    """Return id, master key and wrapped form of the newest data key that one of these can unwrap.

    The data key cannot be deleted before the end of the transaction.
    """
    cursor = await connection.execute(
        "SELECT id, w.master_key_id, wrapped"
        " FROM data_keys k JOIN data_key_wraps w ON w.data_key_id = k.id"
        " WHERE w.master_key_id = ANY(%(ids)s)"
        " ORDER BY created_at DESC, id LIMIT 1 FOR KEY SHARE OF k",
        {"ids": list(master_key_ids)},
    )
    return await cursor.fetchone()


async def wrap_of_key(
    connection: AsyncConnection, *, key_id: UUID, master_key_ids: Sequence[str]
) -> tuple[str, bytes] | None:
    """Return the master key and the wrapped form of a data key."""
    cursor = await connection.execute(
        "SELECT master_key_id, wrapped FROM data_key_wraps"
        " WHERE data_key_id = %(id)s AND master_key_id = ANY(%(ids)s) LIMIT 1",
        {"id": key_id, "ids": list(master_key_ids)},
    )
    return await cursor.fetchone()


async def lock_first_key(connection: AsyncConnection) -> None:
    """Let only one transaction at a time add the first data key."""
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", [FIRST_KEY_LOCK])


async def insert_key(connection: AsyncConnection, *, key_id: UUID, master_key_id: str) -> None:
    await connection.execute(
        "INSERT INTO data_keys (id, master_key_id) VALUES (%s, %s)", [key_id, master_key_id]
    )


async def insert_wraps(
    connection: AsyncConnection, *, key_id: UUID, wraps: Mapping[str, bytes]
) -> None:
    """Store the wrapped forms of a data key. Those that are stored already do not change."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO data_key_wraps (data_key_id, master_key_id, wrapped)"
            " VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            [(key_id, master_key_id, wrapped) for master_key_id, wrapped in wraps.items()],
        )


async def lock_keys(connection: AsyncConnection, *, except_id: UUID) -> list[UUID]:
    """Wait for transactions that encrypt with other data keys than this one, and return the others."""
    cursor = await connection.execute(
        "SELECT id FROM data_keys WHERE id <> %s ORDER BY id FOR UPDATE", [except_id]
    )
    return [id_ for (id_,) in await cursor.fetchall()]


async def delete_keys(connection: AsyncConnection, *, key_ids: Sequence[UUID]) -> None:
    await connection.execute("DELETE FROM data_keys WHERE id = ANY(%s)", [list(key_ids)])


async def delete_wraps(connection: AsyncConnection, *, except_master_key_id: str) -> int:
    """Delete what other master keys have wrapped; return the number of deleted rows."""
    cursor = await connection.execute(
        "DELETE FROM data_key_wraps WHERE master_key_id <> %s", [except_master_key_id]
    )
    return cursor.rowcount


async def values_of_other_keys(
    connection: AsyncConnection, column: EncryptedColumn, *, key_id: UUID, after: str, limit: int
) -> list[tuple[str, bytes]]:
    """Lock and return values that other data keys encrypt, by primary key, in its order as text."""
    statement = sql.SQL(
        "SELECT {key}::text, {column}::bytea FROM {table} WHERE {column} IS NOT NULL"
        " AND substring({column}::bytea FROM 2 FOR %(length)s) <> %(id)s"
        ' AND {key}::text COLLATE "C" > %(after)s'
        ' ORDER BY {key}::text COLLATE "C" LIMIT %(limit)s FOR NO KEY UPDATE'
    ).format(**_names(column))
    cursor = await connection.execute(
        statement,
        {"length": ID_END - 1, "id": key_id.bytes, "after": after, "limit": limit},
    )
    return await cursor.fetchall()


async def update_value(
    connection: AsyncConnection, column: EncryptedColumn, *, row: str, value: bytes
) -> None:
    statement = sql.SQL("UPDATE {table} SET {column} = %s WHERE {key}::text = %s")
    await connection.execute(statement.format(**_names(column)), [value, row])


async def count_values(connection: AsyncConnection, column: EncryptedColumn) -> dict[UUID, int]:
    """Return the number of values of a column by the data key that encrypts them."""
    statement = sql.SQL(
        "SELECT encode(substring({column}::bytea FROM 2 FOR %s), 'hex'), count(*) FROM {table}"
        " WHERE {column} IS NOT NULL GROUP BY 1"
    ).format(**_names(column))
    cursor = await connection.execute(statement, [ID_END - 1])
    return {UUID(hex=digits): number for digits, number in await cursor.fetchall()}


def _names(column: EncryptedColumn) -> dict[str, sql.Identifier]:
    names = {"table": column.table, "column": column.column, "key": column.key}
    return {name: sql.Identifier(value) for name, value in names.items()}
