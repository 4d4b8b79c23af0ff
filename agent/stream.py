"""The stream to the server: connecting, and moving messages in both directions."""

import asyncio
import contextlib
import dataclasses
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from google.protobuf.message import DecodeError

from agent.base.backoff import Backoff, wait
from agent.base.cancellation import cancel
from agent.base.errors import StreamError
from agent.base.identity import Identity
from agent.dispatch.dispatcher import Dispatcher
from agent.rpc.call import Call
from agent.rpc.dial import open_call
from agent.rpc.status import RpcError, Status
from agent.spool.send_queue import SendQueue
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

log = logging.getLogger(__name__)

PATH = "/flotilla.v1.AgentCommunication/EstablishCommunicationStream"
REPLY_LIMIT = 64  # messages
# Rejections that last until a person acts. The agent waits longer before it tries again.
REJECTIONS = {
    Status.UNAUTHENTICATED: (
        "The server does not know this agent. If it was removed in the console, create a new install"
        " line there and enrol again with --force."
    ),
    Status.PERMISSION_DENIED: ("The server has disabled this agent. Enable it in the console."),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Timing:
    """Times of the stream, in seconds."""

    handshake: float = 10.0
    heartbeat_interval: float = 15.0
    heartbeat_timeout: float = 15.0
    backoff_first: float = 1.0
    backoff_most: float = 60.0
    backoff_rejected: float = 60.0  # added to the delay after a rejection
    # After a stream that lasted this long, the delays start small again.
    stable: float = 10.0
    drain: float = 1.0  # time to send the remaining messages before the agent ends


class ServerConnection:
    """Opens a stream to the server, and opens it again when it ends."""

    def __init__(
        self,
        identity: Identity,
        queue: SendQueue,
        dispatcher: Dispatcher,
        *,
        revision: Callable[[], int],
        configure: Callable[[AgentConfig], None],
        facts: Callable[[], HostFacts],
        timing: Timing | None = None,
    ) -> None:
        self._identity = identity
        self._queue = queue
        self._dispatcher = dispatcher
        self._revision = revision
        self._configure = configure
        self._facts = facts
        self._timing = timing or Timing()

    async def run(self, stopping: asyncio.Event) -> None:
        """Return when `stopping` is set."""
        backoff = Backoff(first=self._timing.backoff_first, most=self._timing.backoff_most)
        while not stopping.is_set():
            opened = time.monotonic()
            least = 0.0
            try:
                await self._connect_once(stopping)
            except RpcError as error:
                if advice := REJECTIONS.get(error.code):
                    least = self._timing.backoff_rejected
                    log.warning("%s (%s)", advice, error.details)
                else:
                    log.warning("The stream ended: %s", error)
            except StreamError as error:
                log.warning("The stream ended: %s", error)
            except Exception:
                log.exception("The stream failed.")
            if stopping.is_set():
                return
            if time.monotonic() - opened >= self._timing.stable:
                backoff.reset()
            delay = least + backoff.next()
            log.info("Connecting again in %.1f s.", delay)
            await wait(stopping, delay)

    async def _connect_once(self, stopping: asyncio.Event) -> None:
        call = await self._open(stopping)
        if call is None:
            return
        try:
            stream = Stream(call, self._queue, self._dispatcher, self._configure, self._timing)
            await stream.run(stopping)
        finally:
            await call.close()

    async def _open(self, stopping: asyncio.Event) -> Call | None:
        """Return a call after the handshake; None if `stopping` was set meanwhile."""
        opening = asyncio.ensure_future(self._connect_and_shake_hands())
        stop = asyncio.ensure_future(stopping.wait())
        try:
            await asyncio.wait(
                {opening, stop},
                timeout=self._timing.handshake,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if opening.done():
                return opening.result()
            if stopping.is_set():
                return None
            raise StreamError(f"There was no handshake within {self._timing.handshake:g} s.")
        finally:
            await cancel(opening, stop)

    async def _connect_and_shake_hands(self) -> Call:
        call = await open_call(self._identity.address, self._identity.ca_certificate, PATH)
        try:
            await self._shake_hands(call)
        except BaseException:
            await call.close()
            raise
        return call

    async def _shake_hands(self, call: Call) -> None:
        message = await receive(call)
        if message.WhichOneof("payload") != "challenge":
            raise StreamError("The server did not begin with a challenge.")
        self._dispatcher.set_server_time(message.challenge.server_time_unix_ms)
        handshake = AgentHandshake(
            vps_id=self._identity.vps_id,
            signature=self._identity.sign_challenge(message.challenge.nonce),
            facts=self._facts(),
            powers=self._dispatcher.permissions(),
            config_revision=self._revision(),
        )
        await send(call, MessageToServer(handshake=handshake))
        message = await receive(call)
        ack = message.handshake_ack
        if ack.result != ServerHandshakeAck.RESULT_ACCEPTED:
            raise StreamError("The server did not accept the handshake.")
        log.info("Connected to %s as %s.", self._identity.address, self._identity.vps_id)
        self._configure(ack.config)


class Stream:
    """One stream from the handshake to its end.

    Reading never waits for writing: replies go through a queue with a limit. Writers take turns
    after each message, so that none waits until another has sent everything.
    """

    def __init__(
        self,
        call: Call,
        queue: SendQueue,
        dispatcher: Dispatcher,
        configure: Callable[[AgentConfig], None],
        timing: Timing,
    ) -> None:
        self._call = call
        self._queue = queue
        self._dispatcher = dispatcher
        self._configure = configure
        self._timing = timing
        self._writing = asyncio.Lock()
        self._replies: asyncio.Queue[MessageToServer] = asyncio.Queue(REPLY_LIMIT)
        self._received = asyncio.Event()

    async def run(self, stopping: asyncio.Event) -> None:
        """Return when `stopping` is set, or raise what ended the stream."""
        self._queue.stream_opened()
        self._dispatcher.stream_opened()
        parts: tuple[Coroutine[Any, Any, None], ...] = (
            self._read(),
            self._send_each(self._queue.next_message),
            self._send_each(self._dispatcher.responses.next_message),
            self._send_each(self._dispatcher.next_session_message),
            self._send_each(self._replies.get),
            self._send_heartbeats(),
        )
        tasks = [asyncio.ensure_future(part) for part in parts]
        stop = asyncio.ensure_future(stopping.wait())
        try:
            done, _ = await asyncio.wait({*tasks, stop}, return_when=asyncio.FIRST_COMPLETED)
            if stop in done:
                await self._dispatcher.stop()
                drained = asyncio.gather(self._queue.live_accepted(), self._dispatcher.drain())
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(drained, self._timing.drain)
                return
            for task in done:
                task.result()
        finally:
            self._dispatcher.stream_lost()
            await cancel(*tasks, stop)

    async def _write(self, message: MessageToServer) -> None:
        async with self._writing:
            await send(self._call, message)

    async def _send_each(self, next_message: Callable[[], Awaitable[MessageToServer]]) -> None:
        while True:
            await self._write(await next_message())

    async def _send_heartbeats(self) -> None:
        for number in itertools.count(1):
            self._received.clear()
            await asyncio.sleep(self._timing.heartbeat_interval)
            if self._received.is_set():
                continue  # the server responds without a heartbeat
            try:
                await asyncio.wait_for(self._send_heartbeat(number), self._timing.heartbeat_timeout)
            except asyncio.TimeoutError:
                raise StreamError("The server does not answer heartbeats.") from None

    async def _send_heartbeat(self, number: int) -> None:
        # Any message counts as an answer, because the answer itself may wait behind others.
        self._received.clear()
        await self._write(MessageToServer(heartbeat=_heartbeat(number, reply=False)))
        await self._received.wait()

    async def _read(self) -> None:
        while True:
            message = await receive(self._call)
            self._received.set()
            match message.WhichOneof("payload"):
                case "batch_ack":
                    self._apply_ack(message.batch_ack)
                case "heartbeat_request":
                    self._answer_heartbeat(message.heartbeat_request)
                case "config":
                    self._configure(message.config)
                case "command_request":
                    self._dispatcher.handle_command(message.command_request)
                case "pty_data":
                    self._dispatcher.handle_session_data(message.pty_data)
                case other:
                    log.debug("Ignored an unknown message: %s", other)

    def _apply_ack(self, ack: BatchAck) -> None:
        if ack.epoch != self._queue.epoch:
            return
        self._queue.durable(ack.durable_sequences)
        match ack.outcome:
            case BatchAck.OUTCOME_ACCEPTED:
                self._queue.accepted(ack.sequences)
            case BatchAck.OUTCOME_DURABLE:
                self._queue.durable(ack.sequences)
            case BatchAck.OUTCOME_REFUSED:
                self._queue.refused(ack.sequences, ack.reason)
            case BatchAck.OUTCOME_RETRY:
                self._queue.retry(ack.sequences, ack.retry_after_ms / 1000)

    def _answer_heartbeat(self, heartbeat: Heartbeat) -> None:
        if heartbeat.reply:
            return
        message = MessageToServer(heartbeat=_heartbeat(heartbeat.number, reply=True))
        try:
            self._replies.put_nowait(message)
        except asyncio.QueueFull:
            raise StreamError(
                "The server sends requests faster than it reads the replies."
            ) from None


async def receive(call: Call) -> MessageToAgent:
    data = await call.receive()
    if data is None:
        raise StreamError("The server closed it.")
    try:
        return MessageToAgent.FromString(data)
    except DecodeError:
        raise StreamError("The server sent a message that cannot be read.") from None


async def send(call: Call, message: MessageToServer) -> None:
    await call.send(message.SerializeToString())


def _heartbeat(number: int, *, reply: bool) -> Heartbeat:
    return Heartbeat(number=number, time_unix_ms=time.time_ns() // 1_000_000, reply=reply)
