"""A durable pull consumer with three outcomes.

done → ack, after the effect is committed; transient → nak with a delay that
grows; poison → dead letter, then term.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial

import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import APIError, FetchTimeoutError, NoStreamResponseError
from prometheus_client import Counter, Histogram

from services.kit import bundles, cancellation, subjects
from services.kit.bus import MSG_ID_HEADER, Bus
from services.kit.errors import PoisonError, TransientError

log = structlog.get_logger(__name__)

IDLE_WAIT = 5.0  # seconds a fetch waits for a first message
LINGER = 0.05  # seconds it then waits for company
HANDLE_TIMEOUT = 20.0  # seconds, under the durable's ack_wait
MAX_DELAY = 10.0  # seconds, of what may last: what waits meanwhile has to be caught up with
STALL_AFTER = 30.0  # seconds without a message before it is asked whether any wait
REASON_HEADER = "Flotilla-Reason"
ORIGIN_HEADER = "Flotilla-Subject"

MESSAGES = Counter("flotilla_consumer_messages_total", "By outcome", ["durable", "outcome"])
STALLS = Counter("flotilla_consumer_stalls_total", "Times it was bound anew", ["durable"])
HANDLING = Histogram("flotilla_consumer_handle_seconds", "One batch", ["durable"])

Handle = Callable[[Sequence[Msg]], Awaitable[None]]
Told = Callable[[Msg, Exception], Awaitable[None]]


class Consumer:
    """Feeds batches of one durable to `handle`, which returns when all took effect.

    `handle` raises TransientError when the batch may succeed later. Anything
    else means a message in it is poison: the batch is then handled one by one,
    a bundle by what it holds, and what still fails alone is set aside. `set_aside`
    is told of it.
    """

    def __init__(
        self,
        bus: Bus,
        stream: subjects.Stream,
        durable: subjects.Durable,
        handle: Handle,
        *,
        batch: int,
        set_aside: Told | None = None,
    ) -> None:
        self._bus = bus
        self._stream = stream
        self._durable = durable
        self._handle = handle
        self._batch = batch
        self._told = set_aside
        self._delay = 0.0

    async def run(self) -> None:
        """Consume until cancelled; a batch in hand is finished first."""
        subscription = await self._bind()
        heard_at = time.monotonic()
        while True:
            messages = await self._fetch(subscription)
            if messages:
                heard_at = time.monotonic()
                work = asyncio.ensure_future(self._process(messages))
                try:
                    await asyncio.shield(work)
                except asyncio.CancelledError:
                    await asyncio.wait({work}, timeout=HANDLE_TIMEOUT)
                    raise
            elif time.monotonic() - heard_at > STALL_AFTER:
                heard_at = time.monotonic()
                if await self._is_stalled():
                    STALLS.labels(self._durable).inc()
                    log.error("stalled", durable=self._durable, hint="bound anew")
                    with suppress(NatsError):
                        await subscription.unsubscribe()
                    subscription = await self._bind()
            if self._delay:
                await asyncio.sleep(self._delay)

    async def _is_stalled(self) -> bool:
        """Whether messages wait that nobody has in hand, and yet none are delivered."""
        try:
            with cancellation.heeded():
                info = await self._bus.jetstream.consumer_info(self._stream, self._durable)
        except (NatsError, APIError, NoStreamResponseError, TimeoutError):
            return False  # away, not stalled; the connection says so itself
        return bool(info.num_pending) and not info.num_ack_pending

    async def _bind(self) -> JetStreamContext.PullSubscription:
        delay = 1.0
        while True:
            try:
                # Fails while the stream is not provisioned: said, and tried again.
                with cancellation.heeded():
                    await self._bus.jetstream.consumer_info(self._stream, self._durable)
            except (NatsError, APIError, NoStreamResponseError, TimeoutError) as error:
                log.warning(
                    "consumer_away",
                    durable=self._durable,
                    error=str(error),
                    hint="run `flotilla provision`",
                    retry_in=delay,
                )
                await asyncio.sleep(delay)
                delay = min(delay * 2, MAX_DELAY)
                continue
            return await self._bus.jetstream.pull_subscribe_bind(
                consumer=self._durable, stream=self._stream
            )

    async def _fetch(self, subscription: JetStreamContext.PullSubscription) -> list[Msg]:
        try:
            with cancellation.heeded():
                messages = await subscription.fetch(1, timeout=IDLE_WAIT)
        except (FetchTimeoutError, TimeoutError):
            return []
        except (NatsError, APIError) as error:
            log.warning("fetch_failed", durable=self._durable, error=str(error))
            self._delay = min(max(1.0, self._delay * 2), MAX_DELAY)
            return []
        # Whatever goes wrong here, the first one is in hand.
        with (
            suppress(FetchTimeoutError, TimeoutError, NatsError, APIError),
            cancellation.heeded(),
        ):
            messages += await subscription.fetch(self._batch - 1, timeout=LINGER)
        return messages

    async def _process(self, messages: list[Msg]) -> None:
        try:
            with HANDLING.labels(self._durable).time():
                await self._attempt(messages)
        except TransientError as error:
            await self._postpone(messages, error)
        except Exception as error:  # noqa: BLE001  the top of the consumer's loop
            if len(messages) > 1:
                log.warning("batch_split", durable=self._durable, size=len(messages))
                for message in messages:
                    await self._process([message])
            else:
                await self._sift(messages[0], error)
        else:
            self._delay = 0.0
            await self._answer(messages, Msg.ack)
            MESSAGES.labels(self._durable, "done").inc(len(messages))

    async def _attempt(self, messages: list[Msg]) -> None:
        try:
            async with asyncio.timeout(HANDLE_TIMEOUT):
                await self._handle(messages)
        except TimeoutError as error:
            raise TransientError(f"not done within {HANDLE_TIMEOUT:.0f} s") from error

    async def _postpone(self, messages: list[Msg], error: TransientError) -> None:
        self._delay = min(max(1.0, self._delay * 2), MAX_DELAY)
        log.warning(
            "postponed",
            durable=self._durable,
            size=len(messages),
            retry_in=self._delay,
            error=str(error),
        )
        await self._answer(messages, partial(Msg.nak, delay=self._delay))
        MESSAGES.labels(self._durable, "postponed").inc(len(messages))

    async def _answer(self, messages: list[Msg], answer: Callable[[Msg], Awaitable[None]]) -> None:
        try:
            for message in messages:
                await answer(message)
        except NatsError as error:
            # They come again after ack_wait, and change nothing then.
            log.warning("answer_failed", durable=self._durable, error=str(error))

    async def _sift(self, message: Msg, error: Exception) -> None:
        """Set aside what is poison in a message that failed alone, and let the rest take effect."""
        try:
            letters = await self._letters(message, error)
            for number, (part, reason) in enumerate(letters):
                await self._set_aside(part, reason, number)
        except TransientError as failure:
            await self._postpone([message], failure)
            return
        # A bundle may have failed as a whole and each of its parts not.
        await self._answer([message], Msg.term if letters else Msg.ack)
        MESSAGES.labels(self._durable, "dead" if letters else "done").inc()

    async def _letters(self, message: Msg, error: Exception) -> list[tuple[Msg, Exception]]:
        """What of a message is poison, and why. Raises: TransientError."""
        try:
            parts = bundles.unbundled(message)
        except PoisonError:
            parts = [message]
        if len(parts) == 1:
            return [(message, error)]
        letters: list[tuple[Msg, Exception]] = []
        for part in parts:
            try:
                await self._attempt([part])
            except TransientError:
                raise
            except Exception as reason:  # noqa: BLE001  each part is a loop's top of its own
                letters.append((part, reason))
        return letters

    async def _set_aside(self, message: Msg, error: Exception, number: int) -> None:
        """Raises: TransientError."""
        sequence = message.metadata.sequence.stream
        headers = dict(message.headers or {})
        headers[MSG_ID_HEADER] = f"{self._durable}.{sequence}.{number}"
        headers[REASON_HEADER] = f"{type(error).__name__}: {error}".splitlines()[0][:500]
        headers[ORIGIN_HEADER] = message.subject
        try:
            await self._bus.jetstream.publish(
                subjects.deadletter(self._stream, self._durable), message.data, headers=headers
            )
        except (NatsError, APIError, NoStreamResponseError, TimeoutError) as failure:
            raise TransientError(f"no dead letter: {failure}") from failure
        log.error(
            "set_aside",
            durable=self._durable,
            subject=message.subject,
            sequence=sequence,
            reason=headers[REASON_HEADER],
            exc_info=not isinstance(error, PoisonError),
        )
        if self._told is not None:
            await self._told(message, error)
