"""Password hashes with Argon2id."""

import asyncio
import itertools
import secrets
from bisect import insort
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from prometheus_client import Counter

from services.gateway.api import errors

PASSWORD_MIN_LENGTH = 12  # characters
# Log-ins that wait until their password is checked, and how long each waits.
WAITING = 16
WAITING_SECONDS = 20.0

DISPLACED = Counter(
    "flotilla_logins_displaced_total",
    "Log-ins that were refused because too many others waited for the check of their password",
)


class Turns:
    """Turns to check a password, one at a time, because a check takes 64 MiB and a core.

    A log-in from an address with fewer failed attempts comes first. If too many log-ins wait, the
    last one is refused.
    """

    def __init__(self) -> None:
        self._is_taken = False
        self._numbers = itertools.count()
        # Attempts and number of each log-in that waits, in the order of their turns.
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def turn(self, attempts: int) -> AsyncIterator[None]:
        """Wait for a turn and hold it inside the block.

        Raises:
            RequestError: too many other log-ins wait, or the turn did not come in time.
        """
        if self._is_taken:
            await self._wait(attempts)
        self._is_taken = True
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, attempts: int) -> None:
        granted = asyncio.get_running_loop().create_future()
        own = (attempts, next(self._numbers), granted)
        insort(self._waiting, own)
        if len(self._waiting) > WAITING:
            last = self._waiting.pop()[2]
            if not last.done():
                last.set_exception(_displaced())
        try:
            async with asyncio.timeout(WAITING_SECONDS):
                await granted
        except (asyncio.CancelledError, TimeoutError) as error:
            if own in self._waiting:
                self._waiting.remove(own)
            elif granted.done() and not granted.cancelled() and granted.exception() is None:
                self._pass_on()
            if isinstance(error, TimeoutError):
                raise _displaced() from None
            raise

    def _pass_on(self) -> None:
        while self._waiting:
            first = self._waiting.pop(0)[2]
            if not first.done():  # else it was given up in this moment
                first.set_result(None)
                return
        self._is_taken = False


_hasher = PasswordHasher()


def _displaced() -> errors.RequestError:
    DISPLACED.inc()
    return errors.busy("Too many log-ins are waiting. Try again in a moment.")


# Browsers that have logged in before have turns of their own, which no flood of guesses delays.
_known, _unknown = Turns(), Turns()
# Hash to check if the user does not exist, so the response time does not reveal valid names.
_UNKNOWN_USER = _hasher.hash(secrets.token_urlsafe())


def hash_password(password: str) -> str:
    return _hasher.hash(password)


async def hash_in_turn(password: str) -> str:
    """Hash the new password of somebody who is logged in, or was invited, without delaying others.

    Raises:
        RequestError: too many log-ins and others wait for their turn.
    """
    async with _known.turn(0):
        return await asyncio.to_thread(_hasher.hash, password)


async def password_matches(
    password: str, password_hash: str | None, *, is_known: bool, attempts: int
) -> bool:
    """Check a password; without a hash, return False after the time of a normal check.

    `is_known` is true for a browser that has logged in to the account before, and `attempts` is the
    number of recent attempts from the same address.

    Raises:
        RequestError: too many log-ins wait for this check.
    """

    def verify() -> bool:
        try:
            return _hasher.verify(password_hash or _UNKNOWN_USER, password)
        except (VerificationError, InvalidHashError):
            return False

    async with (_known if is_known else _unknown).turn(attempts):
        return await asyncio.to_thread(verify) and password_hash is not None
