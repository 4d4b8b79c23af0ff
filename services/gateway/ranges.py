"""Parts of a file, and its name, in the headers of RFC 9110 and RFC 6266."""

import re
from urllib.parse import quote

from litestar.exceptions import HTTPException

_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")
_NOT_PLAIN = re.compile(r'[^ -~]|["\\%]')


def etag(version: str) -> str:
    return f'"{version}"'


def wanted(asked: str, condition: str, size: int, version: str) -> tuple[int, int] | None:
    """From where to where, of `Range` and `If-Range`; None for the whole.

    Raises:
        HTTPException: 416, there is no such part.
    """
    match = _RANGE.fullmatch(asked.replace(" ", ""))
    # Several parts at once, other units and other versions are answered with the whole.
    if match is None or match.groups() == ("", "") or condition not in {"", etag(version)}:
        return None
    first, last = match.groups()
    if first:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < int(first):
            return None
    else:
        start, end = max(size - int(last), 0), size
    if start >= end:
        raise HTTPException(
            status_code=416,
            detail=f"The file has {size} bytes.",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return start, end


def attachment(path: str) -> str:
    """`Content-Disposition` that has a browser keep the file under its name."""
    name = path.rpartition("/")[2]
    plain = _NOT_PLAIN.sub("_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
