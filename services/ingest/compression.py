"""Compression, where TimescaleDB's Community edition is found: the Apache edition has none."""

from datetime import timedelta

import structlog
from psycopg import AsyncConnection, sql
from psycopg.rows import scalar_row

from services.kit.tiers import COARSE, MINUTE, RAW_TABLE, TRAFFIC

log = structlog.get_logger(__name__)

# How old a chunk is compressed. An agent keeps what it could not send for seven days: what comes
# that late should seldom meet a compressed chunk, for which it would have to be taken apart.
AFTER = {
    RAW_TABLE: timedelta(hours=12),
    MINUTE.table: timedelta(days=8),
    TRAFFIC.table: timedelta(days=8),
    "docker_metrics": timedelta(hours=36),
    "generic_metrics": timedelta(days=8),
    **{tier.table: timedelta(days=30) for tier in COARSE},
}
# Whose rows lie together, where that is not a server.
_SEGMENTS = {"docker_metrics": "container_db_id", "generic_metrics": "series_id"}


async def switch_on(connection: AsyncConnection) -> list[str]:
    """Compress each hypertable that is not compressed yet; which those are."""
    if not await is_offered(connection):
        return []
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "SELECT hypertable_name FROM timescaledb_information.hypertables"
            " WHERE NOT compression_enabled AND hypertable_name = ANY (%s)",
            [list(AFTER)],
        )
        plain: list[str] = await cursor.fetchall()
    for table in plain:
        for statement in statements(table):
            await connection.execute(statement)
        log.info("compressed", table=table, after=str(AFTER[table]))
    return plain


async def is_offered(connection: AsyncConnection) -> bool:
    """The functions are there in both editions; the licence says whether they work."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "SELECT coalesce(current_setting('timescaledb.license', true), '') = 'timescale'"
            " AND EXISTS (SELECT FROM pg_proc WHERE proname = 'add_compression_policy')"
        )
        return bool(await cursor.fetchone())


def statements(table: str) -> list[sql.Composed]:
    return [
        sql.SQL(
            "ALTER TABLE {} SET (timescaledb.compress, timescaledb.compress_segmentby = {},"
            " timescaledb.compress_orderby = 'time')"
        ).format(sql.Identifier(table), sql.Literal(_SEGMENTS.get(table, "vps_id"))),
        sql.SQL(
            "SELECT add_compression_policy({}::regclass, compress_after => {}, if_not_exists => true)"
        ).format(sql.Literal(table), sql.Literal(AFTER[table])),
    ]
