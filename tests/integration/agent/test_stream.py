import asyncio
import getpass
import time

import grpc
import pytest

from flotilla.v1.agent_pb2 import (
    AgentConfig,
    BatchAck,
    Heartbeat,
    MessageToAgent,
    Powers,
    ServerHandshakeAck,
)
from flotilla.v1.command_pb2 import (
    CommandRequest,
    CommandResponse,
    PtyClose,
    PtyDataToAgent,
)
from tests.fixtures.agent import signed_commands
from tests.fixtures.agent.fake_edge import NONCE, VPS_ID, Edge
from tests.fixtures.agent.running_agent import Start
from tests.fixtures.waiting import soon

ACCEPTED, DURABLE = BatchAck.OUTCOME_ACCEPTED, BatchAck.OUTCOME_DURABLE


async def test_the_handshake_answers_the_challenge(start: Start, edge: Edge) -> None:
    agent = start()
    peer = await edge.peer()

    handshake = await peer.challenge()

    assert handshake.vps_id == VPS_ID
    agent.identity.key.verify_key.verify(
        b"flotilla-stream-v1\0" + VPS_ID.encode() + b"\0" + NONCE, handshake.signature
    )
    assert handshake.facts.hostname == "web-1"
    assert handshake.powers == Powers(user=getpass.getuser())
    assert handshake.config_revision == 0


async def test_nothing_is_sent_before_the_server_accepted_the_handshake(
    start: Start, edge: Edge
) -> None:
    agent = start()
    agent.report(1)
    peer = await edge.peer()
    await peer.challenge()
    assert peer._inbox.empty()

    ack = ServerHandshakeAck(result=ServerHandshakeAck.RESULT_ACCEPTED)
    await peer.send(MessageToAgent(handshake_ack=ack))

    assert (await peer.batch()).snapshots[0].time_unix_ms == 1


async def test_a_batch_that_was_accepted_and_made_durable_is_forgotten(
    start: Start, edge: Edge
) -> None:
    agent = start()
    peer = await edge.peer()
    await peer.shake_hands()
    agent.report(1)
    batch = await peer.batch()

    await peer.acknowledge(batch, ACCEPTED)
    await soon(agent.queue.live_accepted())
    await peer.acknowledge(batch, DURABLE)
    agent.report(2)

    assert (await peer.batch()).header.sequence == 2
    assert list(agent.queue._delivery._batches) == [2]


async def test_a_new_stream_gets_unaccepted_batches_again(start: Start, edge: Edge) -> None:
    agent = start()
    first = await edge.peer()
    await first.shake_hands()
    agent.report(1)
    accepted = await first.batch()
    agent.report(2)
    lost = await first.batch()
    await first.acknowledge(accepted, ACCEPTED)
    # The answer shows that the acknowledgement before it has been read.
    await first.send(MessageToAgent(heartbeat_request=Heartbeat(number=9)))
    await first.receive("heartbeat")
    first.end(grpc.StatusCode.UNAVAILABLE, "draining")

    second = await edge.peer()
    await second.shake_hands()

    again = await second.batch()
    assert again.header.sequence == lost.header.sequence == 2
    assert again.header.epoch == lost.header.epoch
    assert again.snapshots == lost.snapshots


async def test_a_refused_batch_is_not_sent_again(
    start: Start, edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    agent = start()
    peer = await edge.peer()
    await peer.shake_hands()
    agent.report(1)
    await peer.acknowledge(
        await peer.batch(), BatchAck.OUTCOME_REFUSED, reason="bad\x1b[31m\nthing"
    )
    await soon(agent.queue.live_accepted())
    peer.end(grpc.StatusCode.UNAVAILABLE)

    second = await edge.peer()
    await second.shake_hands()
    agent.report(2)

    assert (await second.batch()).header.sequence == 2
    assert agent.queue.lost == 1


async def test_retry_brings_the_same_batch_after_the_wait(start: Start, edge: Edge) -> None:
    agent = start()
    peer = await edge.peer()
    await peer.shake_hands()
    agent.report(1)
    batch = await peer.batch()
    asked = time.monotonic()

    await peer.acknowledge(batch, BatchAck.OUTCOME_RETRY, retry_after_ms=200)

    assert (await peer.batch()).header.sequence == 1
    assert time.monotonic() - asked >= 0.2


async def test_an_acknowledgement_of_another_epoch_is_ignored(start: Start, edge: Edge) -> None:
    agent = start()
    peer = await edge.peer()
    await peer.shake_hands()
    agent.report(1)
    batch = await peer.batch()
    batch.header.epoch = "another"
    await peer.acknowledge(batch, DURABLE)
    agent.report(2)
    await peer.batch()

    assert list(agent.queue._delivery._batches) == [1, 2]


async def test_configuration_is_applied_with_the_handshake_and_later(
    start: Start, edge: Edge
) -> None:
    agent = start()
    applied: asyncio.Queue[float] = asyncio.Queue()
    agent.config.subscribe(lambda: applied.put_nowait(agent.config.current.report_interval))
    peer = await edge.peer()

    await peer.shake_hands(AgentConfig(revision=4, report_interval_ms=5_000))
    assert await soon(applied.get()) == 5.0
    await peer.send(MessageToAgent(config=AgentConfig(revision=5, report_interval_ms=9_000)))
    assert await soon(applied.get()) == 9.0
    peer.end(grpc.StatusCode.UNAVAILABLE)

    assert (await (await edge.peer()).challenge()).config_revision == 5


async def test_commands_and_terminals_are_refused_where_nothing_is_allowed(
    start: Start, edge: Edge
) -> None:
    start()
    peer = await edge.peer()
    await peer.shake_hands()

    order = signed_commands.script("true")
    await peer.send(MessageToAgent(command_request=signed_commands.sign(order)))
    response = (await peer.receive("command_response")).command_response
    assert (response.command_id, response.last) == (order.id, True)
    assert response.status == CommandResponse.STATUS_REFUSED
    assert response.failure == CommandResponse.FAILURE_FORBIDDEN
    assert "Commands are switched off on this server" in response.reason

    await peer.send(MessageToAgent(pty_data=signed_commands.start_session("s-1")))
    data = (await peer.receive("pty_data")).pty_data
    assert data.session_id == "s-1"
    assert data.exit.failure == CommandResponse.FAILURE_FORBIDDEN
    assert "The shell is switched off on this server" in data.exit.reason


async def test_malformed_commands_and_unknown_messages_do_no_harm(start: Start, edge: Edge) -> None:
    agent = start()
    peer = await edge.peer()
    await peer.shake_hands()

    await peer.send(MessageToAgent(command_request=CommandRequest(command=b"\xff\xff")))
    refused = (await peer.receive("command_response")).command_response
    assert refused.failure == CommandResponse.FAILURE_FORBIDDEN
    await peer.send(MessageToAgent())
    await peer.send(MessageToAgent(pty_data=PtyDataToAgent(session_id="s", close=PtyClose())))
    agent.report(1)

    await peer.batch()
    assert not peer.gone.is_set()
