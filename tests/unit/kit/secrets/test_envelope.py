"""Encrypted values: each opens only where it was encrypted, and nothing shows a key."""

import base64
import os
from dataclasses import replace
from uuid import uuid4

import pytest
from pydantic import SecretBytes, SecretStr

from services.kit.errors import FlotillaError
from services.kit.secrets import envelope
from services.kit.secrets.columns import EncryptedColumn, Place
from services.kit.secrets.envelope import DataKey, DecryptionError
from services.kit.secrets.master_keys import MasterKeys

COLUMN = EncryptedColumn("channels", "password", "id")
PLACE = COLUMN.row(1)
VALUE = SecretBytes(b"correct horse")
KEY = DataKey(uuid4(), os.urandom(32))


def new_key() -> SecretStr:
    return SecretStr(base64.b64encode(os.urandom(32)).decode())


def test_a_value_comes_back_in_its_place() -> None:
    for value in (VALUE, SecretBytes(b""), SecretBytes(os.urandom(10_000))):
        encrypted = envelope.encrypt(KEY, PLACE, value)
        assert envelope.key_id(PLACE, encrypted) == KEY.id
        assert envelope.decrypt(KEY, PLACE, encrypted) == value
        assert len(encrypted) == 45 + len(value.get_secret_value())


@pytest.mark.parametrize(
    "place",
    [
        COLUMN.row(2),
        Place(replace(COLUMN, column="token"), "1"),
        Place(replace(COLUMN, table="users"), "1"),
        Place(EncryptedColumn("channel", "spassword", "id"), "1"),
        Place(EncryptedColumn("channels", "pass", "id"), "word1"),
    ],
)
def test_a_value_that_was_copied_elsewhere_does_not_open(place: Place) -> None:
    encrypted = envelope.encrypt(KEY, PLACE, VALUE)
    with pytest.raises(DecryptionError, match="cannot be decrypted"):
        envelope.decrypt(KEY, place, encrypted)


def test_no_byte_of_a_value_can_be_changed() -> None:
    encrypted = envelope.encrypt(KEY, PLACE, VALUE)
    for index in range(len(encrypted)):
        changed = bytearray(encrypted)
        changed[index] ^= 1
        with pytest.raises(DecryptionError):
            envelope.decrypt(KEY, PLACE, bytes(changed))
    for length in range(len(encrypted)):
        with pytest.raises(DecryptionError):
            envelope.decrypt(KEY, PLACE, encrypted[:length])


@pytest.mark.parametrize("value", [b"", b"plain text", b"\x02" + bytes(60), b"\x01" + bytes(40)])
def test_what_is_no_encrypted_value_is_refused(value: bytes) -> None:
    with pytest.raises(DecryptionError, match="format"):
        envelope.key_id(PLACE, value)


def test_equal_values_look_different() -> None:
    assert len({envelope.encrypt(KEY, PLACE, VALUE) for _ in range(100)}) == 100


def test_any_master_key_that_wrapped_a_data_key_unwraps_it() -> None:
    old, new = new_key(), new_key()
    data_key = os.urandom(32)
    both = MasterKeys(new, old)
    wraps = both.wrap(data_key)
    assert list(wraps) == both.ids == [MasterKeys(new).current_id, MasterKeys(old).current_id]
    for keys in (both, MasterKeys(old), MasterKeys(new)):
        assert keys.unwrap(keys.current_id, wraps[keys.current_id]) == data_key
    assert MasterKeys(new, new).ids == [MasterKeys(new).current_id]


def test_a_damaged_data_key_is_reported() -> None:
    keys = MasterKeys(new_key())
    wrapped = keys.wrap(os.urandom(32))[keys.current_id]
    for damaged in (wrapped[:-1] + bytes([wrapped[-1] ^ 1]), b"", bytes(40)):
        with pytest.raises(FlotillaError, match="damaged"):
            keys.unwrap(keys.current_id, damaged)


def test_no_representation_shows_a_key_or_a_value() -> None:
    secret = new_key()
    keys, data_key = MasterKeys(secret), DataKey(uuid4(), os.urandom(32))
    value = envelope.decrypt(data_key, PLACE, envelope.encrypt(data_key, PLACE, VALUE))
    shown = "".join(f"{thing!r}{thing}" for thing in (keys, data_key, value, PLACE))
    for hidden in (
        secret.get_secret_value(),
        repr(data_key.key),
        data_key.key.hex(),
        VALUE.get_secret_value().decode(),
    ):
        assert hidden not in shown
    assert "**" in repr(value)
