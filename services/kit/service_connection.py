"""The connection of a service: its NATS user, and its answers to `flotilla status`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nats.aio.msg import Msg

from services.kit.bus import subjects
from services.kit.bus.connection import Bus, connect
from services.kit.health import Health
from services.kit.services import SERVICES
from services.kit.settings import Settings, StrongSecret


@asynccontextmanager
async def connect_service(
    settings: Settings, health: Health, password: StrongSecret
) -> AsyncIterator[Bus]:
    """Connect a service as its own NATS user and answer `flotilla status` while inside."""
    user = SERVICES[health.service].nats_user
    async with connect(settings, user, password, name=health.service) as bus:
        health.checks["bus"] = lambda: (
            bus.connected,
            "connected" if bus.connected else "not connected",
        )

        async def answer(message: Msg) -> None:
            if message.reply:
                await bus.publish(message.reply, health.status())

        async with bus.subscribed(subjects.service_status(health.service), answer):
            yield bus
