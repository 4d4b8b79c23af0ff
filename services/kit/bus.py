"""A service's connection to NATS.

Every payload is a message from the contract, named in the `Flotilla-Type`
header, with `traceparent` beside it, so that any client can follow the traffic.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Generic, TypeVar

import structlog
from google.protobuf.message import DecodeError, Message
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError, SlowConsumerError
from nats.js import JetStreamContext
from nats.js.errors import (
    APIError,
    KeyNotFoundError,
    NoStreamResponseError,
)
from nats.js.kv import KV_DEL, KV_PURGE, KeyValue
from prometheus_client import Counter

from services.kit import cancellation, subjects
from services.kit.acknowledgements import Acknowledgements
from services.kit.errors import NobodyServesError, PoisonError, TransientError
from services.kit.health import Health
from services.kit.settings import Settings, StrongSecret
from services.kit.telemetry import trace_headers, traced

log = structlog.get_logger(__name__)

TYPE_HEADER = "Flotilla-Type"
EDGE_HEADER = "Flotilla-Edge"  # the edge to tell when it is durable
MSG_ID_HEADER = "Nats-Msg-Id"
REVISION_HEADER = "Nats-Expected-Last-Subject-Sequence"
WRONG_REVISION = 10071  # nats-server's error code
NO_RESPONDERS = "503"  # in the header `Status`, as NATS' protocol has it
PUBLISH_TIMEOUT = 5.0  # seconds
REQUEST_TIMEOUT = 5.0  # seconds
CLOSE_TIMEOUT = 3  # seconds
RECONNECTION_LOOK = 1.0  # seconds of an answer's silence between looks
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
PENDING_BYTES = 8 * 1024 * 1024  # a subscriber slower than this drops and counts

SLOW_CONSUMER = Counter(
    "flotilla_bus_dropped_total", "Core messages dropped because a subscriber was too slow"
)

M = TypeVar("M", bound=Message)
Handler = Callable[[Msg], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a bucket; `value` is None when the key was deleted."""

    key: str
    value: bytes | None


def encode_headers(kind: str, *, msg_id: str | None = None) -> dict[str, str]:
    headers = {TYPE_HEADER: kind, **trace_headers()}
    if msg_id is not None:
        headers[MSG_ID_HEADER] = msg_id
    return headers


def decode(data: bytes, kind: type[M]) -> M:
    """Raises: PoisonError."""
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise PoisonError(f"not a {kind.DESCRIPTOR.full_name}") from error


def nobody_serves(message: Msg) -> bool:
    """Whether this is NATS' own answer, in the place of one."""
    return not message.data and (message.headers or {}).get("Status") == NO_RESPONDERS


class Answers(Generic[M]):
    """What comes back of one question, in order."""

    def __init__(
        self, client: Client, subscription: Subscription, subject: str, kind: type[M]
    ) -> None:
        self._client = client
        self._session = client.stats["reconnects"]
        self._subscription = subscription
        self._subject = subject
        self._kind = kind

    async def next(self, *, timeout: float) -> M:
        """Raises: NobodyServesError, TransientError, PoisonError."""
        until = time.monotonic() + timeout
        while True:
            wait = min(max(until - time.monotonic(), 0.0), RECONNECTION_LOOK)
            try:
                with cancellation.heeded():
                    message = await self._subscription.next_msg(wait)
            except (NatsError, TimeoutError) as error:
                # A server that came back has forgotten that who was asked may answer here.
                reconnected = self._session != self._client.stats["reconnects"]
                waits = isinstance(error, TimeoutError) and time.monotonic() < until
                if reconnected or not waits:
                    raise TransientError(f"no answer on {self._subject}") from error
            else:
                if nobody_serves(message):
                    raise NobodyServesError(self._subject)
                return decode(message.data, self._kind)


