"""Master keys, which wrap the data keys."""

import base64
import hashlib

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap
from pydantic import SecretStr

from services.kit.errors import FlotillaError

ID_CONTEXT = b"flotilla-master-key-v1\0"
ID_LENGTH = 8  # bytes


class MasterKeys:
    """The current master key and, during a rotation, the previous one."""

    def __init__(self, current: SecretStr, previous: SecretStr | None = None) -> None:
        self._keys: dict[str, bytes] = {}
        for setting in (current, previous):
            if setting is not None:
                key = base64.b64decode(setting.get_secret_value())
                self._keys[id_of(key)] = key

    def __repr__(self) -> str:
        return f"MasterKeys({', '.join(self.ids)})"

    @property
    def ids(self) -> list[str]:
        """Ids of the keys, the current one first."""
        return list(self._keys)

    @property
    def current_id(self) -> str:
        return self.ids[0]

    def wrap(self, data_key: bytes) -> dict[str, bytes]:
        """Return the data key wrapped by each master key, by the id of the master key."""
        return {id_: aes_key_wrap(key, data_key) for id_, key in self._keys.items()}

    def unwrap(self, master_key_id: str, wrapped: bytes) -> bytes:
        """Return a data key.

        Raises:
            FlotillaError: this is not a data key that the master key has wrapped.
        """
        try:
            return aes_key_unwrap(self._keys[master_key_id], wrapped)
        except (InvalidUnwrap, ValueError):
            raise FlotillaError(
                f"A data key in the database is damaged: the master key {master_key_id} cannot"
                " unwrap it. Restore the table data_key_wraps from a backup."
            ) from None


def id_of(key: bytes) -> str:
    """Return the id of a master key: the start of a hash, in hexadecimal digits. It is no secret."""
    return hashlib.sha256(ID_CONTEXT + key).hexdigest()[: 2 * ID_LENGTH]
