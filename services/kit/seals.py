"""Requests that a service obeys only when one of its own kind made them.

A shellproxy signs what agents obey, so whoever it takes orders from has to hold the same key:
publishing on the bus is not enough. Each seal is good once, for its subject, within `LIFETIME`.
What several instances may be asked is good once by what it makes bearing its nonce's name.
"""

import binascii
import secrets
import time
from base64 import b64decode, b64encode
from collections import OrderedDict

from cryptography.exceptions import InvalidSignature
from google.protobuf.message import Message
from nats.aio.msg import Msg
from prometheus_client import Counter

from services.kit.bus import REQUEST_TIMEOUT, Bus, M
from services.kit.commands import Signer
from services.kit.errors import PoisonError

HEADER = "Flotilla-Seal"
CONTEXT = b"flotilla-seal-v1\0"
LIFETIME = 30.0  # seconds, by clocks that may differ by that much
NONCE = 16  # bytes
REMEMBERED = 200_000  # seals; more within twice the lifetime are refused

REFUSED = Counter("flotilla_seals_refused_total", "Requests whose seal is not good", ["reason"])


class UnsealedError(PoisonError):
    """A request is not from a service that holds the command key, or is no new one."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"the request is not to be trusted: {detail}")
        REFUSED.labels(reason).inc()


def new_nonce() -> bytes:
    return secrets.token_bytes(NONCE)


class SealedBus:
    """Asks on the bus, under seal."""

    def __init__(self, bus: Bus, signer: Signer) -> None:
        self._bus = bus
        self._signer = signer

    async def publish(self, subject: str, message: Message) -> None:
        """Raises: TransientError."""
        await self._bus.publish(subject, message, headers=self._headers(subject, message))

    async def request(
        self,
        subject: str,
        message: Message,
        answer: type[M],
        *,
        timeout: float = REQUEST_TIMEOUT,
        nonce: bytes = b"",
    ) -> M:
        """The answer, which anybody on the bus may have given.

        Raises:
            NobodyServesError, TransientError, PoisonError.
        """
        headers = self._headers(subject, message, nonce)
        return await self._bus.request(subject, message, answer, timeout=timeout, headers=headers)

    def _headers(self, subject: str, message: Message, nonce: bytes = b"") -> dict[str, str]:
        made = int(time.time() * 1000).to_bytes(8, "big") + (nonce or new_nonce())
        signed = _signed(subject, made, message.SerializeToString())
        return {HEADER: b64encode(made + self._signer.sign_bytes(signed)).decode()}


class Seals:
    """Checks them, and remembers those that were used here."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._used: OrderedDict[bytes, float] = OrderedDict()  # by when, monotonic

    def check(self, message: Msg) -> bytes:
        """The nonce it was sealed with.

        Raises:
            UnsealedError.
        """
        try:
            seal = b64decode((message.headers or {}).get(HEADER, ""), validate=True)
        except binascii.Error:
            seal = b""
        made, signature = seal[: 8 + NONCE], seal[8 + NONCE :]
        if not signature:
            raise UnsealedError("absent", "it has no seal")
        try:
            self._signer.verify_bytes(signature, _signed(message.subject, made, message.data))
        except InvalidSignature:
            raise UnsealedError("forged", "its seal is another key's") from None
        if abs(time.time() - int.from_bytes(made[:8], "big") / 1000) > LIFETIME:
            raise UnsealedError("old", "its seal is old: or do the servers' clocks differ?")
        self._use(made)
        return made[8:]

    def _use(self, made: bytes) -> None:
        now = time.monotonic()
        while self._used and next(iter(self._used.values())) < now - 2 * LIFETIME:
            self._used.popitem(last=False)
        if made in self._used:
            raise UnsealedError("used", "its seal was used before")
        if len(self._used) >= REMEMBERED:
            raise UnsealedError("flood", "too many were made just now")
        self._used[made] = now


def _signed(subject: str, made: bytes, payload: bytes) -> bytes:
    return CONTEXT + subject.encode() + b"\0" + made + payload
