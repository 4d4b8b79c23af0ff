"""Recovery codes: 80 random bits each, such as `k3v9-0b7m-…`."""

import hashlib
import re
import secrets
from uuid import UUID

NUMBER = 10
GROUPS, GROUP_LENGTH = 4, 4
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # without letters that look like digits
LOOKALIKES = str.maketrans("oil", "011")
SEPARATORS = re.compile(r"[\s-]+")


def new_codes() -> list[str]:
    return [
        "-".join(
            "".join(secrets.choice(ALPHABET) for _ in range(GROUP_LENGTH)) for _ in range(GROUPS)
        )
        for _ in range(NUMBER)
    ]


def plain(text: str) -> str:
    """Return a typed code without separators, in small letters."""
    return SEPARATORS.sub("", text).lower()


def hash_code(user_id: UUID, code: str) -> bytes:
    """Return the hash of a recovery code. Its 80 random bits need no slow hash."""
    text = f"recovery {user_id} {plain(code).translate(LOOKALIKES)}"
    return hashlib.sha256(text.encode()).digest()
