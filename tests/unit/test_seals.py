"""A seal is good once, for its subject and its message, for a while, from who holds the key."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf.message import Message

from flotilla.v1.shell_pb2 import ShellClose, ShellControl
from services.kit import seals
from services.kit.commands import Signer
from services.kit.seals import SealedBus, Seals, UnsealedError

SUBJECT = "flotilla.shell.s.control"
CONTROL = ShellControl(attachment_id="a", close=ShellClose())


class Wire:
    """Keeps what is published on it."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    async def publish(self, subject: str, message: Message, *, headers: dict[str, str]) -> None:
        data = message.SerializeToString()
        self.sent.append(SimpleNamespace(subject=subject, data=data, headers=dict(headers)))


@pytest.fixture
def signer() -> Signer:
    return Signer(Ed25519PrivateKey.generate())


def sealed(signer: Signer) -> Any:
    wire = Wire()
    asyncio.run(SealedBus(wire, signer).publish(SUBJECT, CONTROL))  # type: ignore[arg-type]
    return wire.sent[0]


def refused(receiver: Seals, message: Any) -> str:
    with pytest.raises(UnsealedError) as raised:
        receiver.check(message)
    return str(raised.value)


def test_a_seal_is_good_once(signer: Signer) -> None:
    receiver, message = Seals(signer), sealed(signer)
    receiver.check(message)
    assert "used before" in refused(receiver, message)
    receiver.check(sealed(signer))


def test_a_seal_bears_the_nonce_it_was_given() -> None:
    signer, nonces = Signer(Ed25519PrivateKey.generate()), []
    messages: list[Any] = []

    class Asked:
        async def request(self, subject: str, message: Message, *_: Any, **options: Any) -> None:
            data, headers = message.SerializeToString(), options["headers"]
            messages.append(SimpleNamespace(subject=subject, data=data, headers=headers))

    bus = SealedBus(Asked(), signer)  # type: ignore[arg-type]
    for _ in range(2):
        nonces.append(seals.new_nonce())
        asyncio.run(bus.request(SUBJECT, CONTROL, ShellControl, nonce=nonces[-1]))
    receiver = Seals(signer)
    assert [receiver.check(message) for message in messages] == nonces


def test_a_seal_is_for_its_subject_and_its_message(signer: Signer) -> None:
    receiver, message = Seals(signer), sealed(signer)
    elsewhere = SimpleNamespace(**{**vars(message), "subject": "flotilla.shell.t.control"})
    changed = SimpleNamespace(**{**vars(message), "data": message.data + b"\n\x01b"})
    for other in (elsewhere, changed):
        assert "another key" in refused(receiver, other)
    receiver.check(message)


def test_what_has_no_seal_of_this_key_is_refused(signer: Signer) -> None:
    receiver, message = Seals(signer), sealed(signer)
    seal = message.headers[seals.HEADER]
    assert "no seal" in refused(receiver, SimpleNamespace(**{**vars(message), "headers": None}))
    for header in ("", "?", "AAAA", seal[:32]):
        message.headers = {seals.HEADER: header}
        assert "no seal" in refused(receiver, message)
    assert "another key" in refused(receiver, sealed(Signer(Ed25519PrivateKey.generate())))


def test_a_seal_grows_old(signer: Signer, monkeypatch: pytest.MonkeyPatch) -> None:
    receiver, message = Seals(signer), sealed(signer)
    now = time.time()
    for moved in (seals.LIFETIME + 1, -seals.LIFETIME - 1):
        monkeypatch.setattr(time, "time", lambda moved=moved: now + moved)
        assert "old" in refused(receiver, message)
    monkeypatch.setattr(time, "time", lambda: now + seals.LIFETIME - 1)
    receiver.check(message)


def test_no_more_are_remembered_than_there_is_room_for_and_old_ones_make_room(
    signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seals, "REMEMBERED", 2)
    receiver = Seals(signer)
    for _ in range(2):
        receiver.check(sealed(signer))
    assert "too many" in refused(receiver, sealed(signer))
    later = time.monotonic() + 2 * seals.LIFETIME + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    receiver.check(sealed(signer))
