"""The writer's SQL. Functions take the connection and never commit."""

from collections.abc import Iterable

from psycopg import AsyncConnection, sql

from services.ingest.rows import COLUMNS, TYPES, Row

# Built from this package's own constants, never from what was received.
_NAMES = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
_STAGE = sql.SQL(
    "CREATE TEMPORARY TABLE IF NOT EXISTS staged_performance ({}) ON COMMIT DELETE ROWS"
).format(
    sql.SQL(", ").join(
        [sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(TYPES[name])) for name in COLUMNS]
    )
)
_COPY = sql.SQL("COPY staged_performance ({}) FROM STDIN").format(_NAMES)
# Unknown servers (deleted while their data was under way) are left out.
_INSERT = sql.SQL(
    "INSERT INTO performance_metrics ({names})"
    " SELECT {names} FROM staged_performance"
    " WHERE EXISTS (SELECT FROM vps WHERE vps.id = staged_performance.vps_id)"
    " ON CONFLICT (vps_id, time) DO NOTHING"
).format(names=_NAMES)


async def insert_performance(connection: AsyncConnection, rows: Iterable[Row]) -> int:
    """Insert the rows that are not there yet; how many those were."""
    await connection.execute(_STAGE)
    cursor = connection.cursor()
    async with cursor.copy(_COPY) as copy:
        for row in rows:
            await copy.write_row(row)
    result = await connection.execute(_INSERT)
    return result.rowcount
