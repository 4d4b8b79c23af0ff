"""A durable pull consumer with three outcomes per message.

Done: acknowledged, after its effect is committed. Transient failure: delivered again after a
growing delay. Poison: copied to the dead letters, then terminated.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import APIError, FetchTimeoutError, NoStreamResponseError
from prometheus_client import Counter, Histogram

from services.kit import cancellation
from services.kit.backoff import backoff
from services.kit.bus import subjects
from services.kit.bus.connection import MSG_ID_HEADER, Bus
from services.kit.errors import PoisonError, TransientError

log = structlog.get_logger(__name__)

REASON_HEADER = "Flotilla-Reason"
ORIGIN_HEADER = "Flotilla-Subject"

MESSAGES = Counter(
    "flotilla_consumer_messages_total", "Messages by outcome", ["durable", "outcome"]
)
STALLS = Counter(
    "flotilla_consumer_stalls_total", "Consumer re-subscriptions after a stall", ["durable"]
)
HANDLING = Histogram(
    "flotilla_consumer_handle_seconds", "Seconds to handle one batch of messages", ["durable"]
)

Handle = Callable[[Sequence[Msg]], Awaitable[None]]
OnDeadLetter = Callable[[Msg, Exception], Awaitable[None]]
Split = Callable[[Msg], list[Msg]]


@dataclass(frozen=True, slots=True)
class ConsumerTiming:
    """Times in seconds."""

    idle_wait: float = 5.0
    """Time that a fetch waits for the first message."""
    linger: float = 0.05
    """Time that a fetch then waits for more messages."""
    handle_timeout: float = 20.0
    """Time limit for one batch, shorter than the durable's `ack_wait`."""
    drain_timeout: float = 20.0
    """Time for the current batch when the consumer is cancelled."""
    first_delay: float = 1.0
    """Delay of the second attempt after a transient failure; it doubles for each further one."""
    max_delay: float = 10.0
    """Longest delay of an attempt. After it, the messages that arrived in between must be handled."""
    stall_after: float = 30.0
    """Time without a message after which the consumer checks whether messages wait."""


DEFAULT_TIMING = ConsumerTiming()


def _whole(message: Msg) -> list[Msg]:
    return [message]