class Bus:
    def __init__(self, client: Client) -> None:
        self.client = client
        self.jetstream: JetStreamContext = client.jetstream(timeout=PUBLISH_TIMEOUT)
        self._buckets: dict[subjects.Bucket, KeyValue] = {}
        self.acknowledgements = Acknowledgements(client)

    @property
    def connected(self) -> bool:
        return self.client.is_connected

    def require(self) -> None:
        """Raises: TransientError: the bus is away, and would be sent later what is sent now."""
        if not self.connected:
            raise TransientError("the bus is away")

    async def publish(
        self,
        subject: str,
        message: Message,
        *,
        reply: str = "",
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> None:
        """Send to whoever listens now; if nobody does, `reply` is told, see `nobody_serves`.

        Raises:
            TransientError: the bus is away and the client's buffer is full.
        """
        every = {**encode_headers(message.DESCRIPTOR.full_name), **headers}
        try:
            await self.client.publish(subject, message.SerializeToString(), reply, every)
        except NatsError as error:
            raise TransientError(f"cannot publish on {subject}: {error}") from error

    async def store(
        self, subject: str, message: Message, *, msg_id: str, edge_id: str | None = None
    ) -> bool:
        """Publish into the stream of `subject`; True when it was new.

        Raises:
            TransientError: the stream did not take it (away, full, timed out).
        """
        with traced(f"store {subject.split('.')[1]}"):
            headers = encode_headers(message.DESCRIPTOR.full_name, msg_id=msg_id)
            if edge_id is not None:
                headers[EDGE_HEADER] = edge_id
            return await self.acknowledgements.publish(
                subject, message.SerializeToString(), headers
            )

    async def request(
        self,
        subject: str,
        message: Message,
        answer: type[M],
        *,
        timeout: float = REQUEST_TIMEOUT,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> M:
        """Ask whoever serves `subject`.

        Raises:
            NobodyServesError: at once.
            TransientError: no answer came within `timeout` seconds.
            PoisonError: the answer was no `answer`.
        """
        with traced("request"):
            every = {**encode_headers(message.DESCRIPTOR.full_name), **headers}
            try:
                with cancellation.heeded():
                    reply = await self.client.request(
                        subject, message.SerializeToString(), timeout=timeout, headers=every
                    )
            except NoRespondersError as error:
                raise NobodyServesError(subject) from error
            except (NatsError, TimeoutError) as error:
                raise TransientError(f"no answer on {subject}: {error}") from error
        return decode(reply.data, answer)

    @asynccontextmanager
    async def conversation(
        self, subject: str, message: Message, answer: type[M]
    ) -> AsyncIterator[Answers[M]]:
        """Ask whoever serves `subject`, for an answer in several messages.

        Raises:
            TransientError: the bus is away.
        """
        inbox = self.client.new_inbox()
        headers = encode_headers(message.DESCRIPTOR.full_name)
        try:
            subscription = await self.client.subscribe(inbox, pending_bytes_limit=PENDING_BYTES)
            await self.client.publish(
                subject, message.SerializeToString(), reply=inbox, headers=headers
            )
        except NatsError as error:
            raise TransientError(f"cannot ask on {subject}: {error}") from error
        try:
            yield Answers(self.client, subscription, subject, answer)
        finally:
            if not self.client.is_closed:
                await subscription.unsubscribe()

    @asynccontextmanager
    async def subscribed(
        self, subject: str, handler: Handler, *, queue: str = ""
    ) -> AsyncIterator[None]:
        subscription = await self.client.subscribe(
            subject, queue=queue, cb=handler, pending_bytes_limit=PENDING_BYTES
        )
        try:
            yield
        finally:
            if not self.client.is_closed:
                await subscription.unsubscribe()

    async def put(
        self,
        bucket: subjects.Bucket,
        key: str,
        message: Message,
        *,
        revision: int | None = None,
    ) -> int | None:
        """The key's new revision; with `revision`, None if it is not that any more.

        Raises:
            TransientError: the bucket did not take it.
        """
        with traced(f"put {bucket}"):
            headers = encode_headers(message.DESCRIPTOR.full_name)
            if revision is not None:
                headers[REVISION_HEADER] = str(revision)
            try:
                # The client's own key-value store sends no headers, so no type.
                with cancellation.heeded():
                    ack = await self.jetstream.publish(
                        subjects.key(bucket, key), message.SerializeToString(), headers=headers
                    )
            except (NatsError, APIError, NoStreamResponseError, TimeoutError) as error:
                if isinstance(error, APIError) and error.err_code == WRONG_REVISION:
                    return None
                raise TransientError(f"cannot put {key} in {bucket}: {error}") from error
        return ack.seq

    async def delete(self, bucket: subjects.Bucket, key: str) -> None:
        """Raises: TransientError."""
        try:
            with cancellation.heeded():
                await (await self._bucket(bucket)).delete(key)
        except KeyNotFoundError:
            return
        except (NatsError, APIError, NoStreamResponseError, TimeoutError) as error:
            raise TransientError(f"cannot delete {key} of {bucket}: {error}") from error

    async def _bucket(self, bucket: subjects.Bucket) -> KeyValue:
        if bucket not in self._buckets:
            self._buckets[bucket] = await self.jetstream.key_value(bucket)
        return self._buckets[bucket]

    async def watch(self, bucket: subjects.Bucket) -> AsyncGenerator[Entry | None, None]:
        """The whole bucket, then None, then every change, for ever.

        After a reconnection, or when the server forgot the watcher, all of it
        comes again from the start: apply entries idempotently.
        """
        delay = 1.0  # seconds
        while True:
            session = self.client.stats["reconnects"]
            try:
                with cancellation.heeded():
                    watcher = await (await self._bucket(bucket)).watchall()
            except (NatsError, APIError, NoStreamResponseError, TimeoutError) as error:
                log.warning("bucket_away", bucket=bucket, error=str(error), retry_in=delay)
                await asyncio.sleep(delay)
                delay = min(delay * 2, 30.0)
                continue
            delay = 1.0
            try:
                while session == self.client.stats["reconnects"]:
                    try:
                        with cancellation.heeded():
                            entry = await watcher.updates(timeout=2.0)  # type: ignore[no-untyped-call]
                    except (NatsError, TimeoutError):
                        continue
                    if entry is None:
                        yield None
                    else:
                        gone = entry.operation in {KV_DEL, KV_PURGE}
                        yield Entry(entry.key, None if gone else entry.value)
            finally:
                if self.connected:
                    await watcher.stop()  # type: ignore[no-untyped-call]


@asynccontextmanager
async def connect(
    settings: Settings, user: subjects.User, password: StrongSecret, *, name: str
) -> AsyncIterator[Bus]:
    """A connection that waits for the server and never gives up on it."""

    async def on_error(error: Exception) -> None:
        if isinstance(error, SlowConsumerError):
            SLOW_CONSUMER.inc()
        log.warning("bus_error", error=str(error) or type(error).__name__)

    async def on_disconnect() -> None:
        if not client.is_closed:
            log.warning("bus_away", url=settings.nats_url)

    async def on_reconnect() -> None:
        log.info("bus_back", url=settings.nats_url)

    client = Client()
    await client.connect(
        settings.nats_url,
        name=name,
        user=user.value,
        password=password.get_secret_value(),
        inbox_prefix=f"_INBOX_{user}",
        max_reconnect_attempts=-1,
        reconnect_time_wait=1,
        connect_timeout=5,
        ping_interval=20,
        error_cb=on_error,
        disconnected_cb=on_disconnect,
        reconnected_cb=on_reconnect,
    )
    log.info("bus_connected", url=settings.nats_url, user=user.value)
    bus = Bus(client)
    await bus.acknowledgements.start()
    try:
        yield bus
    finally:
        bus.acknowledgements.stop()
        # Subscriptions have ended by now; what was published is still to be sent.
        with suppress(NatsError, TimeoutError):
            if client.is_connected:
                await client.flush(timeout=CLOSE_TIMEOUT)
        # The client's own close can trip over a transport that is gone already.
        with suppress(NatsError, RuntimeError, OSError):
            await client.close()


@asynccontextmanager
async def status_served(bus: Bus, health: Health) -> AsyncIterator[None]:
    """Answer `flotilla status` on the bus while inside."""
    health.checks["bus"] = lambda: (bus.connected, "connected" if bus.connected else "away")

    async def answer(message: Msg) -> None:
        status = health.status()
        if message.reply:
            await bus.publish(message.reply, status)

    async with bus.subscribed(subjects.service_status(health.service), answer):
        yield
