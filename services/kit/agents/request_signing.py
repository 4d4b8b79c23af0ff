"""Requests between services that are signed with the command key.

A shellproxy signs commands that agents trust. The requests that it receives must therefore come from
a service that has the same key; permission to publish on the bus is not enough. A signature is valid
for one subject and one message, for `LIFETIME`, and each receiver accepts it once. If several
instances can receive a request, the nonce of the signature becomes the id of the new object, so the
object is created only once.
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

from services.kit.agents.commands import Signer
from services.kit.bus.connection import REQUEST_TIMEOUT, Bus, M
from services.kit.errors import PoisonError

HEADER = "Flotilla-Seal"
CONTEXT = b"flotilla-seal-v1\0"
LIFETIME = 30.0  # seconds; it also bounds the difference between the clocks of two machines
NONCE_LENGTH = 16  # bytes
# Signatures remembered as used. If more arrive within twice the lifetime, they are refused.
REMEMBERED = 200_000

REFUSED = Counter(
    "flotilla_seals_refused_total",
    "Requests refused for their missing or bad signature",
    ["reason"],
)


class UntrustedRequestError(PoisonError):
    """A request has no valid signature of the command key, or its signature was used before."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"The request is not trusted: {detail}.")
        REFUSED.labels(reason).inc()


def new_nonce() -> bytes:
    return secrets.token_bytes(NONCE_LENGTH)


class SigningBus:
    """A bus that signs what it sends."""

    def __init__(self, bus: Bus, signer: Signer) -> None:
        self._bus = bus
        self._signer = signer

    async def publish(self, subject: str, message: Message) -> None:
        """Publish a signed message.

        Raises: TransientError.
        """
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
        """Send a signed request and return the answer. The answer itself is not signed.

        Raises:
            NoResponderError, TransientError, PoisonError.
        """
        headers = self._headers(subject, message, nonce)
        return await self._bus.request(subject, message, answer, timeout=timeout, headers=headers)

    def _headers(self, subject: str, message: Message, nonce: bytes = b"") -> dict[str, str]:
        stamp = int(time.time() * 1000).to_bytes(8, "big") + (nonce or new_nonce())
        signed = _signed_bytes(subject, stamp, message.SerializeToString())
        return {HEADER: b64encode(stamp + self._signer.sign_bytes(signed)).decode()}


class SignatureChecker:
    """Verifies signatures of requests, and remembers those that this instance has accepted."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._used: OrderedDict[bytes, float] = OrderedDict()  # stamp → monotonic time of use

    def check(self, message: Msg) -> bytes:
        """Return the nonce of a request with a valid, unused signature.

        Raises:
            UntrustedRequestError.
        """
        try:
            header = b64decode((message.headers or {}).get(HEADER, ""), validate=True)
        except binascii.Error:
            header = b""
        stamp, signature = header[: 8 + NONCE_LENGTH], header[8 + NONCE_LENGTH :]
        if not signature:
            raise UntrustedRequestError("absent", "it has no signature")
        try:
            signed = _signed_bytes(message.subject, stamp, message.data)
            self._signer.verify_bytes(signature, signed)
        except InvalidSignature:
            raise UntrustedRequestError("forged", "it is signed with another key") from None
        if abs(time.time() - int.from_bytes(stamp[:8], "big") / 1000) > LIFETIME:
            raise UntrustedRequestError(
                "old",
                f"its signature is more than {LIFETIME:.0f} s old. Check that the clocks of the"
                " machines agree",
            )
        self._use(stamp)
        return stamp[8:]

    def _use(self, stamp: bytes) -> None:
        now = time.monotonic()
        while self._used and next(iter(self._used.values())) < now - 2 * LIFETIME:
            self._used.popitem(last=False)
        if stamp in self._used:
            raise UntrustedRequestError("used", "its signature was used before")
        if len(self._used) >= REMEMBERED:
            raise UntrustedRequestError("flood", "too many requests were signed recently")
        self._used[stamp] = now


def _signed_bytes(subject: str, stamp: bytes, payload: bytes) -> bytes:
    return CONTEXT + subject.encode() + b"\0" + stamp + payload