class Consumer:
    """Passes batches of one durable's messages to `handle`.

    `handle` returns when all messages took effect. It raises TransientError if the batch may
    succeed later. Any other error means that a message in the batch is poison. The messages are
    then handled one by one. A message that fails alone is split into its parts with `split`, and
    each part that fails alone becomes a dead letter, which is reported to `on_dead_letter`.

    `split` raises PoisonError if the message cannot be read.
    """

    def __init__(
        self,
        bus: Bus,
        stream: subjects.Stream,
        durable: subjects.Durable,
        handle: Handle,
        *,
        batch: int,
        split: Split = _whole,
        on_dead_letter: OnDeadLetter | None = None,
        timing: ConsumerTiming = DEFAULT_TIMING,
    ) -> None:
        self._bus = bus
        self._stream = stream
        self._durable = durable
        self._handle = handle
        self._batch = batch
        self._split = split
        self._on_dead_letter = on_dead_letter
        self._timing = timing
        self._delays = self._new_delays()
        self._delay = 0.0  # seconds until the next fetch

    async def run(self) -> None:
        """Consume until cancelled; a batch that is being handled is finished first."""
        subscription = await self._subscribe()
        heard_at = time.monotonic()
        while True:
            messages = await self._fetch(subscription)
            if messages:
                heard_at = time.monotonic()
                work = asyncio.ensure_future(self._process(messages))
                try:
                    await asyncio.shield(work)
                except asyncio.CancelledError:
                    await asyncio.wait({work}, timeout=self._timing.drain_timeout)
                    raise
            elif time.monotonic() - heard_at > self._timing.stall_after:
                heard_at = time.monotonic()
                if await self._is_stalled():
                    STALLS.labels(self._durable).inc()
                    log.error("consumer_stalled", durable=self._durable, hint="subscribing again")
                    with suppress(NatsError):
                        await subscription.unsubscribe()
                    subscription = await self._subscribe()
            if self._delay:
                await asyncio.sleep(self._delay)

    def _new_delays(self) -> Iterator[float]:
        return backoff(self._timing.first_delay, self._timing.max_delay)

    async def _is_stalled(self) -> bool:
        """Return True if messages wait, none is being handled, and none is delivered."""
        try:
            with cancellation.propagate_cancellation():
                info = await self._bus.jetstream.consumer_info(self._stream, self._durable)
        except (NatsError, APIError, NoStreamResponseError, TimeoutError):
            return False  # NATS is away, which the connection reports
        return bool(info.num_pending) and not info.num_ack_pending

    async def _subscribe(self) -> JetStreamContext.PullSubscription:
        delays = self._new_delays()
        while True:
            try:
                # Fails until the stream is provisioned.
                with cancellation.propagate_cancellation():
                    await self._bus.jetstream.consumer_info(self._stream, self._durable)
            except (NatsError, APIError, NoStreamResponseError, TimeoutError) as error:
                delay = next(delays)
                log.warning(
                    "consumer_away",
                    durable=self._durable,
                    error=str(error),
                    hint="run `flotilla provision`",
                    retry_in=delay,
                )
                await asyncio.sleep(delay)
                continue
            return await self._bus.jetstream.pull_subscribe_bind(
                consumer=self._durable, stream=self._stream
            )

    async def _fetch(self, subscription: JetStreamContext.PullSubscription) -> list[Msg]:
        try:
            with cancellation.propagate_cancellation():
                messages = await subscription.fetch(1, timeout=self._timing.idle_wait)
        except (FetchTimeoutError, TimeoutError):
            return []
        except (NatsError, APIError) as error:
            log.warning("fetch_failed", durable=self._durable, error=str(error))
            self._delay = next(self._delays)
            return []
        # The first message is here. A failure to fetch more must not lose it.
        with (
            suppress(FetchTimeoutError, TimeoutError, NatsError, APIError),
            cancellation.propagate_cancellation(),
        ):
            messages += await subscription.fetch(self._batch - 1, timeout=self._timing.linger)
        return messages

    async def _process(self, messages: list[Msg]) -> None:
        """Handle messages together, or one by one if one of them is poison; answer each."""
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
                await self._process_failed(messages[0], error)
        else:
            self._delays, self._delay = self._new_delays(), 0.0
            await self._answer(messages, Msg.ack)
            MESSAGES.labels(self._durable, "done").inc(len(messages))

    async def _attempt(self, messages: list[Msg]) -> None:
        timeout = self._timing.handle_timeout
        try:
            async with asyncio.timeout(timeout):
                await self._handle(messages)
        except TimeoutError as error:
            raise TransientError(f"Handling took longer than {timeout:.0f} s.") from error

    async def _postpone(self, messages: list[Msg], error: TransientError) -> None:
        self._delay = next(self._delays)
        log.warning(
            "messages_postponed",
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
            # JetStream delivers them again after ack_wait, which has no second effect.
            log.warning("answer_failed", durable=self._durable, error=str(error))

    async def _process_failed(self, message: Msg, error: Exception) -> None:
        """Dead-letter the poison parts of a message that failed alone; handle the others."""
        try:
            poison = await self._find_poison(message, error)
            for number, (part, reason) in enumerate(poison):
                await self._publish_dead_letter(part, reason, number)
        except TransientError as failure:
            await self._postpone([message], failure)
            return
        # A bundle can fail as a whole although each of its parts succeeds alone.
        await self._answer([message], Msg.term if poison else Msg.ack)
        MESSAGES.labels(self._durable, "dead" if poison else "done").inc()

    async def _find_poison(self, message: Msg, error: Exception) -> list[tuple[Msg, Exception]]:
        """Handle each part of a failed message alone; return the parts that fail, with the error.

        A message of one part is not handled again: it has failed alone already.

        Raises: TransientError.
        """
        try:
            parts = self._split(message)
        except PoisonError:
            parts = [message]
        if len(parts) == 1:
            return [(message, error)]
        poison: list[tuple[Msg, Exception]] = []
        for part in parts:
            try:
                await self._attempt([part])
            except TransientError:
                raise
            except Exception as reason:  # noqa: BLE001  a part fails alone, as a message does
                poison.append((part, reason))
        return poison

    async def _publish_dead_letter(self, message: Msg, error: Exception, number: int) -> None:
        """Copy a message, or a part of one, to the dead letters.

        `number` is the position of the part in its message. It makes the dead letter's id unique.

        Raises: TransientError.
        """
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
            raise TransientError(f"Cannot store a dead letter: {failure}.") from failure
        log.error(
            "message_dead_lettered",
            durable=self._durable,
            subject=message.subject,
            sequence=sequence,
            reason=headers[REASON_HEADER],
            exc_info=not isinstance(error, PoisonError),
        )
        if self._on_dead_letter is not None:
            await self._on_dead_letter(message, error)
