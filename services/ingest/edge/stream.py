"""One agent's gRPC stream, from the challenge to its end."""

import asyncio
import secrets
import time
from functools import partial
from typing import Protocol

import grpc
import structlog
from google.protobuf.message import DecodeError
from nats.aio.msg import Msg
from prometheus_client import Counter

from flotilla.v1.agent_pb2 import (
    AgentChallenge,
    AgentConfig,
    AgentHandshake,
    BatchAck,
    Heartbeat,
    MessageToAgent,
    MessageToServer,
    ServerHandshakeAck,
)
from flotilla.v1.bus_pb2 import AgentRecord, BatchesDurable, BatchRefused, StreamTaken
from services.ingest.edge import batch_intake, validation
from services.ingest.edge.cleaning import Batch
from services.ingest.edge.command_relay import CommandRelay
from services.ingest.edge.errors import BatchError, IntakeError, Reason
from services.ingest.edge.handshakes import Handshake, Handshakes
from services.ingest.edge.queueing import QueueingTime
from services.ingest.edge.signatures import is_signed_by
from services.ingest.edge.timing import EdgeTiming
from services.kit.bus import connection as bus
from services.kit.bus import subjects
from services.kit.cancellation import first_completed
from services.kit.errors import PoisonError

log = structlog.get_logger(__name__)

MAX_MESSAGE_BYTES = 1024 * 1024
OUTBOUND_LIMIT = 256  # messages that wait for a slow agent
# Durable sequences that wait to be sent. If some are dropped, agents send their batches again.
DURABLE_LIMIT = 10_000
STREAM_CONTEXT = b"flotilla-stream-v1\0"

UNSENT_DURABLE = Counter(
    "flotilla_edge_durable_untold_total",
    "Durable batches whose agent was not notified because too many notices were waiting",
)

Context = grpc.aio.ServicerContext[bytes, bytes]


class StreamHost(Protocol):
    """The functions of the edge that a stream uses."""

    bus: bus.Bus
    intake: batch_intake.BatchIntake
    timing: EdgeTiming
    handshakes: Handshakes

    def record_of(self, vps_id: str) -> AgentRecord | None: ...

    async def on_opened(self, stream: "AgentStream") -> None: ...

    async def on_closed(self, stream: "AgentStream", reason: str) -> None: ...

    async def on_taken_over(self, stream: "AgentStream", notice: StreamTaken) -> None: ...


