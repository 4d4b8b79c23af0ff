"""A service's connection to NATS.

Every payload is a message of the protobuf contract. The headers carry its type (`Flotilla-Type`)
and the `traceparent`, so that any client can follow the traffic.
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

from services.kit import cancellation
from services.kit.backoff import backoff
from services.kit.bus import subjects
from services.kit.bus.acks import AckedPublisher
from services.kit.errors import NoResponderError, PoisonError, TransientError
from services.kit.observability import trace_headers, traced
from services.kit.settings import Settings, StrongSecret

log = structlog.get_logger(__name__)

TYPE_HEADER = "Flotilla-Type"
EDGE_HEADER = "Flotilla-Edge"  # the edge to notify when the message is durable
MSG_ID_HEADER = "Nats-Msg-Id"
REVISION_HEADER = "Nats-Expected-Last-Subject-Sequence"
WRONG_REVISION = 10071  # nats-server's error code
NO_RESPONDERS = "503"  # value of the header `Status`, in the NATS protocol
PUBLISH_TIMEOUT = 5.0  # seconds
REQUEST_TIMEOUT = 5.0  # seconds
CLOSE_TIMEOUT = 3  # seconds
RECONNECT_CHECK = 1.0  # seconds between checks for a reconnect, while waiting for an answer
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
# Unprocessed messages of one subscription; further ones are dropped and counted.
PENDING_BYTES = 8 * 1024 * 1024
FIRST_DELAY, MAX_DELAY = 1.0, 30.0  # seconds between attempts to watch a bucket

SLOW_CONSUMER = Counter(
    "flotilla_bus_dropped_total", "NATS messages dropped because a subscriber was too slow"
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
    """Parse a payload.

    Raises: PoisonError.
    """
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise PoisonError(f"The payload is not a {kind.DESCRIPTOR.full_name}.") from error


def is_no_responders(message: Msg) -> bool:
    """Return True for a message in which NATS reports that nobody listens."""
    return not message.data and (message.headers or {}).get("Status") == NO_RESPONDERS


class Answers(Generic[M]):
    """The answers to one request, in order."""

    def __init__(
        self, client: Client, subscription: Subscription, subject: str, kind: type[M]
    ) -> None:
        self._client = client
        self._reconnects = client.stats["reconnects"]
        self._subscription = subscription
        self._subject = subject
        self._kind = kind

    async def next(self, *, timeout: float) -> M:
        """Return the next answer.

        Raises: NoResponderError, TransientError, PoisonError.
        """
        until = time.monotonic() + timeout
        while True:
            wait = min(max(until - time.monotonic(), 0.0), RECONNECT_CHECK)
            try:
                with cancellation.propagate_cancellation():
                    message = await self._subscription.next_msg(wait)
            except (NatsError, TimeoutError) as error:
                # After a reconnect nats-server has lost the permission to reply, so no answer can
                # arrive.
                reconnected = self._reconnects != self._client.stats["reconnects"]
                waits = isinstance(error, TimeoutError) and time.monotonic() < until
                if reconnected or not waits:
                    raise TransientError(f"No answer on {self._subject} in time.") from error
            else:
                if is_no_responders(message):
                    raise NoResponderError(self._subject)
                return decode(message.data, self._kind)


class Bus:
    def __init__(self, client: Client) -> None:
        self.client = client
        self.jetstream: JetStreamContext = client.jetstream(timeout=PUBLISH_TIMEOUT)
        self._buckets: dict[subjects.Bucket, KeyValue] = {}
        self._publisher = AckedPublisher(client)

    async def start(self) -> None:
        await self._publisher.start()

    def stop(self) -> None:
        self._publisher.stop()

    @property
    def connected(self) -> bool:
        return self.client.is_connected

    def require(self) -> None:
        """Check that messages would be sent now, instead of being buffered for later.

        Raises: TransientError: NATS is away.
        """
        if not self.connected:
            raise TransientError("NATS is not connected.")

    async def publish(
        self,
        subject: str,
        message: Message,
        *,
        reply: str = "",
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> None:
        """Send a message to the current subscribers of the subject. It is not stored.

        If there are none, NATS sends a message to `reply`; see `is_no_responders`.

        Raises:
            TransientError: NATS is away and the client's buffer is full.
        """
        all_headers = {**encode_headers(message.DESCRIPTOR.full_name), **headers}
        try:
            await self.client.publish(subject, message.SerializeToString(), reply, all_headers)
        except NatsError as error:
            raise TransientError(f"Cannot publish on {subject}: {error}.") from error

    async def store(
        self, subject: str, message: Message, *, msg_id: str, edge_id: str | None = None
    ) -> bool:
        """Publish into the stream of `subject` and wait until it is stored.

        Return False if the stream has a message with this id already.

        Raises:
            TransientError: the stream did not store it: it is away or full, or did not answer.
        """
        with traced(f"store {subject.split('.')[1]}"):
            headers = encode_headers(message.DESCRIPTOR.full_name, msg_id=msg_id)
            if edge_id is not None:
                headers[EDGE_HEADER] = edge_id
            return await self._publisher.publish(subject, message.SerializeToString(), headers)

    async def request(
        self,
        subject: str,
        message: Message,
        answer: type[M],
        *,
        timeout: float = REQUEST_TIMEOUT,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> M:
        """Send a request and return its answer.

        Raises:
            NoResponderError: nobody listens. This is known at once.
            TransientError: no answer came within `timeout` seconds.
            PoisonError: the answer is not a message of type `answer`.
        """
        with traced("request"):
            all_headers = {**encode_headers(message.DESCRIPTOR.full_name), **headers}
            try:
                with cancellation.propagate_cancellation():
                    reply = await self.client.request(
                        subject, message.SerializeToString(), timeout=timeout, headers=all_headers
                    )
            except NoRespondersError as error:
                raise NoResponderError(subject) from error
            except (NatsError, TimeoutError) as error:
                raise TransientError(f"No answer on {subject}: {error}.") from error
        return decode(reply.data, answer)

    @asynccontextmanager
    async def conversation(
        self, subject: str, message: Message, answer: type[M]
    ) -> AsyncIterator[Answers[M]]:
        """Send a request whose answer consists of several messages.

        Raises:
            TransientError: NATS is away.
        """
        inbox = self.client.new_inbox()
        headers = encode_headers(message.DESCRIPTOR.full_name)
        try:
            subscription = await self.client.subscribe(inbox, pending_bytes_limit=PENDING_BYTES)
            await self.client.publish(
                subject, message.SerializeToString(), reply=inbox, headers=headers
            )
        except NatsError as error:
            raise TransientError(f"Cannot send a request on {subject}: {error}.") from error
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
        """Write a key and return its new revision.

        With `revision`, write only if the key still has it; return None if it does not.

        Raises:
            TransientError: the bucket did not store it.
        """
        with traced(f"put {bucket}"):
            headers = encode_headers(message.DESCRIPTOR.full_name)
            if revision is not None:
                headers[REVISION_HEADER] = str(revision)
            try:
                # The client's own key-value store cannot send headers, such as the type.
                with cancellation.propagate_cancellation():
                    ack = await self.jetstream.publish(
                        subjects.key(bucket, key), message.SerializeToString(), headers=headers
                    )
            except (NatsError, APIError, NoStreamResponseError, TimeoutError) as error:
                if isinstance(error, APIError) and error.err_code == WRONG_REVISION:
                    return None
                raise TransientError(f"Cannot write {key} in {bucket}: {error}.") from error
        return ack.seq

    async def delete(self, bucket: subjects.Bucket, key: str) -> None:
        """Delete a key; a missing one is fine.

        Raises: TransientError.
        """
        try:
            with cancellation.propagate_cancellation():
                await (await self._bucket(bucket)).delete(key)
        except KeyNotFoundError:
            return
        except (NatsError, APIError, NoStreamResponseError, TimeoutError) as error:
            raise TransientError(f"Cannot delete {key} in {bucket}: {error}.") from error

    async def _bucket(self, bucket: subjects.Bucket) -> KeyValue:
        if bucket not in self._buckets:
            self._buckets[bucket] = await self.jetstream.key_value(bucket)
        return self._buckets[bucket]

    async def watch(self, bucket: subjects.Bucket) -> AsyncGenerator[Entry | None, None]:
        """Yield the whole bucket, then None, then every change, without end.

        After a reconnect, everything is yielded again from the start, so entries must be applied
        idempotently.
        """
        delays = backoff(FIRST_DELAY, MAX_DELAY)
        while True:
            reconnects = self.client.stats["reconnects"]
            try:
                with cancellation.propagate_cancellation():
                    watcher = await (await self._bucket(bucket)).watchall()
            except (NatsError, APIError, NoStreamResponseError, TimeoutError) as error:
                delay = next(delays)
                log.warning("bucket_away", bucket=bucket, error=str(error), retry_in=delay)
                await asyncio.sleep(delay)
                continue
            delays = backoff(FIRST_DELAY, MAX_DELAY)
            try:
                while reconnects == self.client.stats["reconnects"]:
                    try:
                        with cancellation.propagate_cancellation():
                            entry = await watcher.updates(timeout=2.0)  # type: ignore[no-untyped-call]
                    except (NatsError, TimeoutError):
                        continue
                    if entry is None:
                        yield None
                    else:
                        is_deleted = entry.operation in {KV_DEL, KV_PURGE}
                        yield Entry(entry.key, None if is_deleted else entry.value)
            finally:
                if self.connected:
                    await watcher.stop()  # type: ignore[no-untyped-call]


@asynccontextmanager
async def connect(
    settings: Settings, user: subjects.User, password: StrongSecret, *, name: str
) -> AsyncIterator[Bus]:
    """Connect to NATS, wait for it as long as necessary, and reconnect whenever it returns."""

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
    await bus.start()
    try:
        yield bus
    finally:
        bus.stop()
        # Subscriptions have ended by now, but published messages may still be in the buffer.
        with suppress(NatsError, TimeoutError):
            if client.is_connected:
                await client.flush(timeout=CLOSE_TIMEOUT)
        # The client's own `close` can fail on a transport that is closed already.
        with suppress(NatsError, RuntimeError, OSError):
            await client.close()
