"""Connection to NATS for commands. If NATS is away, a command fails, but a service waits."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

from nats.aio.client import Client
from nats.errors import AuthorizationError
from nats.errors import Error as NatsError
from nats.js.errors import APIError

from services.kit.bus import connection as bus
from services.kit.bus import subjects
from services.kit.errors import UnreachableError
from services.kit.settings import Settings, StrongSecret

PATIENCE = 3.0  # seconds in which NATS may still be starting
PAUSE = 0.3  # seconds between attempts
STREAM_NOT_FOUND, CONSUMER_NOT_FOUND = 10059, 10014  # nats-server's error codes


@asynccontextmanager
async def connect(
    settings: Settings, user: subjects.User, password: StrongSecret, *, name: str
) -> AsyncIterator[bus.Bus]:
    """Connect to NATS.

    Raises:
        UnreachableError: NATS does not answer, or it refuses the password.
    """
    until = time.monotonic() + PATIENCE
    while not await _answers(settings, user, password):
        if time.monotonic() > until:
            raise UnreachableError(
                f"NATS does not answer at {_address(settings)}. Is it running?"
                " FLOTILLA_NATS_URL sets the address."
            )
        await asyncio.sleep(PAUSE)
    async with bus.connect(settings, user, password, name=name) as connection:
        yield connection


async def _answers(settings: Settings, user: subjects.User, password: StrongSecret) -> bool:
    """Try once to connect.

    Raises:
        UnreachableError: NATS refuses the password.
    """

    async def ignore(_error: Exception) -> None:
        pass  # `connect` raises it too

    client = Client()
    try:
        async with asyncio.timeout(PATIENCE):
            await client.connect(
                settings.nats_url,
                user=user.value,
                password=password.get_secret_value(),
                allow_reconnect=False,
                connect_timeout=int(PATIENCE),
                error_cb=ignore,
            )
    except (NatsError, OSError) as error:
        if isinstance(error, AuthorizationError) or "authorization" in str(error).lower():
            raise UnreachableError(
                f"NATS at {_address(settings)} refuses the password of the user {user}."
                f" FLOTILLA_NATS_{user.upper()}_PASSWORD sets it."
            ) from None
        return False
    finally:
        with suppress(NatsError, RuntimeError, OSError):
            await client.close()
    return True


def explain(error: Exception) -> str:
    """Return a sentence that explains a failed request to NATS."""
    if isinstance(error, APIError):
        if error.err_code in {STREAM_NOT_FOUND, CONSUMER_NOT_FOUND}:
            return "It does not exist in NATS. Run `flotilla provision`."
        return f"NATS refuses the request: {error.description or 'JetStream is not available'}."
    return "NATS did not answer in time."


def _address(settings: Settings) -> str:
    url = urlsplit(settings.nats_url)
    return f"{url.hostname}:{url.port or 4222}"
