"""One agent's stream, from challenge to end."""

import asyncio
import secrets
import time
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

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
from services.ingest import checks, intake
from services.ingest.directory import signed_by
from services.ingest.errors import IntakeError, Reason
from services.ingest.relay import Relay
from services.kit import bus, subjects
from services.kit.errors import PoisonError

log = structlog.get_logger(__name__)

HANDSHAKE_TIMEOUT = 10.0  # seconds
MAX_MESSAGE_BYTES = 1024 * 1024
SILENCE_LIMIT = 50.0  # seconds without a word before a stream is given up; noticed within 80
OUTBOUND_LIMIT = 256  # messages waiting for a slow agent
HEARTBEAT_INTERVAL = 15.0  # seconds of silence before an agent is asked for a sign of life
# Each write wakes gRPC's own thread, the dearest step of all: what was accepted and what became
# durable is told of a few batches at once. Agents keep eight in flight.
ACCEPTED_AT_ONCE = 3  # batches
ACK_PATIENCE = 12.0  # seconds
DURABLE_LIMIT = 10_000  # sequences waiting to be told; agents send again what is never told
CAUGHT_UP = 0.01  # seconds: what had to be waited for this long has not lain here
STREAM_CONTEXT = b"flotilla-stream-v1\0"

UNTOLD = Counter("flotilla_edge_durable_untold_total", "Durable batches nobody was told of")

Context = grpc.aio.ServicerContext[bytes, bytes]


class Host(Protocol):
    """What a stream needs of the edge that holds it."""

    bus: bus.Bus
    intake: intake.Intake

    def admitted(self) -> AbstractAsyncContextManager[None]: ...

    def record_of(self, vps_id: str) -> AgentRecord | None: ...

    async def opened(self, stream: "AgentStream") -> None: ...

    async def closed(self, stream: "AgentStream", reason: str) -> None: ...

    async def taken(self, stream: "AgentStream", notice: StreamTaken) -> None: ...


