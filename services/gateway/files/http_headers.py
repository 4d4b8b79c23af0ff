"""The HTTP headers of a download: Range (RFC 9110) and Content-Disposition (RFC 6266)."""

import re
from urllib.parse import quote

from litestar.exceptions import HTTPException

_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")
_UNSAFE_IN_FILENAME = re.compile(r'[^ -~]|["\\%]')
# Stand for bytes that are not UTF-8; see `schemas.Path`.
_NOT_UTF8 = re.compile("[\uef80-\uefff]")


def etag(version: str) -> str:
    return f'"{version}"'


def byte_range(
    range_header: str, *, if_range: str, size: int, version: str
) -> tuple[int, int] | None:
    """Return the start and the end (exclusive) that a request asks for; None for the whole file.

    Several ranges, other units, malformed headers and another version (`if_range`) get the
    whole file, which RFC 9110 allows.

    Raises:
        HTTPException: 416, no byte of the file is in the range.
    """
    match = _RANGE.fullmatch(range_header.replace(" ", ""))
    if match is None or match.groups() == ("", "") or if_range not in {"", etag(version)}:
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
            detail=f"`Range` asks for no byte of the file, which has {size} bytes.",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return start, end


def attachment(path: str) -> str:
    """Return the `Content-Disposition` with which a browser saves the file under its name."""
    name = _NOT_UTF8.sub("_", path.rpartition("/")[2])
    ascii_name = _UNSAFE_IN_FILENAME.sub("_", name)
    return f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(name, safe='')}"
