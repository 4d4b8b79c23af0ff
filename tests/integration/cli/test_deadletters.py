"""The commands `flotilla dlq …`, as an operator uses them."""

import json
import os
from typing import Any

import pytest

from services.cli import deadletters
from services.kit.bus.subjects import Stream
from tests.fixtures.waiting import until
from tests.fixtures.world import World
from tests.integration.cli.test_command import run


async def poison(world: World, *names: str) -> list[str]:
    """Publish invalid messages; return the numbers of their dead letters."""
    async with world.nats.client("edge") as edge:
        for name in names:
            headers = {"Flotilla-Type": "flotilla.v1.PerformanceSnapshotBatch"}
            subject = f"flotilla.telemetry.{name}.performance"
            await edge.jetstream().publish(subject, b"\xff", headers=headers)

    async def listed() -> list[str] | None:
        found = await numbers(world)
        return [found[name] for name in names] if found.keys() >= set(names) else None

    return await until(listed) or []


async def numbers(world: World) -> dict[str, str]:
    """Return the numbers of dead letters by the server id in their subject."""
    code, out, _ = await run(world.environment(), "dlq", "list", "--limit", "1000")
    assert code == 0
    lines = [line.split() for line in out.splitlines() if not line.startswith("there are no")]
    return {origin.split(".")[2]: number for number, origin, *_ in lines}


@pytest.fixture
def name() -> str:
    return os.urandom(4).hex()


async def test_one_is_listed_shown_and_dropped(world: World, name: str) -> None:
    (number,) = await poison(world, name)

    code, out, _ = await run(world.environment(), "dlq", "show", number)
    assert code == 0
    shown = json.loads(out)
    assert shown["subject"] == f"flotilla.telemetry.{name}.performance"
    assert shown["reason"] == f"PoisonError: {name} is not the id of a server."
    assert shown["payload"] == "/w=="

    code, out, _ = await run(world.environment(), "dlq", "drop", number)
    assert (code, out) == (0, "1 dropped\n")
    assert name not in await numbers(world)
    code, _, err = await run(world.environment(), "dlq", "show", number)
    assert code == 2
    assert f"There is no dead letter {number}" in err


async def test_all_are_replayed_once_and_then_dropped(own_world: World, name: str) -> None:
    own_world.start("writer")
    await own_world.ready("writer")
    before = await poison(own_world, name, f"{name}-2")

    code, out, _ = await run(own_world.environment(), "dlq", "replay", "--all")
    assert (code, out) == (0, "2 replayed\n")

    async def back() -> list[str] | None:
        found = list((await numbers(own_world)).values())
        return found if len(found) == 2 else None

    again = await until(back) or []
    assert not set(again) & set(before)
    assert await run(own_world.environment(), "dlq", "drop", "--all") == (0, "2 dropped\n", "")
    code, out, _ = await run(own_world.environment(), "dlq", "list")
    assert (code, out) == (0, "there are no dead letters\n")


async def test_a_listing_is_cut_and_says_how_to_go_on(own_world: World, name: str) -> None:
    own_world.start("writer")
    await own_world.ready("writer")
    first, second = await poison(own_world, name, f"{name}-2")

    code, out, _ = await run(own_world.environment(), "dlq", "list", "--limit", "1")
    lines = out.splitlines()
    assert code == 0
    assert lines[0].split()[0] == first
    assert lines[1] == f"… more: flotilla dlq list --after {int(second) - 1}"
    code, out, _ = await run(own_world.environment(), *lines[1].split()[3:])
    assert [line.split()[0] for line in out.splitlines()] == [second]


async def test_replay_and_drop_of_nothing_in_particular_are_refused(world: World) -> None:
    for action in ("replay", "drop"):
        code, _, err = await run(world.environment(), "dlq", action)
        assert code == 2
        assert "--all" in err


async def test_a_dead_letter_is_sent_again_and_dropped(world: World) -> None:
    async with world.nats.client("edge") as edge:
        await edge.jetstream().publish("flotilla.telemetry.nobody.performance", b"\xff")

    async with world.nats.client("repair") as repair:
        jetstream = repair.jetstream()

        async def letters() -> Any:
            found = [entry async for entry in deadletters.entries(jetstream, after=0)]
            return [entry for entry in found if ".nobody." in entry.origin] or None

        (first,) = await until(letters)
        await deadletters.replay(jetstream, first)
        (again,) = await until(letters)
        assert again.sequence > first.sequence
        assert "nobody is not the id of a server" in again.reason
        await jetstream.delete_msg(Stream.DEADLETTERS, again.sequence)
        with pytest.raises(deadletters.NoSuchEntryError):
            await deadletters.one(jetstream, again.sequence)
