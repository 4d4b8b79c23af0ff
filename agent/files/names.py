"""Names and paths, as the console and as the kernel spell them.

A name of the kernel is bytes, and messages carry text. The text of a name that is UTF-8 is the name.
In the text of another name, each byte that is not UTF-8 is a private character: U+EF80 for 0x80, up
to U+EFFF for 0xFF. If a name itself contains one of these characters, each of its three bytes is written
in this way. So different names have different texts, and the agent finds each name by its text.
"""

import os
import re

from agent.commands.errors import invalid

PATH_LIMIT = 4096  # bytes
CURRENT_FOLDER = "."

# Python's surrogates for bytes that are not UTF-8 (PEP 383), and the private characters.
_SURROGATES, _PRIVATE = 0xDC00, 0xEF00
_TO_ESCAPE = re.compile("[\udc80-\udcff\uef80-\uefff]")
_ESCAPED = re.compile("[\uef80-\uefff]")


def to_os_name(text: str) -> str:
    """Return a name from the console as Python passes it to the kernel, whatever the locale."""
    surrogates = _ESCAPED.sub(lambda found: chr(ord(found[0]) - _PRIVATE + _SURROGATES), text)
    return os.fsdecode(surrogates.encode(errors="surrogateescape"))


def to_text(name: str) -> str:
    """Return a name of the kernel as text for a message; `to_os_name` reverses it."""
    return _TO_ESCAPE.sub(_escape, os.fsencode(name).decode(errors="surrogateescape"))


def _escape(found: re.Match[str]) -> str:
    data = found[0].encode(errors="surrogateescape")
    return "".join(chr(_PRIVATE + byte) for byte in data)


def join(path: str, name: str) -> str:
    """Return the path of a name in a folder, as text for a message."""
    return f"{path.rstrip('/')}/{to_text(name)}"


def last_name(path: str) -> str:
    """Return the last name of a path, as `to_text` spells it."""
    return to_text(to_os_name(path.rstrip("/").rpartition("/")[2])) or "/"


def check_path(path: str) -> None:
    """Raises: CommandFailedError: the path is relative, too long, or has `..` or NUL in it."""
    size = len(os.fsencode(to_os_name(path)))
    if not path.startswith("/"):
        raise invalid("A path must begin with /.")
    if "\0" in path:
        raise invalid("A path must not contain a NUL character.")
    if size > PATH_LIMIT:
        raise invalid(f"A path can have at most {PATH_LIMIT} bytes; this one has {size}.")
    if ".." in path.split("/"):
        raise invalid("A path must not contain `..`.")
