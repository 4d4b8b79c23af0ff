"""The format of an encrypted value: version, id of the data key, nonce, ciphertext and tag."""

import os
from dataclasses import dataclass, field
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretBytes

from services.kit.errors import FlotillaError
from services.kit.secrets.columns import Place

VERSION = b"\x01"
KEY_LENGTH = 32  # bytes
ID_END = 1 + 16  # bytes
NONCE_LENGTH = 12  # bytes
TAG_LENGTH = 16  # bytes


class DecryptionError(FlotillaError):
    def __init__(self, place: Place, reason: str) -> None:
        super().__init__(f"The value in {place} cannot be decrypted: {reason}.")


@dataclass(frozen=True, slots=True)
class DataKey:
    id: UUID
    key: bytes = field(repr=False)


def encrypt(data_key: DataKey, place: Place, value: SecretBytes) -> bytes:
    """Encrypt a value for one place."""
    head = VERSION + data_key.id.bytes
    nonce = os.urandom(NONCE_LENGTH)
    cipher = AESGCM(data_key.key)
    return head + nonce + cipher.encrypt(nonce, value.get_secret_value(), _bound(head, place))


def decrypt(data_key: DataKey, place: Place, envelope: bytes) -> SecretBytes:
    """Decrypt the value of one place.

    Raises:
        DecryptionError: the value was changed, or encrypted for another place.
    """
    head, rest = envelope[:ID_END], envelope[ID_END:]
    try:
        value = AESGCM(data_key.key).decrypt(
            rest[:NONCE_LENGTH], rest[NONCE_LENGTH:], _bound(head, place)
        )
    except (InvalidTag, ValueError):
        raise DecryptionError(place, "it was changed, or it belongs to another place") from None
    return SecretBytes(value)


def key_id(place: Place, envelope: bytes) -> UUID:
    """Return the id of the data key of an encrypted value.

    Raises:
        DecryptionError: this is not an encrypted value of a version that this code knows.
    """
    if envelope[:1] != VERSION or len(envelope) < ID_END + NONCE_LENGTH + TAG_LENGTH:
        raise DecryptionError(place, "its format is not known to this version of Flotilla")
    return UUID(bytes=envelope[1:ID_END])


def _bound(head: bytes, place: Place) -> bytes:
    """Return the associated data: version and data key, then table, column and row with lengths."""
    names = (place.column.table, place.column.column, place.row)
    parts = (name.encode() for name in names)
    return head + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
