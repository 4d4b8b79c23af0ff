"""Misbehaviour of agents is refused and counted. It stores nothing and affects no other agent."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest

from flotilla.v1.agent_pb2 import BatchAck, HostFacts, MessageToServer
from flotilla.v1.metrics_pb2 import DiskUsage, PerformanceSnapshotBatch
from services.ingest.edge.timing import EdgeTiming
from tests.fixtures.metrics import metric
from tests.fixtures.scripted_agent import ScriptedAgent, now_ms, snapshot
from tests.fixtures.waiting import until
from tests.fixtures.world import World

Code = grpc.StatusCode


def refusals(reason: str) -> float:
    return metric("flotilla_edge_refusals_total", reason=reason)


async def test_an_unknown_agent_is_refused(world: World) -> None:
    before = refusals("unknown-agent")
    agent = world.agent()
    agent.vps_id = "6d9f0bd0-0000-4000-8000-000000000000"
    await agent.challenged()
    await agent.send(MessageToServer(handshake=agent.handshake()))

    assert (await agent.ended())[0] is Code.UNAUTHENTICATED
    assert refusals("unknown-agent") == before + 1


async def test_a_signature_by_another_key_is_refused(world: World) -> None:
    before = refusals("bad-signature")
    agent = await world.enrolled(await world.user())
    thief = world.agent()
    thief.vps_id = agent.vps_id
    await thief.challenged()
    await thief.send(MessageToServer(handshake=thief.handshake()))

    assert (await thief.ended())[0] is Code.UNAUTHENTICATED
    assert refusals("bad-signature") == before + 1


async def test_a_signature_of_an_earlier_challenge_is_refused(world: World) -> None:
    agent = await world.enrolled(await world.user())
    earlier = await agent.challenged()
    replayed = agent.handshake(nonce=earlier)
    await agent.close()
    again = world.agent()
    assert await again.challenged() != earlier
    await again.send(MessageToServer(handshake=replayed))

    assert (await again.ended())[0] is Code.UNAUTHENTICATED


async def test_the_first_message_must_answer_the_challenge(world: World) -> None:
    agent = await world.enrolled(await world.user())
    await agent.challenged()
    await agent.report()

    assert (await agent.ended())[0] is Code.INVALID_ARGUMENT
    assert await world.rows(agent.vps_id) == []


async def test_a_disabled_agent_is_refused_and_its_open_stream_ends_at_once(world: World) -> None:
    user = await world.user()
    agent = await world.enrolled(user)
    await agent.connect()
    assert (await user.delete(f"/vps/{agent.vps_id}")).status_code == 204

    assert (await agent.ended())[0] is Code.PERMISSION_DENIED
    await agent.challenged()
    await agent.send(MessageToServer(handshake=agent.handshake()))
    assert (await agent.ended())[0] is Code.UNAUTHENTICATED


async def test_a_second_stream_of_an_agent_replaces_the_first(world: World) -> None:
    first = await world.enrolled(await world.user())
    await first.connect()
    second = world.agent()
    second.vps_id, second.key = first.vps_id, first.key
    await second.connect()

    assert (await first.ended())[0] is Code.ABORTED
    await second.outcome(BatchAck.OUTCOME_DURABLE, await second.report())


@pytest.mark.parametrize(
    "facts",
    [
        HostFacts(os_id="debian", hostname="a\0b"),
        HostFacts(os_id="debian", cpu_model="a" * 600),
        HostFacts(os_id="debian", boot_time_unix_s=1 << 60),
        HostFacts(os_id="debian", memory_total_bytes=(1 << 64) - 1),
    ],
)
async def test_a_fact_that_cannot_be_stored_does_not_keep_the_agent_away(
    world: World, facts: HostFacts
) -> None:
    user = await world.user()
    agent = await world.enrolled(user)
    await agent.challenged()
    handshake = agent.handshake()
    handshake.facts.CopyFrom(facts)
    await agent.send(MessageToServer(handshake=handshake))
    await agent.receive("handshake_ack")

    await agent.outcome(BatchAck.OUTCOME_DURABLE, await agent.report())


async def test_facts_that_are_too_large_are_refused(world: World) -> None:
    agent = await world.enrolled(await world.user())
    await agent.challenged()
    handshake = agent.handshake()
    handshake.facts.CopyFrom(HostFacts(ip_addresses=["1" * 500] * 100))
    await agent.send(MessageToServer(handshake=handshake))

    assert (await agent.ended())[0] is Code.RESOURCE_EXHAUSTED


Misdeed = Callable[[ScriptedAgent], Awaitable[object]]
MISDEEDS: dict[str, tuple[Misdeed, str, grpc.StatusCode]] = {
    "another's batch": (
        lambda agent: agent.report(vps_id="6d9f0bd0-0000-4000-8000-000000000000"),
        "identity",
        Code.PERMISSION_DENIED,
    ),
    "no message": (
        lambda agent: agent.send_raw(b"\xff\xff\xff\xff"),
        "malformed",
        Code.INVALID_ARGUMENT,
    ),
    "an empty message": (lambda agent: agent.send_raw(b""), "malformed", Code.INVALID_ARGUMENT),
    "no sequence": (
        lambda agent: agent.report(sequence=0),
        "malformed",
        Code.INVALID_ARGUMENT,
    ),
    "subject in the epoch": (
        lambda agent: agent.report(epoch="a.>"),
        "malformed",
        Code.INVALID_ARGUMENT,
    ),
    "a message over a mebibyte that is no batch": (
        lambda agent: agent.send_raw(b"\x12" + b"\0" * (1024 * 1024 + 1)),
        "oversized",
        Code.RESOURCE_EXHAUSTED,
    ),
}


@pytest.mark.parametrize("misdeed", MISDEEDS)
async def test_a_bad_message_ends_its_stream_and_no_other(world: World, misdeed: str) -> None:
    commit, reason, code = MISDEEDS[misdeed]
    before = refusals(reason)
    user = await world.user()
    good, bad = await world.enrolled(user), await world.enrolled(user)
    await good.connect()
    await bad.connect()
    await commit(bad)

    assert (await bad.ended())[0] is code
    await until(lambda: refusals(reason) == before + 1, otherwise=f"{reason} was not counted")
    await good.outcome(BatchAck.OUTCOME_DURABLE, await good.report())
    assert await world.rows(bad.vps_id) == []


REFUSED: dict[str, tuple[Callable[[ScriptedAgent], PerformanceSnapshotBatch], str]] = {
    "empty": (
        lambda agent: PerformanceSnapshotBatch(header=agent.batch().header),
        "The batch has no items.",
    ),
    "too many items": (
        lambda agent: agent.batch(*[snapshot()] * 1001),
        "The batch has 1001 items; the limit is 1000.",
    ),
    "too many bytes": (
        lambda agent: agent.batch(*[snapshot(cpu_core_usage_percent=[1.0] * 1000)] * 140),
        "the limit is 524288.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_batch_that_cannot_be_stored_is_refused_and_the_stream_goes_on(
    world: World, case: str
) -> None:
    make, reason = REFUSED[case]
    agent = await world.enrolled(await world.user())
    await agent.connect()
    batch = make(agent)
    await agent.send(MessageToServer(performance=batch))

    told = await agent.outcome(BatchAck.OUTCOME_REFUSED, batch.header.sequence)
    assert told.epoch == agent.epoch
    assert told.reason.endswith(reason)
    await agent.outcome(BatchAck.OUTCOME_DURABLE, await agent.report())


DAMAGE: dict[str, dict[str, Any]] = {
    "not a number": {"load_1": math.nan},
    "infinite core": {"cpu_core_usage_percent": [1.0, math.inf]},
    "unsigned below zero": {"network_receive_bytes_total": (1 << 64) - 514},
    "unlimited memory": {"swap_total_bytes": (1 << 64) - 1},
    "more connections than the database counts": {"tcp_connections": (1 << 32) - 1},
    "a disk of 8 EiB": {"disks": [DiskUsage(mount_point="/data", total_bytes=1 << 63)]},
    "a disk used beyond its size": {
        "disks": [DiskUsage(mount_point="/data", total_bytes=9, used_bytes=(1 << 64) - 7)]
    },
    "disks beyond counting together": {
        "disks": [DiskUsage(mount_point="/data", total_bytes=1 << 62)] * 3
    },
    "NUL in a name": {"disks": [DiskUsage(mount_point="a\0b")]},
}


@pytest.mark.parametrize("case", DAMAGE)
async def test_a_value_that_cannot_be_stored_is_left_out_alone(world: World, case: str) -> None:
    agent = await world.enrolled(await world.user())
    await agent.connect()
    damaged = snapshot(now_ms() - 1000, **DAMAGE[case])
    sequence = await agent.report(damaged, snapshot(memory_used_bytes=500))

    await agent.outcome(BatchAck.OUTCOME_DURABLE, sequence)
    assert [row["mem_usage"] for row in await world.rows(agent.vps_id)] == [25.0, 50.0]


async def test_many_streams_that_never_answer_are_given_up(
    own_world: World,
) -> None:
    own_world.start("edge", timing=EdgeTiming(handshake_timeout=0.2))
    await own_world.ready("edge")
    agents = [own_world.agent() for _ in range(3)]
    await asyncio.gather(*(agent.challenged() for agent in agents))

    ends = await asyncio.gather(*(agent.ended() for agent in agents))
    assert {code for code, _ in ends} == {Code.DEADLINE_EXCEEDED}
