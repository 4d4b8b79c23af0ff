import asyncio
import dataclasses

import grpc
import pytest

from flotilla.v1.agent_pb2 import (
    BatchAck,
    Heartbeat,
    MessageToAgent,
    ServerHandshakeAck,
)
from tests.fixtures.agent.fake_edge import Authority, Edge
from tests.fixtures.agent.logs import logged
from tests.fixtures.agent.running_agent import FAST, Start
from tests.fixtures.waiting import soon

ACCEPTED, DURABLE = BatchAck.OUTCOME_ACCEPTED, BatchAck.OUTCOME_DURABLE


async def test_the_servers_heartbeat_is_answered_with_its_number(start: Start, edge: Edge) -> None:
    start()
    peer = await edge.peer()
    await peer.shake_hands()

    await peer.send(MessageToAgent(heartbeat_request=Heartbeat(number=77)))

    answer = (await peer.receive("heartbeat")).heartbeat
    assert (answer.number, answer.reply) == (77, True)


async def test_heartbeats_that_are_answered_keep_the_stream(start: Start, edge: Edge) -> None:
    start(dataclasses.replace(FAST, heartbeat_interval=0.02))
    peer = await edge.peer()
    await peer.shake_hands()

    for number in (1, 2, 3):
        beat = (await peer.receive("heartbeat")).heartbeat
        assert (beat.number, beat.reply) == (number, False)
        await peer.send(MessageToAgent(heartbeat_request=Heartbeat(number=number, reply=True)))

    assert not peer.gone.is_set()


async def test_a_heartbeat_without_an_answer_leads_to_a_new_stream(
    start: Start, edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    start(dataclasses.replace(FAST, heartbeat_interval=0.02, heartbeat_timeout=0.05))
    peer = await edge.peer()
    await peer.shake_hands()

    await edge.peer()

    await soon(peer.gone.wait())
    assert "does not answer heartbeats" in caplog.text


async def test_a_server_without_a_handshake_is_left_after_a_while(
    start: Start, edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    start(dataclasses.replace(FAST, handshake=0.05))
    await edge.peer()

    await edge.peer()

    assert "no handshake within 0.05 s" in caplog.text


@pytest.mark.parametrize("greeted", [False, True])
async def test_a_stream_that_the_server_cancels_is_opened_again(
    start: Start, edge: Edge, caplog: pytest.LogCaptureFixture, *, greeted: bool
) -> None:
    start()
    peer = await edge.peer()
    if greeted:
        await peer.shake_hands()

    peer.end(grpc.StatusCode.CANCELLED)

    await (await edge.peer()).shake_hands()
    assert "cancelled" in caplog.text.lower()


async def test_a_handshake_that_is_not_accepted_is_tried_again(start: Start, edge: Edge) -> None:
    agent = start()
    peer = await edge.peer()
    await peer.challenge()

    await peer.send(MessageToAgent(handshake_ack=ServerHandshakeAck()))

    second = await edge.peer()
    await second.shake_hands()
    agent.report(1)
    await second.batch()


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, "enrol again with --force"),
        (grpc.StatusCode.PERMISSION_DENIED, "Enable it in the console"),
    ],
)
async def test_a_rejected_agent_says_what_to_do_and_waits_long(
    start: Start,
    edge: Edge,
    caplog: pytest.LogCaptureFixture,
    code: grpc.StatusCode,
    advice: str,
) -> None:
    agent = start()
    peer = await edge.peer()
    await peer.challenge()

    peer.end(code, "no")

    await soon(logged(caplog, "Connecting again in 60."))
    assert advice in caplog.text
    assert not agent.running.done()


async def test_a_server_with_a_certificate_of_another_authority_is_not_used(
    start: Start, edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    start(ca=Authority().ca_pem)

    await soon(logged(caplog, "Connecting again"))

    assert "UNAVAILABLE" in caplog.text
    assert edge._peers.empty()


async def test_a_server_with_a_certificate_for_another_host_is_not_used(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = Authority("192.0.2.1")
    edge = Edge(elsewhere)
    await edge.start()

    start(ca=elsewhere.ca_pem, address=edge.address)

    await soon(logged(caplog, "Connecting again"))
    assert "UNAVAILABLE" in caplog.text
    assert edge._peers.empty()
    await edge.stop()


async def test_the_agent_waits_for_a_server_that_is_away(
    start: Start, edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    await edge.stop()

    agent = start()
    await soon(logged(caplog, "Connecting again", count=3))

    assert not agent.running.done()


async def test_a_stopping_agent_waits_for_batches_in_flight(start: Start, edge: Edge) -> None:
    agent = start(dataclasses.replace(FAST, drain=5.0))
    peer = await edge.peer()
    await peer.shake_hands()
    agent.report(1)
    batch = await peer.batch()

    agent.stopping.set()
    done, _ = await asyncio.wait({agent.running}, timeout=0.1)
    assert not done
    await peer.acknowledge(batch, ACCEPTED)

    await soon(agent.running)


async def test_a_stopping_agent_does_not_wait_for_ever(start: Start, edge: Edge) -> None:
    agent = start()
    peer = await edge.peer()
    await peer.shake_hands()
    agent.report(1)
    await peer.batch()

    agent.stopping.set()

    await soon(agent.running)


async def test_an_agent_that_waits_for_a_handshake_stops_at_once(start: Start, edge: Edge) -> None:
    agent = start()
    await edge.peer()

    agent.stopping.set()

    await asyncio.wait_for(agent.running, 1.0)


def own_tasks() -> int:
    names = [getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()]
    return sum(name.startswith(("ServerConnection.", "Stream.")) for name in names)


async def test_many_streams_leave_no_task_behind(start: Start, edge: Edge) -> None:
    agent = start()
    peer = await edge.peer()
    await peer.shake_hands()
    agent.report(1)
    await peer.batch()
    before = own_tasks()
    for _ in range(10):
        peer.end(grpc.StatusCode.UNAVAILABLE)
        peer = await edge.peer()
        await peer.shake_hands()
        await peer.batch()

    assert own_tasks() == before
