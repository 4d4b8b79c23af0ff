"""If the bus or the database is away, services wait, report it and continue afterwards."""

import asyncio
from urllib.parse import urlsplit, urlunsplit

import grpc
from structlog.testing import capture_logs

from flotilla.v1.agent_pb2 import BatchAck
from services.kit.database.migrate import migrate, migrations
from services.kit.health import report
from tests.fixtures.waiting import until
from tests.fixtures.world import Gate, World


async def test_services_started_without_the_bus_wait_for_it(own_world: World) -> None:
    gate = Gate(own_world.nats.port)
    own_world.nats_url = f"nats://127.0.0.1:{gate.port}"
    with capture_logs() as logs:
        for name in ("edge", "writer", "gateway"):
            own_world.start(name)
        await until(lambda: sum(line["event"] == "bus_error" for line in logs) >= 3)
        assert all(own_world.running(name) for name in ("edge", "writer", "gateway"))
        await gate.open()
        await own_world.ready("edge", "writer", "gateway")
    agent = await own_world.enrolled(await own_world.user())
    await agent.connect()
    await agent.outcome(BatchAck.OUTCOME_DURABLE, await agent.report())
    await own_world.close()
    await gate.shut()


async def test_services_started_without_the_database_wait_for_it_and_survive_its_loss(
    own_world: World,
) -> None:
    url = urlsplit(own_world.database_url)
    gate = Gate(url.port or 5432)
    host = f"{url.username}:{url.password}@127.0.0.1:{gate.port}"
    own_world.service_database_url = urlunsplit(url._replace(netloc=host))
    with capture_logs() as logs:
        for name in ("edge", "writer", "gateway"):
            own_world.start(name)
        await until(lambda: any(line["event"] == "database_away" for line in logs))
        ready, told = report([own_world.health["writer"]])
        assert not ready
        assert "not connected" in str(told)
        assert all(own_world.running(name) for name in ("edge", "writer", "gateway"))
        await gate.open()
        await own_world.ready("edge", "writer", "gateway")
    user = await own_world.user()
    agent = await own_world.enrolled(user)
    await agent.connect()

    await gate.shut()
    sequence = await agent.report()
    await agent.outcome(BatchAck.OUTCOME_ACCEPTED, sequence)
    away = await user.get("/vps")
    assert away.status_code == 503
    assert away.headers["Retry-After"] == "5"
    await gate.open()
    await agent.outcome(BatchAck.OUTCOME_DURABLE, sequence)
    assert (await user.get("/vps")).status_code == 200
    await own_world.close()
    await gate.shut()


async def test_a_killed_bus_loses_nothing_that_was_accepted(own_world: World) -> None:
    await own_world.start_all()
    user = await own_world.user()
    agent = await own_world.enrolled(user)
    await agent.connect()
    accepted = []
    for _ in range(5):
        accepted.append(await agent.report())
        await agent.outcome(BatchAck.OUTCOME_ACCEPTED, accepted[-1])
        await asyncio.sleep(0.002)  # rows are keyed by the millisecond
    own_world.nats.kill()
    await agent.report()
    await own_world.nats.start()

    async def written() -> bool:
        return len(await own_world.rows(agent.vps_id)) >= len(accepted)

    await until(written, seconds=30)
    await own_world.ready("edge", "gateway")
    # The edge watches its bucket again, so it knows an agent that enrols now.
    late = await own_world.enrolled(user, "late")
    await late.connect()
    await late.outcome(BatchAck.OUTCOME_DURABLE, await late.report())


async def test_a_lost_agents_bucket_is_filled_again_when_a_gateway_starts(
    own_world: World,
) -> None:
    await own_world.start_all()
    agent = await own_world.enrolled(await own_world.user())
    await own_world.stop("gateway")
    await own_world.stop("edge")
    async with own_world.nats.client("provision") as client:
        await client.jetstream().delete_key_value("agents")
    await own_world.nats.provision()
    own_world.start("gateway")
    own_world.start("edge")
    await own_world.ready("gateway", "edge")

    async def known() -> bool:
        try:
            await agent.connect()
        except (AssertionError, grpc.aio.AioRpcError):
            return False
        return True

    await until(known)


async def test_migrating_again_or_twice_at_once_changes_nothing(database_url: str) -> None:
    assert await migrate(database_url) == []
    assert await asyncio.gather(*(migrate(database_url) for _ in range(3))) == [[], [], []]


async def test_two_migrations_of_an_empty_database_share_the_work(
    postgres_server: object, own_world: World
) -> None:
    await own_world.sql("DROP SCHEMA public CASCADE")
    await own_world.sql("CREATE SCHEMA public")
    await own_world.sql("CREATE EXTENSION IF NOT EXISTS timescaledb")
    first, second = await asyncio.gather(
        migrate(own_world.database_url), migrate(own_world.database_url)
    )
    assert sorted(first + second) == [name for name, _ in migrations()]
