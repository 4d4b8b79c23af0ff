"""A signature is valid once, for one subject and message, for a limited time."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf.message import Message

from flotilla.v1.shell_pb2 import ShellClose, ShellControl
from services.kit.agents import request_signing
from services.kit.agents.commands import Signer
from services.kit.agents.request_signing import SignatureChecker, SigningBus, UntrustedRequestError

SUBJECT = "flotilla.shell.s.control"
CONTROL = ShellControl(attachment_id="a", close=ShellClose())


class Wire:
    """A bus that keeps the messages published on it."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    async def publish(self, subject: str, message: Message, *, headers: dict[str, str]) -> None:
        data = message.SerializeToString()
        self.sent.append(SimpleNamespace(subject=subject, data=data, headers=dict(headers)))


@pytest.fixture
def signer() -> Signer:
    return Signer(Ed25519PrivateKey.generate())


def signed(signer: Signer) -> Any:
    wire = Wire()
    asyncio.run(SigningBus(wire, signer).publish(SUBJECT, CONTROL))  # type: ignore[arg-type]
    return wire.sent[0]


def refused(receiver: SignatureChecker, message: Any) -> str:
    with pytest.raises(UntrustedRequestError) as raised:
        receiver.check(message)
    return str(raised.value)


def test_a_signature_is_accepted_once(signer: Signer) -> None:
    receiver, message = SignatureChecker(signer), signed(signer)
    receiver.check(message)
    assert "used before" in refused(receiver, message)
    receiver.check(signed(signer))


def test_a_signature_carries_the_nonce_of_the_request() -> None:
    signer, nonces = Signer(Ed25519PrivateKey.generate()), []
    messages: list[Any] = []

    class Asked:
        async def request(self, subject: str, message: Message, *_: Any, **options: Any) -> None:
            data, headers = message.SerializeToString(), options["headers"]
            messages.append(SimpleNamespace(subject=subject, data=data, headers=headers))

    bus = SigningBus(Asked(), signer)  # type: ignore[arg-type]
    for _ in range(2):
        nonces.append(request_signing.new_nonce())
        asyncio.run(bus.request(SUBJECT, CONTROL, ShellControl, nonce=nonces[-1]))
    receiver = SignatureChecker(signer)
    assert [receiver.check(message) for message in messages] == nonces


def test_a_signature_is_valid_for_its_subject_and_message_only(signer: Signer) -> None:
    receiver, message = SignatureChecker(signer), signed(signer)
    elsewhere = SimpleNamespace(**{**vars(message), "subject": "flotilla.shell.t.control"})
    changed = SimpleNamespace(**{**vars(message), "data": message.data + b"\n\x01b"})
    for other in (elsewhere, changed):
        assert "another key" in refused(receiver, other)
    receiver.check(message)


def test_a_request_without_a_signature_of_this_key_is_refused(signer: Signer) -> None:
    receiver, message = SignatureChecker(signer), signed(signer)
    header = message.headers[request_signing.HEADER]
    assert "no signature" in refused(
        receiver, SimpleNamespace(**{**vars(message), "headers": None})
    )
    for malformed in ("", "?", "AAAA", header[:32]):
        message.headers = {request_signing.HEADER: malformed}
        assert "no signature" in refused(receiver, message)
    assert "another key" in refused(receiver, signed(Signer(Ed25519PrivateKey.generate())))


def test_a_signature_expires(signer: Signer, monkeypatch: pytest.MonkeyPatch) -> None:
    receiver, message = SignatureChecker(signer), signed(signer)
    now = time.time()
    for moved in (request_signing.LIFETIME + 1, -request_signing.LIFETIME - 1):
        monkeypatch.setattr(time, "time", lambda moved=moved: now + moved)
        assert "old" in refused(receiver, message)
    monkeypatch.setattr(time, "time", lambda: now + request_signing.LIFETIME - 1)
    receiver.check(message)


def test_used_signatures_are_remembered_up_to_a_limit_until_they_expire(
    signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_signing, "REMEMBERED", 2)
    receiver = SignatureChecker(signer)
    for _ in range(2):
        receiver.check(signed(signer))
    assert "too many" in refused(receiver, signed(signer))
    later = time.monotonic() + 2 * request_signing.LIFETIME + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    receiver.check(signed(signer))
