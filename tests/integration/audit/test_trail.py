"""The audit log delays no request, and nobody can fill it."""

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio
from pydantic import SecretStr

from services.kit.bus import audit, subjects
from services.kit.bus import connection as bus
from services.kit.settings import Settings
from tests.fixtures.metrics import metric
from tests.fixtures.waiting import until
from tests.fixtures.world import World


@pytest_asyncio.fixture(loop_scope="session")
async def connection(world: World) -> AsyncIterator[bus.Bus]:
    settings = world.settings(Settings)
    password = SecretStr(world.nats.passwords["shellproxy"])
    async with bus.connect(settings, subjects.User.SHELLPROXY, password, name="test") as connection:
        yield connection


def unstored(reason: str) -> float:
    return metric("flotilla_audit_unstored_total", reason=reason)


async def entries(world: World, actor: str) -> list[tuple[str, str, str, bool]]:
    return await world.sql(
        "SELECT action, detail, reason, allowed FROM audit_entries WHERE actor = %(actor)s"
        " ORDER BY time, reason",
        actor=actor,
    )


async def test_an_entry_of_any_service_is_stored_once_as_it_was_said(
    world: World, connection: bus.Bus
) -> None:
    actor = "agent:6d9f0bd0-0000-4000-8000-0000000000a1"
    path = "/srv/\x1b[31mred\x00\n" + "é" * 600
    for reason in ("", "not here"):
        await audit.record(
            connection,
            actor=actor,
            action="file.delete",
            object="vps:1",
            allowed=not reason,
            reason=reason,
            detail=path,
        )

    async def stored() -> bool:
        return len(await entries(world, actor)) == 2

    await until(stored)
    clean = (r"/srv/\x1b[31mred\x00\n" + "é" * 600)[: audit.MAX_TEXT]
    assert await entries(world, actor) == [
        ("file.delete", clean, "", True),
        ("file.delete", clean, "not here", False),
    ]


async def test_who_is_refused_time_after_time_does_not_fill_the_database(
    world: World, connection: bus.Bus
) -> None:
    actor, before = "user:6d9f0bd0-0000-4000-8000-0000000000a2", unstored("flood")
    limit = audit.REFUSALS_STORED
    for number in range(3 * limit):
        await audit.record(
            connection, actor=actor, action="vps.read", object="", allowed=False, detail=str(number)
        )
    await audit.record(connection, actor=actor, action="vps.create", object="", allowed=True)

    async def stored() -> bool:
        return ("vps.create", "", "", True) in await entries(world, actor)

    await until(stored)
    kept = len(await entries(world, actor)) - 1
    # The limit is per minute, and a minute may have ended in between.
    assert limit <= kept <= 2 * limit
    assert unstored("flood") - before == 3 * limit - kept


async def test_entries_beyond_the_queue_are_counted(own_world: World) -> None:
    settings = own_world.settings(Settings)
    password = SecretStr(own_world.nats.passwords["gateway"])
    async with bus.connect(settings, subjects.User.GATEWAY, password, name="test") as connection:
        audit_log, before = audit.AuditLog(connection), unstored("queue")
        for number in range(audit.QUEUE_LIMIT + 7):
            audit_log.record(actor=f"user:{number}", action="vps.read", allowed=True)
        assert unstored("queue") - before == 7
        async with audit_log.running():
            pass


async def test_the_entries_of_one_actor_do_not_displace_those_of_others(own_world: World) -> None:
    settings = own_world.settings(Settings)
    password = SecretStr(own_world.nats.passwords["gateway"])
    own_world.start("gateway")
    await own_world.ready("gateway")
    async with bus.connect(settings, subjects.User.GATEWAY, password, name="test") as connection:
        audit_log, before = audit.AuditLog(connection), unstored("queue")
        for _ in range(3 * audit.QUEUE_LIMIT):
            audit_log.record(actor="user:flood", action="file.list", allowed=True)
        audit_log.record(actor="user:other", action="file.list", allowed=True)
        assert unstored("queue") - before == 3 * audit.QUEUE_LIMIT - audit.QUEUE_SHARE
        async with audit_log.running():
            await until(lambda: not audit_log._waiting)
        audit_log.record(actor="user:flood", action="file.list", allowed=True)
        assert unstored("queue") - before == 3 * audit.QUEUE_LIMIT - audit.QUEUE_SHARE

    async def stored() -> bool:
        return len(await entries(own_world, "user:other")) == 1

    await until(stored)
    assert len(await entries(own_world, "user:flood")) == audit.QUEUE_SHARE


async def test_requests_are_answered_while_the_bus_is_away(own_world: World) -> None:
    own_world.start("gateway")
    await own_world.ready("gateway")
    user = await own_world.user("member")
    bus_away = unstored("bus")
    own_world.nats.kill()
    answers = await asyncio.gather(*(own_world.anonymous().get("/vps") for _ in range(20)))
    refused = await user.get("/audit")
    assert {answer.status_code for answer in answers} == {401}
    assert refused.status_code == 403
    await until(lambda: unstored("bus") > bus_away)
    await own_world.nats.start()

    async def stored_again() -> bool:
        await user.post("/vps", json={"name": "box"})
        return bool(await own_world.sql("SELECT 1 FROM audit_entries WHERE action = 'vps.create'"))

    await until(stored_again)
