"""What agents must not do: refused with its status, counted, nothing stored, nobody else harmed."""

import asyncio
import itertools
import math
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from prometheus_client import REGISTRY

from flotilla.v1.agent_pb2 import BatchAck, HostFacts, MessageToServer
from flotilla.v1.metrics_pb2 import DiskUsage, PerformanceSnapshotBatch
from tests.fixtures.agent_script import ScriptedAgent, now_ms, snapshot
from tests.fixtures.waiting import until
from tests.fixtures.world import World

Code = grpc.StatusCode


def refusals(reason: str) -> float:
    return REGISTRY.get_sample_value("flotilla_edge_refusals_total", {"reason": reason}) or 0.0


async def refused(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value.code(), raised.value.details() or ""


async def token(world: World) -> tuple[str, str]:
    made = (await (await world.user()).post("/vps", json={"name": "t"})).json()
    return made["id"], made["enrolment"]["token"]


async def test_wrong_used_and_expired_tokens_are_refused_alike(world: World) -> None:
    before = refusals("token")
    vps_id, good = await token(world)
    expired_id, expired = await token(world)
    await world.sql(
        "UPDATE enrolment_tokens SET expires_at = now() - interval '1 s' WHERE vps_id = %(id)s",
        id=expired_id,
    )
    await world.agent().enrol(good)

    answers = [
        await refused(world.agent().enrol(wrong))
        for wrong in ("no such token", good, expired, "x" * 300)
    ]

    assert set(answers) == {(Code.UNAUTHENTICATED, "the token is wrong, used or expired")}
    assert refusals("token") == before + 4
    assert await world.sql("SELECT status FROM vps WHERE id = %(id)s", id=expired_id) == [
        ("pending",)
    ]
    assert await world.sql("SELECT status FROM vps WHERE id = %(id)s", id=vps_id) == [("enrolled",)]


async def test_a_new_install_line_kills_the_earlier_one(world: World) -> None:
    user = await world.user()
    made = (await user.post("/vps", json={"name": "twice"})).json()
    renewed = (await user.post(f"/vps/{made['id']}/enrolment")).json()

    assert (await refused(world.agent().enrol(made["enrolment"]["token"])))[0] is (
        Code.UNAUTHENTICATED
    )
    assert (await world.agent().enrol(renewed["token"])).vps_id == made["id"]


async def test_enrolment_needs_a_key_and_the_proof_that_it_is_held(world: World) -> None:
    _, good = await token(world)
    agent = world.agent()

    short = await refused(agent.enrol(good, public_key=b"short"))
    unproven = await refused(agent.enrol(good, proof=b"\0" * 64))
    garbage = await refused(agent.enrol_raw(b"\xff\xff\xff"))

    assert {short[0], unproven[0], garbage[0]} == {Code.INVALID_ARGUMENT}
    assert (await agent.enrol(good)).vps_id


async def test_one_key_serves_one_server(world: World) -> None:
    _, first = await token(world)
    _, second = await token(world)
    agent = world.agent()
    await agent.enrol(first)

    assert (await refused(agent.enrol(second)))[0] is Code.UNAUTHENTICATED
    assert (await world.agent().enrol(second)).vps_id


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


async def test_enrolment_with_a_new_key_ends_the_old_keys_stream(world: World) -> None:
    user = await world.user()
    old = await world.enrolled(user)
    await old.connect()
    renewed = (await user.post(f"/vps/{old.vps_id}/enrolment")).json()
    new = world.agent()
    await new.enrol(renewed["token"])

    assert (await old.ended())[0] is Code.PERMISSION_DENIED
    await new.connect()
    await new.outcome(BatchAck.OUTCOME_DURABLE, await new.report())


async def test_a_second_stream_of_an_agent_replaces_the_first(world: World) -> None:
    first = await world.enrolled(await world.user())
    await first.connect()
    second = world.agent()
    second.vps_id, second.key = first.vps_id, first.key
    await second.connect()

    assert (await first.ended())[0] is Code.ABORTED
    await second.outcome(BatchAck.OUTCOME_DURABLE, await second.report())


async def test_facts_that_cannot_be_kept_are_refused(world: World) -> None:
    for facts, code in (
        (HostFacts(hostname="a\0b"), Code.INVALID_ARGUMENT),
        (HostFacts(hostname="a" * 600), Code.INVALID_ARGUMENT),
        (HostFacts(ip_addresses=["1" * 500] * 100), Code.RESOURCE_EXHAUSTED),
        (HostFacts(boot_time_unix_s=1 << 60), Code.INVALID_ARGUMENT),
    ):
        agent = await world.enrolled(await world.user())
        await agent.challenged()
        handshake = agent.handshake()
        handshake.facts.CopyFrom(facts)
        await agent.send(MessageToServer(handshake=handshake))

        assert (await agent.ended())[0] is code, facts


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
    "not a number": (
        lambda agent: agent.report(snapshot(cpu_usage_percent=math.nan)),
        "malformed",
        Code.INVALID_ARGUMENT,
    ),
    "infinite core": (
        lambda agent: agent.report(snapshot(cpu_core_usage_percent=[1.0, math.inf])),
        "malformed",
        Code.INVALID_ARGUMENT,
    ),
    "more memory than the database counts": (
        lambda agent: agent.report(snapshot(memory_total_bytes=(1 << 64) - 1)),
        "malformed",
        Code.INVALID_ARGUMENT,
    ),
    "more connections than the database counts": (
        lambda agent: agent.report(snapshot(tcp_connections=(1 << 32) - 1)),
        "malformed",
        Code.INVALID_ARGUMENT,
    ),
    "a longer uptime than the ledger counts": (
        lambda agent: agent.report(snapshot(uptime_seconds=1 << 31)),
        "malformed",
        Code.INVALID_ARGUMENT,
    ),
    "disks beyond counting together": (
        lambda agent: agent.report(
            snapshot(disks=[DiskUsage(mount_point="/", total_bytes=1 << 62)] * 2)
        ),
        "malformed",
        Code.INVALID_ARGUMENT,
    ),
    "NUL in a name": (
        lambda agent: agent.report(snapshot(disks=[DiskUsage(mount_point="a\0b")])),
        "malformed",
        Code.INVALID_ARGUMENT,
    ),
    "empty batch": (
        lambda agent: agent.send(
            MessageToServer(performance=PerformanceSnapshotBatch(header=agent.batch().header))
        ),
        "malformed",
        Code.INVALID_ARGUMENT,
    ),
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
    "too many items": (
        lambda agent: agent.report(*[snapshot()] * 1001),
        "oversized",
        Code.RESOURCE_EXHAUSTED,
    ),
    "too many parts": (
        lambda agent: agent.report(snapshot(cpu_core_usage_percent=[1.0] * 1025)),
        "oversized",
        Code.RESOURCE_EXHAUSTED,
    ),
    "too many bytes": (
        lambda agent: agent.report(*[snapshot(cpu_core_usage_percent=[1.0] * 1000)] * 140),
        "oversized",
        Code.RESOURCE_EXHAUSTED,
    ),
    "a message over a mebibyte": (
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


async def test_an_agent_is_told_which_batch_will_never_be_taken(world: World) -> None:
    agent = await world.enrolled(await world.user())
    await agent.connect()
    sequence = await agent.report(snapshot(cpu_usage_percent=math.nan))

    told = await agent.outcome(BatchAck.OUTCOME_REFUSED, sequence)
    assert told.epoch == agent.epoch
    assert told.reason == "a number is not finite"


HOUR = 3_600_000  # milliseconds


@pytest.mark.parametrize("off", [-2 * HOUR, 2 * HOUR, -now_ms()], ids=["behind", "ahead", "1970"])
async def test_a_wrong_clock_is_put_right_and_flagged(world: World, off: int) -> None:
    agent = await world.enrolled(await world.user())
    await agent.connect()
    sent = now_ms()
    points = [snapshot(sent + off - 4000), snapshot(sent + off - 2000), snapshot(sent + off)]
    sequence = await agent.report(*points, sent_at_unix_ms=sent + off)
    await agent.outcome(BatchAck.OUTCOME_DURABLE, sequence)

    rows = await world.sql(
        "SELECT extract(epoch FROM time)::float8 * 1000, clock_corrected"
        " FROM performance_metrics WHERE vps_id = %(id)s ORDER BY time",
        id=agent.vps_id,
    )
    times = [round(time) for time, _ in rows]
    assert all(corrected for _, corrected in rows)
    assert [b - a for a, b in itertools.pairwise(times)] == [2000, 2000]
    assert abs(times[-1] - sent) < 61_000


async def test_an_absurd_snapshot_among_good_ones_gets_the_servers_time(world: World) -> None:
    agent = await world.enrolled(await world.user())
    await agent.connect()
    now = now_ms()
    sequence = await agent.report(snapshot(-1), snapshot(now - 1000), snapshot(1 << 62))
    await agent.outcome(BatchAck.OUTCOME_DURABLE, sequence)

    flags = [row["clock_corrected"] for row in await world.rows(agent.vps_id)]
    assert flags in ([False, True], [False, True, True])


async def test_many_streams_that_never_answer_are_given_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.ingest.stream.HANDSHAKE_TIMEOUT", 0.2)
    agents = [world.agent() for _ in range(3)]
    await asyncio.gather(*(agent.challenged() for agent in agents))

    ends = await asyncio.gather(*(agent.ended() for agent in agents))
    assert {code for code, _ in ends} == {Code.DEADLINE_EXCEEDED}