class AgentStream:
    def __init__(self, host: StreamHost, context: Context, peer: str) -> None:
        self.vps_id = ""
        self.peer = peer
        self.handshake = AgentHandshake()
        self.record = AgentRecord()  # as it was when the agent authenticated
        self.is_announced = False
        self.presence_revision: int | None = None  # of the key in the `presence` bucket
        self.heard_at = time.monotonic()
        self._queueing = QueueingTime(self.heard_at)
        self._host = host
        self._timing = host.timing
        self._context = context
        self._outbound: asyncio.Queue[MessageToAgent] = asyncio.Queue(OUTBOUND_LIMIT)
        self._ended: asyncio.Future[IntakeError] = asyncio.get_running_loop().create_future()
        self._heartbeats = 0
        self._pending_acks: dict[str, BatchAck] = {}  # by epoch
        self._acks_pending_since = 0.0
        self._writing = asyncio.Lock()  # gRPC allows one write at a time
        self._relay = CommandRelay(host.bus, self._outbound)

    async def run(self) -> None:
        """Serve the stream until the agent ends it.

        Raises:
            IntakeError: the edge ends the stream; the error says why.
        """
        async with self._host.handshakes.limited(self._context.peer()) as handshake:
            await self._authenticate(handshake)
        ack = ServerHandshakeAck(
            result=ServerHandshakeAck.RESULT_ACCEPTED,
            agent_id=self.vps_id,
            config=self.record.config,
        )
        # Must precede everything that the bus delivers for this agent.
        self.send(MessageToAgent(handshake_ack=ack))
        reason = "The agent closed the stream."
        try:
            async with self._host.bus.subscribed(subjects.agent_all(self.vps_id), self._on_bus):
                await self._host.on_opened(self)
                await self._serve()
        except IntakeError as error:
            reason = str(error)
            raise
        except asyncio.CancelledError:
            reason = "The connection was lost."
            raise
        finally:
            await self._relay.close()
            await self._host.on_closed(self, reason)

    def send(self, message: MessageToAgent) -> None:
        try:
            self._outbound.put_nowait(message)
        except asyncio.QueueFull:
            self.end(
                IntakeError(
                    Reason.SLOW,
                    f"The agent does not read its messages: {OUTBOUND_LIMIT} are waiting.",
                )
            )

    def end(self, error: IntakeError) -> None:
        """Make `run` raise this error; later calls have no effect."""
        if not self._ended.done():
            self._ended.set_result(error)

    def configure(self, config: AgentConfig) -> None:
        self.send(MessageToAgent(config=config))

    def notify_durable(self, batches: BatchesDurable) -> None:
        """Add durable sequences to the next acknowledgement."""
        pending = self._pending_ack(batches.epoch).durable_sequences
        fitting = max(DURABLE_LIMIT - len(pending), 0)
        pending.extend(batches.sequences[:fitting])
        UNSENT_DURABLE.inc(max(len(batches.sequences) - fitting, 0))

    def notify_refused(self, batch: BatchRefused) -> None:
        ack = BatchAck(
            epoch=batch.epoch,
            sequences=[batch.sequence],
            outcome=BatchAck.OUTCOME_REFUSED,
            reason=batch.reason,
        )
        self.send(MessageToAgent(batch_ack=ack))

    def send_overdue_acks(self, now: float) -> None:
        if now - self._acks_pending_since < self._timing.ack_delay:
            return
        for ack in self._pending_acks.values():
            self.send(MessageToAgent(batch_ack=ack))
        self._pending_acks.clear()

    def check_alive(self, now: float) -> None:
        """Ask a silent agent for a heartbeat; end the stream if it was silent for too long."""
        self._relay.expire(now)
        timeout = self._timing.agent_timeout
        if now - self.heard_at > timeout:
            self.end(IntakeError(Reason.SILENT, f"The agent sent nothing for {timeout:.0f} s."))
            return
        if now - self.heard_at < self._timing.agent_heartbeat:
            return  # recent messages show that it is alive
        self._heartbeats += 1
        heartbeat = Heartbeat(number=self._heartbeats, time_unix_ms=time.time_ns() // 1_000_000)
        self.send(MessageToAgent(heartbeat_request=heartbeat))

    def _pending_ack(self, epoch: str) -> BatchAck:
        if not self._pending_acks:
            self._acks_pending_since = time.monotonic()
        return self._pending_acks.setdefault(
            epoch, BatchAck(epoch=epoch, outcome=BatchAck.OUTCOME_ACCEPTED)
        )

    async def _authenticate(self, own: Handshake) -> None:
        nonce = secrets.token_bytes(32)
        message = await own.first_message(partial(self._challenge, nonce))
        if message is None or not message.HasField("handshake"):
            raise IntakeError(Reason.MALFORMED, "The first message must answer the challenge.")
        handshake = message.handshake
        record = self._host.record_of(handshake.vps_id)
        if record is None:
            raise IntakeError(Reason.UNKNOWN_AGENT, "This agent is not known. Enrol it again.")
        signed = STREAM_CONTEXT + handshake.vps_id.encode() + b"\0" + nonce
        if not is_signed_by(record.public_key, handshake.signature, signed):
            raise IntakeError(
                Reason.BAD_SIGNATURE, "The signature does not match this agent's key."
            )
        if not record.enabled:
            raise IntakeError(Reason.DISABLED, "This agent is disabled.")
        left_out = validation.clean_handshake(handshake)
        self._host.intake.record_left_out(handshake.vps_id, "handshake", left_out)
        self.vps_id, self.handshake, self.record = handshake.vps_id, handshake, record

    async def _challenge(self, nonce: bytes) -> MessageToServer | None:
        challenge = AgentChallenge(nonce=nonce, server_time_unix_ms=time.time_ns() // 1_000_000)
        await self._write(MessageToAgent(challenge=challenge))
        return await self._read()

    async def _serve(self) -> None:
        tasks = await first_completed(self._receive(), self._transmit(), until=self._ended)
        if self._ended.done():
            raise self._ended.result()
        for task in tasks:
            if not task.cancelled():
                task.result()

    async def _receive(self) -> None:
        while (message := await self._read()) is not None:
            self.heard_at = time.monotonic()
            self._queueing.read(self.heard_at)
            kind = message.WhichOneof("payload")
            if kind in batch_intake.KINDS:
                await self._take_in(kind, getattr(message, kind))
            elif kind == "heartbeat":
                self._answer(message.heartbeat)
            elif kind == "command_response":
                await self._relay.relay_response(message.command_response)
            elif kind == "pty_data":
                await self._relay.relay_output(message.pty_data)
            else:
                raise IntakeError(Reason.MALFORMED, f"A {kind} message is not expected here.")

    async def _take_in(self, kind: str, batch: Batch) -> None:
        try:
            waited = self._queueing.limit
            ack = await self._host.intake.accept(self.vps_id, kind, batch, waited=waited)
        except BatchError as error:
            await self._refuse(batch, error)
            return
        except IntakeError as error:
            await self._refuse(batch, error)
            raise
        if ack.outcome != BatchAck.OUTCOME_ACCEPTED:
            await self._write(MessageToAgent(batch_ack=ack))
            return
        pending = self._pending_ack(ack.epoch)
        pending.sequences.extend(ack.sequences)
        if len(pending.sequences) >= self._timing.accepted_per_ack:
            del self._pending_acks[ack.epoch]
            await self._write(MessageToAgent(batch_ack=pending))

    def _answer(self, heartbeat: Heartbeat) -> None:
        if not heartbeat.reply:
            answer = Heartbeat(
                number=heartbeat.number, time_unix_ms=time.time_ns() // 1_000_000, reply=True
            )
            self.send(MessageToAgent(heartbeat_request=answer))

    async def _transmit(self) -> None:
        while True:
            message = await self._outbound.get()
            await self._write(message)
            self._relay.on_sent(message)

    async def _write(self, message: MessageToAgent) -> None:
        async with self._writing:
            await self._context.write(message.SerializeToString())

    async def _read(self) -> MessageToServer | None:
        """Return the agent's next message, or None at the end of the stream."""
        self._queueing.wait(time.monotonic())
        raw: bytes | object = await self._context.read()
        if not isinstance(raw, bytes):  # grpc.aio.EOF
            return None
        try:
            message = MessageToServer.FromString(raw)
        except DecodeError:
            message = MessageToServer()
        if len(raw) > MAX_MESSAGE_BYTES:
            error = IntakeError(
                Reason.OVERSIZED,
                f"The message has {len(raw)} bytes; the limit is {MAX_MESSAGE_BYTES}.",
            )
            if (kind := message.WhichOneof("payload")) in batch_intake.KINDS:
                await self._refuse(getattr(message, kind), error)
            raise error
        if not message.HasField("payload"):
            raise IntakeError(Reason.MALFORMED, "The message is not a valid MessageToServer.")
        return message

    async def _refuse(self, batch: Batch, error: IntakeError) -> None:
        """Notify the agent, so that it drops this batch instead of sending it again."""
        await self._write(MessageToAgent(batch_ack=batch_intake.refusal(batch.header, error)))

    async def _on_bus(self, message: Msg) -> None:
        try:
            if message.subject == subjects.agent_durable(self.vps_id):
                self.notify_durable(bus.decode(message.data, BatchesDurable))
            elif message.subject == subjects.agent_taken(self.vps_id):
                await self._host.on_taken_over(self, bus.decode(message.data, StreamTaken))
            elif message.subject == subjects.agent_command(self.vps_id):
                await self._relay.relay_command(message)
            elif message.subject == subjects.agent_pty(self.vps_id):
                await self._relay.relay_frame(message)
        except PoisonError as error:
            log.warning("notice_invalid", subject=message.subject, error=str(error))
