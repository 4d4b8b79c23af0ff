"""Sends notifications. Every instance takes part; the database hands each to one of them."""

import asyncio
import json
import time
from collections.abc import Collection
from datetime import UTC, datetime
from uuid import UUID

import structlog
from prometheus_client import Counter

from services.alerting import delivery_store as store
from services.alerting.notify import channels
from services.alerting.notify.errors import NotDeliveredError, UndeliverableError
from services.alerting.notify.message import message
from services.alerting.timing import AlertingTiming
from services.kit.database import pool as database
from services.kit.errors import FlotillaError, TransientError
from services.kit.secrets import vault
from services.kit.secrets.columns import CHANNEL_CONFIG
from services.kit.secrets.envelope import DecryptionError
from services.kit.secrets.master_keys import MasterKeys

log = structlog.get_logger(__name__)

AT_ONCE = 16  # notifications
PER_CHANNEL = 2  # of one channel, so that a slow provider leaves room for the others
CLAIM = 90.0  # seconds, more than sending takes

NOTIFICATIONS = Counter(
    "flotilla_alerting_notifications_total",
    "Attempts to send a notification, by type of channel and outcome",
    ["type", "outcome"],
)


class Deliveries:
    def __init__(self, pool: database.Pool, keys: MasterKeys, timing: AlertingTiming) -> None:
        self._pool = pool
        self._keys = keys
        self._timing = timing
        self._sending: dict[asyncio.Task[None], UUID] = {}  # with the channel

    async def run(self) -> None:
        """Send notifications until cancelled. One that was being sent is sent again later."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                began = time.monotonic()
                try:
                    for delivery, allowed in await self._claim():
                        task = tasks.create_task(self._deliver(delivery, allowed))
                        self._sending[task] = delivery.channel_id
                        task.add_done_callback(self._sending.pop)
                except TransientError as error:
                    log.warning("notifications_not_claimed", error=str(error))
                pause = self._timing.delivery_interval - (time.monotonic() - began)
                await asyncio.sleep(max(pause, 0.05))

    async def _claim(self) -> list[tuple[store.Delivery, Collection[str]]]:
        room = AT_ONCE - len(self._sending)
        if room <= 0:
            return []
        async with database.transaction(self._pool) as connection:
            found = await store.claim(
                connection,
                limit=room,
                per_channel=PER_CHANNEL,
                seconds=CLAIM,
                busy=list(self._sending.values()),
            )
            if not found:
                return []
            allowed = await store.outbound_targets(connection)
        return [(delivery, allowed) for delivery in found]

    async def _deliver(self, delivery: store.Delivery, allowed: Collection[str]) -> None:
        try:
            outcome = await self._attempt(delivery, allowed)
        except TransientError as error:
            # The claim ends by itself, and the notification is sent again.
            log.warning("notification_not_recorded", delivery=delivery.id, error=str(error))
        else:
            NOTIFICATIONS.labels(delivery.channel_type, outcome).inc()

    async def _attempt(self, delivery: store.Delivery, allowed: Collection[str]) -> str:
        try:
            config = await self._config(delivery)
            await channels.send(delivery.channel_type, config, message(delivery), allowed)
        except TransientError:
            raise
        except NotDeliveredError as error:
            return await self._retry(delivery, str(error))
        except FlotillaError as error:
            return await self._finish(delivery, "failed", str(error))
        except Exception as error:  # noqa: BLE001  see below
            # One channel that always fails must not stop the others. The text may contain secrets.
            log.error(  # noqa: TRY400
                "notification_failed", delivery=delivery.id, error=type(error).__name__
            )
            return await self._retry(delivery, f"It could not be sent ({type(error).__name__}).")
        return await self._finish(delivery, "delivered", None)

    async def _config(self, delivery: store.Delivery) -> dict[str, object]:
        place = CHANNEL_CONFIG.row(delivery.channel_id)
        try:
            async with database.transaction(self._pool) as connection:
                text = await vault.decrypt(connection, self._keys, place, delivery.config)
        except DecryptionError:
            raise UndeliverableError(
                "The configuration of the channel cannot be decrypted. Enter it again."
            ) from None
        config: dict[str, object] = json.loads(text.get_secret_value())
        return config

    async def _finish(self, delivery: store.Delivery, status: str, error: str | None) -> str:
        async with database.transaction(self._pool) as connection:
            await store.finish(connection, delivery_id=delivery.id, status=status, error=error)
        log.info("notification_ended", delivery=delivery.id, status=status, error=error)
        return status

    async def _retry(self, delivery: store.Delivery, error: str) -> str:
        """Send the notification again after a pause; a test, or one that is too old, has failed."""
        age = (datetime.now(UTC) - delivery.created_at).total_seconds()
        if delivery.kind == "test" or age > self._timing.give_up:
            return await self._finish(delivery, "failed", error)
        pause = min(
            self._timing.first_retry * 2 ** min(delivery.attempts - 1, 20), self._timing.max_retry
        )
        async with database.transaction(self._pool) as connection:
            await store.postpone(connection, delivery_id=delivery.id, seconds=pause, error=error)
        log.warning("notification_postponed", delivery=delivery.id, retry_in=pause, error=error)
        return "postponed"
