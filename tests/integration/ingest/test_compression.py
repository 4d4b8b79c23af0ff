"""Compression on TimescaleDB's Community edition: what is stored stays, and takes less space."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest_asyncio

from services.ingest import compression
from services.ingest.store import performance
from services.ingest.store import rollup as rollup_store
from services.ingest.store.rows import COLUMNS
from services.kit.database import pool as database
from services.kit.database import roles
from services.kit.metrics.tiers import MINUTE, RAW_TABLE, TIERS
from tests.fixtures.rollup_database import Rig, Sample, ago, difference, rig, rolled, sample

NOW = datetime.now(UTC)
EVERY = timedelta(seconds=10)
ROWS_AT_ONCE = 100  # this engine fails on messages of about 64 kB
SMALLEST_RATIO = 1.5  # bytes before to bytes after; a chunk with few rows compresses little


@pytest_asyncio.fixture(loop_scope="session")
async def rolling(community_url: str) -> AsyncIterator[Rig]:
    async with rig(community_url, size=1) as made:
        yield made
        for table in compression.COMPRESS_AFTER:
            await made.sql(f"TRUNCATE {table}")
        await made.sql("TRUNCATE late_minutes, late_buckets")
        await made.sql("DELETE FROM vps")
        # All connections share one session of this engine, with its prepared statements.
        await made.sql("DEALLOCATE ALL")


def measured(vps_id: UUID, start: datetime, count: int) -> list[Sample]:
    return [
        sample(
            vps_id,
            start + number * EVERY,
            cpu_usage=float(number % 50),
            mem_used=2**30 + number % 7,
            net_rx_total=number * 1000,
        )
        for number in range(count)
    ]


async def store(rolling: Rig, samples: list[Sample]) -> int:
    """Store samples like the writer, but without COPY, which this engine lacks; count new rows."""
    async with database.transaction(rolling.pool) as connection:
        await performance.create_stage(connection)
        for start in range(0, len(samples), ROWS_AT_ONCE):
            await connection.execute(
                "INSERT INTO staged_performance"
                " SELECT * FROM jsonb_populate_recordset(NULL::staged_performance, %s::jsonb)",
                [json.dumps(samples[start : start + ROWS_AT_ONCE], default=str)],
            )
        new = await performance.insert_staged(connection)
        rows = [tuple(row.get(name) for name in COLUMNS) for row in samples]
        await rollup_store.record_late_minutes(connection, rows=rows)
        return new


async def enable(rolling: Rig) -> list[str]:
    async with database.transaction(rolling.pool) as connection:
        return await compression.enable(connection)


async def compress(rolling: Rig, table: str) -> float:
    """Compress all chunks of a table; return how many times smaller they became."""
    await rolling.sql(
        "SELECT compress_chunk(chunk, if_not_compressed => true)"
        " FROM show_chunks(%(table)s::regclass) chunk",
        table=table,
    )
    ((before, after),) = await rolling.sql(
        "SELECT before_compression_total_bytes, after_compression_total_bytes"
        " FROM hypertable_compression_stats(%(table)s::regclass)",
        table=table,
    )
    return float(before) / float(after)


async def test_every_table_is_compressed_and_enabling_it_twice_changes_nothing(
    rolling: Rig,
) -> None:
    async with database.transaction(rolling.pool) as connection:
        assert await compression.is_available(connection)
    await enable(rolling)
    assert await enable(rolling) == []
    policies = await rolling.sql(
        "SELECT hypertable_name, config->>'compress_after' FROM timescaledb_information.jobs"
        " WHERE proc_name IN ('policy_compression', 'policy_columnstore')"
    )
    assert {table for table, _ in policies} == set(compression.COMPRESS_AFTER)
    assert len(policies) == len(compression.COMPRESS_AFTER)


async def test_compressed_rows_are_the_same_and_smaller(rolling: Rig) -> None:
    await enable(rolling)
    start = ago(NOW, days=2)
    samples = [row for vps_id in await rolling.vps(3) for row in measured(vps_id, start, 1_000)]
    assert await store(rolling, samples) == len(samples)
    await rolling.rollup.catch_up()
    before = {table: await rolling.table(table) for table in (RAW_TABLE, MINUTE.table)}

    ratios = {table: await compress(rolling, table) for table in before}

    for table, rows in before.items():
        assert await rolling.table(table) == rows
        assert ratios[table] > SMALLEST_RATIO, ratios


async def test_late_rows_reach_compressed_chunks_once_and_are_compressed_again(
    rolling: Rig,
) -> None:
    await enable(rolling)
    start = ago(NOW, days=2)
    first, second = await rolling.vps(2)
    samples = [row for vps_id in (first, second) for row in measured(vps_id, start, 300)]
    early = [row for number, row in enumerate(samples) if number % 3]
    await store(rolling, early)
    await rolling.rollup.catch_up()
    for table in (RAW_TABLE, *(tier.table for tier in TIERS)):
        await compress(rolling, table)

    # Samples that are stored arrive again, as after a lost acknowledgement.
    assert await store(rolling, samples) == len(samples) - len(early)
    assert await store(rolling, samples) == 0
    await rolling.rollup.catch_up()
    for tier in TIERS:
        assert not difference(await rolling.table(tier.table), rolled(samples, tier)), tier.name
        await compress(rolling, tier.table)
        assert not difference(await rolling.table(tier.table), rolled(samples, tier)), tier.name
    await compress(rolling, RAW_TABLE)
    assert len(await rolling.table(RAW_TABLE)) == len(samples)
    loose = await rolling.sql(
        "SELECT chunk_name FROM timescaledb_information.chunks"
        " WHERE hypertable_name = %(table)s AND NOT is_compressed",
        table=RAW_TABLE,
    )
    assert loose == []


async def test_the_policy_compresses_old_chunks_and_leaves_new_ones(rolling: Rig) -> None:
    await enable(rolling)
    (vps_id,) = await rolling.vps()
    await store(rolling, measured(vps_id, ago(NOW, days=3), 50))
    await store(rolling, measured(vps_id, NOW - timedelta(minutes=30), 50))
    ((job,),) = await rolling.sql(
        "SELECT job_id FROM timescaledb_information.jobs WHERE hypertable_name = %(table)s"
        " AND proc_name IN ('policy_compression', 'policy_columnstore')",
        table=RAW_TABLE,
    )

    async with rolling.pool.connection() as connection:
        await connection.rollback()  # end the transaction that the pool began
        await connection.set_autocommit(True)
        await connection.execute(f"CALL run_job({job})")
        await connection.set_autocommit(False)

    chunks = await rolling.sql(
        "SELECT is_compressed, range_end < now() - interval '12 hours'"
        " FROM timescaledb_information.chunks WHERE hypertable_name = %(table)s",
        table=RAW_TABLE,
    )
    assert {is_compressed for is_compressed, _ in chunks} == {True, False}
    assert all(is_compressed == is_old for is_compressed, is_old in chunks), chunks


async def test_retention_drops_compressed_chunks(rolling: Rig) -> None:
    await enable(rolling)
    (vps_id,) = await rolling.vps()
    await store(rolling, measured(vps_id, ago(NOW, days=5), 50))
    recent = measured(vps_id, ago(NOW, hours=4), 50)
    await store(rolling, recent)
    await rolling.rollup.catch_up()
    await compress(rolling, RAW_TABLE)

    await rolling.keeping(keep_raw_hours=48).catch_up()

    kept = [row["time"] for row in await rolling.table(RAW_TABLE)]
    assert kept == [row["time"] for row in recent]


@pytest_asyncio.fixture(loop_scope="session")
async def with_roles(rolling: Rig) -> AsyncIterator[Rig]:
    """Roles of the writer and the rollup. All connections share one session, and so its role."""
    await rolling.sql("DROP TABLE IF EXISTS staged_performance")  # belongs to another role
    async with database.transaction(rolling.pool) as connection:
        for service in ("writer", "rollup"):
            login = roles.Login(service, f"flotilla_{service}", "x" * 40)
            await roles._apply(connection, login)
    yield rolling
    await rolling.sql("RESET ROLE")
    await rolling.sql("DROP TABLE IF EXISTS staged_performance")


async def test_writer_and_rollup_need_no_more_rights_for_compressed_chunks(
    with_roles: Rig,
) -> None:
    rolling = with_roles
    await rolling.sql("SET ROLE flotilla_rollup")
    await enable(rolling)
    start = ago(NOW, days=5)
    await rolling.sql("RESET ROLE")
    (vps_id,) = await rolling.vps()
    samples = measured(vps_id, start, 120)
    for part in (samples[::2], samples[1::2]):  # the second is late, for compressed chunks
        await rolling.sql("SET ROLE flotilla_writer")
        assert await store(rolling, part) == len(part)
        await rolling.sql("SET ROLE flotilla_rollup")
        await rolling.rollup.catch_up()
        await rolling.sql("RESET ROLE")
        for table in (RAW_TABLE, MINUTE.table):
            await compress(rolling, table)
    for tier in TIERS:
        assert not difference(await rolling.table(tier.table), rolled(samples, tier)), tier.name

    await rolling.sql("SET ROLE flotilla_rollup")
    await rolling.keeping(keep_raw_hours=48).catch_up()
    await rolling.sql("RESET ROLE")
    assert await rolling.table(RAW_TABLE) == []