class AgentStream:
    def __init__(self, host: Host, context: Context, peer: str) -> None:
        self.vps_id = ""
        self.peer = peer
        self.handshake = AgentHandshake()
        self.record = AgentRecord()  # as it was when the agent authenticated
        self.announced = False
        self.announced_revision: int | None = None  # of the presence key
        self.heard_at = time.monotonic()
        self._asked_at = self._caught_up_at = self.heard_at
        self._host = host
        self._context = context
        self._outbound: asyncio.Queue[MessageToAgent] = asyncio.Queue(OUTBOUND_LIMIT)
        self._ended: asyncio.Future[IntakeError] = asyncio.get_running_loop().create_future()
        self._heartbeats = 0
        self._owed: dict[str, BatchAck] = {}  # by epoch
        self._owed_since = 0.0
        self._writing = asyncio.Lock()  # gRPC takes one message at a time
        self._relay = Relay(host.bus, self._outbound)

    async def run(self) -> None:
        """Serve the stream until the agent ends it.

        Raises:
            IntakeError: the server ends it, and why.
        """
        async with self._host.admitted():
            await self._authenticate()
        ack = ServerHandshakeAck(
            result=ServerHandshakeAck.RESULT_ACCEPTED,
            agent_id=self.vps_id,
            config=self.record.config,
        )
        # Before anything that the bus has for this agent.
        self.send(MessageToAgent(handshake_ack=ack))
        reason = "the agent closed the stream"
        try:
            async with self._host.bus.subscribed(subjects.agent_all(self.vps_id), self._on_bus):
                await self._host.opened(self)
                await self._converse()
        except IntakeError as error:
            reason = str(error)
            raise
        except asyncio.CancelledError:
            reason = "the connection was lost"
            raise
        finally:
            await self._relay.close()
            await self._host.closed(self, reason)

    def send(self, message: MessageToAgent) -> None:
        try:
            self._outbound.put_nowait(message)
        except asyncio.QueueFull:
            self.end(IntakeError(Reason.SLOW, "the agent does not read what it is sent"))

    def end(self, error: IntakeError) -> None:
        """Have `run` raise this; the first call counts."""
        if not self._ended.done():
            self._ended.set_result(error)

    def configure(self, config: AgentConfig) -> None:
        self.send(MessageToAgent(config=config))

    def told_durable(self, batches: BatchesDurable) -> None:
        owed = self._owe(batches.epoch).durable_sequences
        fitting = max(DURABLE_LIMIT - len(owed), 0)
        owed.extend(batches.sequences[:fitting])
        UNTOLD.inc(max(len(batches.sequences) - fitting, 0))

    def told_refused(self, batch: BatchRefused) -> None:
        ack = BatchAck(
            epoch=batch.epoch,
            sequences=[batch.sequence],
            outcome=BatchAck.OUTCOME_REFUSED,
            reason=batch.reason,
        )
        self.send(MessageToAgent(batch_ack=ack))

    def acknowledge(self, now: float) -> None:
        """Send what has been owed for a while."""
        if now - self._owed_since < ACK_PATIENCE:
            return
        for ack in self._owed.values():
            self.send(MessageToAgent(batch_ack=ack))
        self._owed.clear()

    def _owe(self, epoch: str) -> BatchAck:
        if not self._owed:
            self._owed_since = time.monotonic()
        return self._owed.setdefault(
            epoch, BatchAck(epoch=epoch, outcome=BatchAck.OUTCOME_ACCEPTED)
        )

    def beat(self, now: float) -> None:
        """Ask for a sign of life, or give up on an agent that was silent too long."""
        self._relay.expire(now)
        if now - self.heard_at > SILENCE_LIMIT:
            self.end(IntakeError(Reason.SILENT, f"silent for {SILENCE_LIMIT:.0f} s"))
            return
        if now - self.heard_at < HEARTBEAT_INTERVAL:
            return  # it speaks without being asked
        self._heartbeats += 1
        beat = Heartbeat(number=self._heartbeats, time_unix_ms=time.time_ns() // 1_000_000)
        self.send(MessageToAgent(heartbeat_request=beat))

    async def _authenticate(self) -> None:
        nonce = secrets.token_bytes(32)
        challenge = AgentChallenge(nonce=nonce, server_time_unix_ms=time.time_ns() // 1_000_000)
        try:
            async with asyncio.timeout(HANDSHAKE_TIMEOUT):
                await self._write(MessageToAgent(challenge=challenge))
                message = await self._read()
        except TimeoutError:
            raise IntakeError(Reason.HANDSHAKE_LATE, "no answer to the challenge") from None
        if message is None or not message.HasField("handshake"):
            raise IntakeError(Reason.MALFORMED, "the first message answers the challenge")
        handshake = message.handshake
        record = self._host.record_of(handshake.vps_id)
        if record is None:
            raise IntakeError(Reason.UNKNOWN_AGENT, "unknown agent: enrol it again")
        signed = STREAM_CONTEXT + handshake.vps_id.encode() + b"\0" + nonce
        if not signed_by(record.public_key, handshake.signature, signed):
            raise IntakeError(Reason.BAD_SIGNATURE, "the signature is not this agent's")
        if not record.enabled:
            raise IntakeError(Reason.DISABLED, "this agent was disabled")
        checks.check_handshake(handshake)
        self.vps_id, self.handshake, self.record = handshake.vps_id, handshake, record

    async def _converse(self) -> None:
        tasks = [asyncio.create_task(self._receive()), asyncio.create_task(self._transmit())]
        waiting: list[asyncio.Future[Any]] = [*tasks, self._ended]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._ended.done():
            raise self._ended.result()
        for task in tasks:
            if task.done() and not task.cancelled():
                task.result()

    async def _receive(self) -> None:
        while (message := await self._read()) is not None:
            asked_at, self.heard_at = self._asked_at, time.monotonic()
            if self.heard_at - asked_at > CAUGHT_UP:
                self._caught_up_at = self.heard_at
            kind = message.WhichOneof("payload")
            if kind in intake.KINDS:
                await self._take(kind, getattr(message, kind))
            elif kind == "heartbeat":
                self._answer(message.heartbeat)
            elif kind == "command_response":
                await self._relay.answered(message.command_response)
            elif kind == "pty_data":
                await self._relay.said(message.pty_data)
            else:
                raise IntakeError(Reason.MALFORMED, f"unexpected message: {kind}")

    async def _take(self, kind: str, batch: checks.Batch) -> None:
        try:
            waited = self.heard_at - self._caught_up_at
            ack = await self._host.intake.take(self.vps_id, kind, batch, waited=waited)
        except IntakeError as error:
            await self._refuse(batch, error)
            raise
        if ack.outcome != BatchAck.OUTCOME_ACCEPTED:
            await self._write(MessageToAgent(batch_ack=ack))
            return
        owed = self._owe(ack.epoch)
        owed.sequences.extend(ack.sequences)
        if len(owed.sequences) >= ACCEPTED_AT_ONCE:
            del self._owed[ack.epoch]
            await self._write(MessageToAgent(batch_ack=owed))

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
            self._relay.sent(message)

    async def _write(self, message: MessageToAgent) -> None:
        async with self._writing:
            await self._context.write(message.SerializeToString())

    async def _read(self) -> MessageToServer | None:
        self._asked_at = time.monotonic()
        raw: bytes | object = await self._context.read()
        if not isinstance(raw, bytes):  # grpc.aio.EOF
            return None
        try:
            message = MessageToServer.FromString(raw)
        except DecodeError:
            message = MessageToServer()
        if len(raw) > MAX_MESSAGE_BYTES:
            error = IntakeError(
                Reason.OVERSIZED, f"a message has {MAX_MESSAGE_BYTES} bytes at most"
            )
            if (kind := message.WhichOneof("payload")) in intake.KINDS:
                await self._refuse(getattr(message, kind), error)
            raise error
        if not message.HasField("payload"):
            raise IntakeError(Reason.MALFORMED, "not a MessageToServer")
        return message

    async def _refuse(self, batch: checks.Batch, error: IntakeError) -> None:
        """Say so, that the agent drops this batch instead of coming back with it."""
        await self._write(MessageToAgent(batch_ack=intake.refusal(batch.header, error)))

    async def _on_bus(self, message: Msg) -> None:
        try:
            if message.subject == subjects.agent_durable(self.vps_id):
                self.told_durable(bus.decode(message.data, BatchesDurable))
            elif message.subject == subjects.agent_taken(self.vps_id):
                await self._host.taken(self, bus.decode(message.data, StreamTaken))
            elif message.subject == subjects.agent_command(self.vps_id):
                await self._relay.command(message)
            elif message.subject == subjects.agent_pty(self.vps_id):
                await self._relay.pty(message)
        except PoisonError as error:
            log.warning("notice_unreadable", subject=message.subject, error=str(error))
