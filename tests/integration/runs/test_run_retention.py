"""Retention of runs and their output."""

from services.gateway import maintenance
from services.gateway.runs import store
from services.kit.database import pool as database
from services.kit.health import Health
from services.kit.settings import DatabaseSettings
from tests.fixtures.world import World


async def test_old_runs_go_with_their_output_and_unfinished_ones_stay(own_world: World) -> None:
    ((vps_id,),) = await own_world.sql(
        "WITH somebody AS (INSERT INTO users (username, password_hash, role)"
        " VALUES ('somebody', '', 'member') RETURNING id)"
        " INSERT INTO vps (user_id, name) SELECT id, 'box' FROM somebody RETURNING id"
    )
    await own_world.sql(
        "INSERT INTO runs (id, username, script, timeout_seconds, status, created_at)"
        " SELECT gen_random_uuid(), 'somebody', 'true', 60, status, now() - age FROM (VALUES"
        " ('finished', interval '91 days'), ('lost', interval '92 days'),"
        " ('failed', interval '93 days'), ('running', interval '94 days'),"
        " ('finished', interval '89 days')) old (status, age)"
    )
    await own_world.sql(
        "INSERT INTO run_servers (run_id, vps_id, status) SELECT id, %(vps)s, status FROM runs",
        vps=vps_id,
    )
    await own_world.sql(
        "INSERT INTO run_output (run_id, position, vps_id, stream, data)"
        " SELECT id, 0, %(vps)s, 'stdout', 'text' FROM runs",
        vps=vps_id,
    )
    deleted = []
    settings = own_world.settings(DatabaseSettings)
    async with database.open_pool(settings, Health("gateway"), size=1) as pool:
        for _ in range(3):
            async with database.transaction(pool) as connection:
                deleted.append(
                    await store.delete_old(connection, keep=maintenance.KEEP_RUNS, limit=2)
                )
    assert deleted == [2, 1, 0]
    assert await own_world.sql("SELECT status FROM runs ORDER BY created_at") == [
        ("running",),
        ("finished",),
    ]
    assert await own_world.sql("SELECT count(*) FROM run_output") == [(2,)]
