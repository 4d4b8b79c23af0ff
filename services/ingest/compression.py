"""Compression of hypertables, where TimescaleDB's Community edition is installed."""

from datetime import timedelta

import structlog
from psycopg import AsyncConnection
from psycopg.rows import scalar_row

from services.kit.metrics.tiers import COARSE, MINUTE, RAW_TABLE, TRAFFIC

log = structlog.get_logger(__name__)

# Age at which a chunk is compressed. Agents keep unsent data for seven days. Data that arrives that
# late should rarely belong to a compressed chunk, because inserting into one decompresses it.
COMPRESS_AFTER = {
    RAW_TABLE: timedelta(hours=12),
    MINUTE.table: timedelta(days=8),
    TRAFFIC.table: timedelta(days=8),
    "docker_metrics": timedelta(hours=36),
    "generic_metrics": timedelta(days=8),
    **{tier.table: timedelta(days=30) for tier in COARSE},
}
# Column whose rows are stored together; the default is the server.
SEGMENTS = {"docker_metrics": "container_db_id", "generic_metrics": "series_id"}


async def enable(connection: AsyncConnection) -> list[str]:
    """Enable compression for each hypertable that lacks it; return their names."""
    if not await is_available(connection):
        return []
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "SELECT hypertable_name FROM timescaledb_information.hypertables"
            " WHERE NOT compression_enabled AND hypertable_name = ANY (%s)",
            [list(COMPRESS_AFTER)],
        )
        plain: list[str] = await cursor.fetchall()
    for table in plain:
        await connection.execute(
            "SELECT enable_compression(%s::regclass, %s, %s)",
            [table, SEGMENTS.get(table, "vps_id"), COMPRESS_AFTER[table]],
        )
        log.info("compression_enabled", table=table, after=str(COMPRESS_AFTER[table]))
    return plain


async def is_available(connection: AsyncConnection) -> bool:
    """Return True with the Community licence; the functions exist in both editions."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "SELECT coalesce(current_setting('timescaledb.license', true), '') = 'timescale'"
            " AND EXISTS (SELECT FROM pg_proc WHERE proname = 'add_compression_policy')"
        )
        return bool(await cursor.fetchone())
