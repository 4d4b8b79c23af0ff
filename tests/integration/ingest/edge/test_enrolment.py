"""Enrolment: tokens, keys and proofs."""

from collections.abc import Awaitable
from typing import Any

import grpc
import pytest

from flotilla.v1.agent_pb2 import BatchAck
from services.ingest.edge.timing import EdgeTiming
from tests.fixtures.metrics import metric
from tests.fixtures.world import World

Code = grpc.StatusCode


def refusals(reason: str) -> float:
    return metric("flotilla_edge_refusals_total", reason=reason)


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

    assert set(answers) == {
        (Code.UNAUTHENTICATED, "The token is wrong, used or expired. Create a new install line.")
    }
    assert refusals("token") == before + 4
    assert await world.sql("SELECT status FROM vps WHERE id = %(id)s", id=expired_id) == [
        ("pending",)
    ]
    assert await world.sql("SELECT status FROM vps WHERE id = %(id)s", id=vps_id) == [("enrolled",)]


async def test_the_token_of_a_disabled_user_enrols_nothing_until_the_user_is_back(
    world: World,
) -> None:
    user = await world.user("member")
    name = (await user.get("/auth/me")).json()["username"]
    made = (await user.post("/vps", json={"name": "t"})).json()
    agent, good = world.agent(), made["enrolment"]["token"]

    await world.sql("UPDATE users SET enabled = false WHERE username = %(n)s", n=name)
    assert (await refused(agent.enrol(good)))[0] is Code.UNAUTHENTICATED
    await world.sql("UPDATE users SET enabled = true WHERE username = %(n)s", n=name)
    assert (await agent.enrol(good)).vps_id == made["id"]


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


async def test_a_request_that_never_comes_is_given_up(own_world: World) -> None:
    own_world.start("edge", timing=EdgeTiming(handshake_timeout=0.5))
    await own_world.ready("edge")
    before = refusals("handshake-late")

    enrol: Any = own_world.agent().channel.stream_unary("/flotilla.v1.EnrolmentService/Enrol")
    code, _ = await refused(enrol(wait_for_ready=True, timeout=30))

    assert code is Code.DEADLINE_EXCEEDED
    assert refusals("handshake-late") == before + 1
