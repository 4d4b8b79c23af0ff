"""The audit trail holds nobody up, and nobody can fill it."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from prometheus_client import REGISTRY
from pydantic import SecretStr

from services.kit import audit, bus, subjects
from services.kit.settings import Settings
from tests.fixtures.waiting import until
from tests.fixtures.world import World


@pytest_asyncio.fixture(loop_scope="session")
async def connection(world: World) -> AsyncIterator[bus.Bus]:
    settings = world.settings(Settings)
    password = SecretStr(world.nats.passwords["shellproxy"])
    async with bus.connect(settings, subjects.User.SHELLPROXY, password, name="test") as connection:
        yield connection


def unstored(reason: str) -> float:
    labels = {"reason": reason}
    return REGISTRY.get_sample_value("flotilla_audit_unstored_total", labels) or 0


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
    clean = ("/srv/\ufffd[31mred\ufffd\ufffd" + "é" * 600)[: audit.MAX_TEXT]
    assert await entries(world, actor) == [
        ("file.delete", clean, "", True),
        ("file.delete", clean, "not here", False),
    ]


async def test_who_is_refused_time_after_time_does_not_fill_the_database(
    world: World, connection: bus.Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "REFUSALS_STORED", 5)
    actor, before = "user:6d9f0bd0-0000-4000-8000-0000000000a2", unstored("flood")
    for number in range(50):
        await audit.record(
            connection, actor=actor, action="vps.read", object="", allowed=False, detail=str(number)
        )
    await audit.record(connection, actor=actor, action="vps.create", object="", allowed=True)

    async def stored() -> bool:
        return ("vps.create", "", "", True) in await entries(world, actor)

    await until(stored)
    kept = len(await entries(world, actor)) - 1
    # Twice as many where a minute ended meanwhile.
    assert kept in range(5, 11)
    assert unstored("flood") - before == 50 - kept


async def test_while_the_bus_is_away_nobody_waits_for_the_trail_and_what_is_lost_is_counted(
    own_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "STORE_TIMEOUT", 0.2)
    monkeypatch.setattr(audit, "QUEUE_LIMIT", 3)
    own_world.start("gateway")
    await own_world.ready("gateway")
    user = await own_world.user("member")
    bus_away, queue = unstored("bus"), unstored("queue")
    own_world.nats.kill()
    started = time.monotonic()
    answers = await asyncio.gather(*(own_world.anonymous().get("/vps") for _ in range(20)))
    refused = await user.get("/audit")
    assert time.monotonic() - started < 3
    assert {answer.status_code for answer in answers} == {401}
    assert refused.status_code == 403
    await until(lambda: unstored("bus") > bus_away)
    assert unstored("queue") > queue
    await own_world.nats.start()

    async def stored_again() -> bool:
        await user.post("/vps", json={"name": "box"})
        return bool(await own_world.sql("SELECT 1 FROM audit_entries WHERE action = 'vps.create'"))

    await until(stored_again)
