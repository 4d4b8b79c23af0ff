"""SQL of performance samples. Functions take the connection and never commit."""

from collections.abc import Iterable

from psycopg import AsyncConnection, sql

from services.ingest.store.rows import COLUMNS, TYPES, Row

# Built from constants of this package, never from received data.
_NAMES = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
_STAGE = sql.SQL(
    "CREATE TEMPORARY TABLE IF NOT EXISTS staged_performance ({}) ON COMMIT DELETE ROWS"
).format(
    sql.SQL(", ").join(
        [sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(TYPES[name])) for name in COLUMNS]
    )
)
_COPY = sql.SQL("COPY staged_performance ({}) FROM STDIN").format(_NAMES)
# Rows of unknown servers (deleted while their data was in flight) are left out.
_INSERT = sql.SQL(
    "INSERT INTO performance_metrics ({names})"
    " SELECT {names} FROM staged_performance"
    " WHERE EXISTS (SELECT FROM vps WHERE vps.id = staged_performance.vps_id)"
    " ON CONFLICT DO NOTHING"  # naming the columns would need the right to read them
).format(names=_NAMES)


async def insert_performance(connection: AsyncConnection, rows: Iterable[Row]) -> int:
    """Insert the rows that do not exist yet; return their number."""
    await create_stage(connection)
    cursor = connection.cursor()
    async with cursor.copy(_COPY) as copy:
        for row in rows:
            await copy.write_row(row)
    return await insert_staged(connection)


async def create_stage(connection: AsyncConnection) -> None:
    """Create the temporary table `staged_performance`, whose rows last until the commit."""
    await connection.execute(_STAGE)


async def insert_staged(connection: AsyncConnection) -> int:
    """Insert the staged rows that do not exist yet; return their number."""
    result = await connection.execute(_INSERT)
    return result.rowcount
