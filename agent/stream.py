import asyncio
import contextlib
import dataclasses
import itertools
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import grpc
import grpc.aio

from agent.errors import StreamError
from agent.execute.hands import Hands
from agent.identity import Identity
from agent.outbox import Outbox
from agent.tasks import cancel
from flotilla.v1.agent_pb2 import (
    AgentConfig,
    AgentHandshake,
    BatchAck,
    Heartbeat,
    HostFacts,
    MessageToAgent,
    MessageToServer,
    ServerHandshakeAck,
)
from flotilla.v1.agent_pb2_grpc import AgentCommunicationStub

log = logging.getLogger(__name__)

CHANNEL_OPTIONS = (
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.enable_retries", 0),
    # Each attempt looks the name up and connects anew; the waiting in between is done here.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.service_config_disable_resolution", 1),
)
ANSWER_LIMIT = 64  # messages
# The server turned this agent away, which asking again soon does not change.
TURNED_AWAY = {
    grpc.StatusCode.UNAUTHENTICATED: (
        "the server does not know this agent; if it was removed there, make a new install line"
        " in the console and enrol again with --force"
    ),
    grpc.StatusCode.PERMISSION_DENIED: (
        "the server has disabled this agent; enable it in the console"
    ),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Timing:
    """In seconds."""

    handshake: float = 10.0
    heartbeat_interval: float = 15.0
    heartbeat_timeout: float = 15.0
    backoff_first: float = 1.0
    backoff_most: float = 60.0
    backoff_turned_away: float = 60.0
    # A stream that lasted this long was a good one: the next waits start small again.
    settled: float = 10.0
    flush: float = 1.0


Call = grpc.aio.StreamStreamCall[MessageToServer, MessageToAgent]


class Stream:
    """Keeps a stream to the server open until it is told to stop."""

    def __init__(
        self,
        identity: Identity,
        outbox: Outbox,
        hands: Hands,
        *,
        revision: Callable[[], int],
        configure: Callable[[AgentConfig], None],
        facts: Callable[[], HostFacts],
        timing: Timing | None = None,
    ) -> None:
        self._identity = identity
        self._outbox = outbox
        self._hands = hands
        self._revision = revision
        self._configure = configure
        self._facts = facts
        self._timing = timing or Timing()

    async def run(self, stopping: asyncio.Event) -> None:
        attempt = 0
        while not stopping.is_set():
            opened = time.monotonic()
            least = 0.0
            try:
                await self._connect_once(stopping)
            except grpc.aio.AioRpcError as error:
                if advice := TURNED_AWAY.get(error.code()):
                    least = self._timing.backoff_turned_away
                    log.warning("%s (%s)", advice, error.details())
                else:
                    log.warning("stream ended: %s: %s", error.code().name, error.details())
            except StreamError as error:
                log.warning("stream ended: %s", error)
            except Exception:
                log.exception("stream failed")
            if stopping.is_set():
                return
            lasted = time.monotonic() - opened
            attempt = 0 if lasted >= self._timing.settled else attempt + 1
            delay = least + self._backoff(attempt)
            log.info("connecting again in %.1f s", delay)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(stopping.wait(), delay)

    def _backoff(self, attempt: int) -> float:
        most = self._timing.backoff_first * 2.0 ** min(attempt, 16)
        return random.uniform(0, min(most, self._timing.backoff_most))  # noqa: S311  # spreads load

    async def _connect_once(self, stopping: asyncio.Event) -> None:
        credentials = grpc.ssl_channel_credentials(self._identity.ca_certificate.encode())
        channel = grpc.aio.secure_channel(self._identity.address, credentials, CHANNEL_OPTIONS)
        try:
            call = AgentCommunicationStub(channel).EstablishCommunicationStream()
            try:
                await self._shake_hands(call, stopping)
                session = Session(call, self._outbox, self._hands, self._configure, self._timing)
                await session.run(stopping)
            finally:
                call.cancel()
        finally:
            await channel.close()

    async def _shake_hands(self, call: Call, stopping: asyncio.Event) -> None:
        exchange = asyncio.ensure_future(self._exchange(call))
        stop = asyncio.ensure_future(stopping.wait())
        try:
            await asyncio.wait(
                {exchange, stop},
                timeout=self._timing.handshake,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if exchange.done():
                check(exchange)
            elif not stopping.is_set():
                raise StreamError(f"no handshake within {self._timing.handshake:g} s")
        finally:
            await cancel(exchange, stop)

    async def _exchange(self, call: Call) -> None:
        message = await receive(call)
        if message.WhichOneof("payload") != "challenge":
            raise StreamError("the server did not begin with a challenge")
        self._hands.met(message.challenge.server_time_unix_ms)
        handshake = AgentHandshake(
            vps_id=self._identity.vps_id,
            signature=self._identity.sign_challenge(message.challenge.nonce),
            facts=self._facts(),
            powers=self._hands.powers(),
            config_revision=self._revision(),
        )
        await send(call, MessageToServer(handshake=handshake))
        message = await receive(call)
        ack = message.handshake_ack
        if ack.result != ServerHandshakeAck.RESULT_ACCEPTED:
            raise StreamError("the server did not accept the handshake")
        log.info("connected to %s as %s", self._identity.address, self._identity.vps_id)
        self._configure(ack.config)


class Session:
    """One stream, from the handshake to its end.

    Reading never waits for writing: what is read is answered through bounded queues. Writers
    take turns, message by message, so that none waits for all that another has.
    """

    def __init__(
        self,
        call: Call,
        outbox: Outbox,
        hands: Hands,
        configure: Callable[[AgentConfig], None],
        timing: Timing,
    ) -> None:
        self._call = call
        self._outbox = outbox
        self._hands = hands
        self._configure = configure
        self._timing = timing
        self._writing = asyncio.Lock()
        self._answers: asyncio.Queue[MessageToServer] = asyncio.Queue(ANSWER_LIMIT)
        self._heard = asyncio.Event()

    async def run(self, stopping: asyncio.Event) -> None:
        """Return when told to stop; raise when the stream breaks."""
        self._outbox.resend()
        self._hands.opened()
        parts: tuple[Coroutine[Any, Any, None], ...] = (
            self._read(),
            self._send_each(self._outbox.next_message),
            self._send_each(self._hands.outgoing.next_message),
            self._send_each(self._hands.next_of_sessions),
            self._send_each(self._answers.get),
            self._beat(),
        )
        tasks = [asyncio.ensure_future(part) for part in parts]
        stop = asyncio.ensure_future(stopping.wait())
        try:
            done, _ = await asyncio.wait({*tasks, stop}, return_when=asyncio.FIRST_COMPLETED)
            if stop in done:
                await self._hands.stop()
                settled = asyncio.gather(self._outbox.settled(), self._hands.settled())
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(settled, self._timing.flush)
                return
            for task in done:
                check(task)
        finally:
            self._hands.lost()
            await cancel(*tasks, stop)

    async def _write(self, message: MessageToServer) -> None:
        async with self._writing:
            await send(self._call, message)

    async def _send_each(self, following: Callable[[], Awaitable[MessageToServer]]) -> None:
        while True:
            await self._write(await following())

    async def _beat(self) -> None:
        for number in itertools.count(1):
            self._heard.clear()
            await asyncio.sleep(self._timing.heartbeat_interval)
            if self._heard.is_set():
                continue  # it speaks without being asked
            try:
                await asyncio.wait_for(self._ask(number), self._timing.heartbeat_timeout)
            except asyncio.TimeoutError:
                raise StreamError("the server does not answer heartbeats") from None

    async def _ask(self, number: int) -> None:
        # Any word is a sign of life: the answer itself may stand behind batches.
        self._heard.clear()
        await self._write(MessageToServer(heartbeat=_heartbeat(number, reply=False)))
        await self._heard.wait()

    async def _read(self) -> None:
        while True:
            message = await receive(self._call)
            self._heard.set()
            match message.WhichOneof("payload"):
                case "batch_ack":
                    self._settle(message.batch_ack)
                case "heartbeat_request":
                    self._hear(message.heartbeat_request)
                case "config":
                    self._configure(message.config)
                case "command_request":
                    self._hands.command(message.command_request)
                case "pty_data":
                    self._hands.session(message.pty_data)
                case other:
                    log.debug("message ignored: %s", other)

    def _settle(self, ack: BatchAck) -> None:
        if ack.epoch != self._outbox.epoch:
            return
        self._outbox.durable(ack.durable_sequences)
        match ack.outcome:
            case BatchAck.OUTCOME_ACCEPTED:
                self._outbox.accepted(ack.sequences)
            case BatchAck.OUTCOME_DURABLE:
                self._outbox.durable(ack.sequences)
            case BatchAck.OUTCOME_REFUSED:
                self._outbox.refuse(ack.sequences, ack.reason)
            case BatchAck.OUTCOME_RETRY:
                self._outbox.retry(ack.sequences, ack.retry_after_ms / 1000)

    def _hear(self, heartbeat: Heartbeat) -> None:
        if not heartbeat.reply:
            self._answer(MessageToServer(heartbeat=_heartbeat(heartbeat.number, reply=True)))

    def _answer(self, message: MessageToServer) -> None:
        try:
            self._answers.put_nowait(message)
        except asyncio.QueueFull:
            raise StreamError("the server asks faster than it takes answers") from None


async def receive(call: Call) -> MessageToAgent:
    message = await call.read()
    if isinstance(message, MessageToAgent):
        return message
    raise await ended(call)


async def send(call: Call, message: MessageToServer) -> None:
    try:
        await call.write(message)
    except asyncio.InvalidStateError:
        raise await ended(call) from None


async def ended(call: Call) -> Exception:
    code = await call.code()
    if code is grpc.StatusCode.OK:
        return StreamError("the server closed it")
    return grpc.aio.AioRpcError(
        code, await call.initial_metadata(), await call.trailing_metadata(), await call.details()
    )


def check(task: asyncio.Future[Any]) -> None:
    """Raise what a task failed with."""
    if task.cancelled():
        # Nobody here did it: gRPC says so when the other side cancels the call.
        raise StreamError("the server cancelled it")
    task.result()


def _heartbeat(number: int, *, reply: bool) -> Heartbeat:
    return Heartbeat(number=number, time_unix_ms=time.time_ns() // 1_000_000, reply=reply)
