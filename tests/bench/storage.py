"""Bytes of a row on both editions of TimescaleDB, before and after compression.

The same history of a few servers of the demo is written into both.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from deploy.local import processes
from deploy.local.settings import Settings
from services.ingest import compression
from services.kit.metrics.tiers import RAW_TABLE, TIERS
from tests.bench import own_stack
from tests.bench.tables import Table
from tests.demo import history
from tests.demo.profiles import profiles
from tests.fixtures import stack

SERVERS = 4
DAYS = 30  # of minutes; samples are kept for two days
TABLES = (RAW_TABLE, *(tier.table for tier in TIERS))
OWNER = "bench-storage"


@dataclass(frozen=True, slots=True)
class Stored:
    """Bytes per row of one table, with its indexes and TOAST."""

    table: str
    rows: int
    apache: float
    """On Debian's package, the Apache edition."""
    community: float
    """On the Community edition, before compression."""
    compressed: float


def measure(settings: Settings) -> list[Stored]:
    """Write the history into the database of a stack, and into one of the Community edition."""
    supervisor = own_stack.supervisor(settings)
    for program in ("agent", "rollup"):
        processes.stop_program(supervisor, program)
    apache = asyncio.run(_apache(settings.values["DATABASE_URL"]))
    with (
        tempfile.TemporaryDirectory(prefix="flotilla-community-") as folder,
        stack.community_engine(Path(folder)) as url,
    ):
        community = asyncio.run(_community(url))
    return [
        Stored(table, rows, apache[table], before / rows, after / rows)
        for table, (rows, before, after) in community.items()
    ]


async def _apache(url: str) -> dict[str, float]:
    """Return the bytes per row of each table."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        for table in TABLES:
            await connection.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(table)))
    await _fill(url)
    found = {}
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        for table in TABLES:
            cursor = await connection.execute(
                sql.SQL(
                    "SELECT sum(pg_total_relation_size(chunk))::float8 / (SELECT count(*) FROM {})"
                    " FROM show_chunks({}) AS chunk"
                ).format(sql.Identifier(table), sql.Literal(table))
            )
            row = await cursor.fetchone()
            assert row is not None
            found[table] = row[0]
    return found


async def _community(url: str) -> dict[str, tuple[int, int, int]]:
    """Return the rows of each table, and their bytes before and after compression."""
    await _fill(url)
    found = {}
    # Without prepared statements: all connections share one session of this engine.
    async with await psycopg.AsyncConnection.connect(
        url, autocommit=True, prepare_threshold=None
    ) as connection:
        await compression.enable(connection)
        for table in TABLES:
            rows = await _values(connection, "SELECT count(*) FROM {}", table)
            await _values(
                connection,
                "SELECT count(compress_chunk(chunk, if_not_compressed => true))"
                " FROM show_chunks({}) AS chunk",
                table,
                is_name=False,
            )
            before, after = await _values(
                connection,
                "SELECT before_compression_total_bytes, after_compression_total_bytes"
                " FROM hypertable_compression_stats({})",
                table,
                is_name=False,
            )
            found[table] = (rows[0], before, after)
    return found


async def _values(
    connection: psycopg.AsyncConnection, query: str, table: str, *, is_name: bool = True
) -> Sequence[int]:
    part = sql.Identifier(table) if is_name else sql.Literal(table)
    cursor = await connection.execute(sql.SQL(query).format(part))
    row = await cursor.fetchone()
    assert row is not None
    return [int(value) for value in row]


async def _fill(url: str) -> None:
    chosen = profiles()[:SERVERS]
    async with await psycopg.AsyncConnection.connect(
        url, autocommit=True, prepare_threshold=None
    ) as connection:
        cursor = await connection.execute(
            "WITH owner AS (INSERT INTO users (username, password_hash, role)"
            " VALUES (%(name)s, '!', 'member') RETURNING id)"
            " INSERT INTO vps (user_id, name) SELECT id, 'bench ' || n FROM owner,"
            " generate_series(1, %(count)s) AS n RETURNING id",
            {"name": OWNER, "count": SERVERS},
        )
        servers = list(zip(chosen, [row[0] for row in await cursor.fetchall()], strict=True))
    await history.fill(url, servers, days=DAYS, connections=1)


def table(found: Sequence[Stored]) -> Table:
    cells = [
        (
            *(row.table, f"{row.rows:,}"),
            *(f"{size:.0f}" for size in (row.apache, row.community, row.compressed)),
            f"{row.community / row.compressed:.1f}",
        )
        for row in found
    ]
    head = ("table", "rows", "Apache", "Community", "compressed", "ratio")
    return Table(f"Bytes per row, {SERVERS} servers, {DAYS} days", head, cells)
