"""One HTTP request to a provider: no redirects, a limit on time and on the size of the answer."""

import asyncio
import json
import re
import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from services.alerting.notify import gate
from services.alerting.notify.errors import NotDeliveredError, UndeliverableError

TIMEOUT = 20.0  # seconds for the whole request
MAX_ANSWER = 64 * 1024  # bytes
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})\b")
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d{1,12})(?!\d)")
_CHUNKED = re.compile(rb"(?i)\r\ntransfer-encoding: *chunked")


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes

    def json(self) -> Any:
        """Return the body, or None if it is not JSON. Lengths of chunks around it are ignored."""
        start, end = self.body.find(b"{"), self.body.rfind(b"}")
        try:
            return json.loads(self.body[start : end + 1])
        except ValueError:
            return None


@cache
def tls() -> ssl.SSLContext:
    return ssl.create_default_context()


async def post(
    url: str, body: bytes, headers: Mapping[str, str], *, allowed: Collection[str]
) -> Answer:
    """Send a POST request and return the answer, whatever its status is.

    Raises:
        UndeliverableError: the address is malformed, or the outbound gate refuses it.
        NotDeliveredError: there was no answer.
    """
    parts = urlsplit(url)
    is_secure = parts.scheme == "https"
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UndeliverableError("The address of the channel is not an http or https address.")
    port = parts.port or (443 if is_secure else 80)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = {
        "Host": parts.netloc.rpartition("@")[2],
        "User-Agent": "Flotilla",
        "Content-Length": str(len(body)),
        "Connection": "close",
        **headers,
    }
    if any("\r" in value or "\n" in value for value in (path, *lines.values())):
        raise UndeliverableError("The configuration of the channel contains a line break.")
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    request = f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body
    try:
        async with asyncio.timeout(TIMEOUT):
            connection = await gate.connect(parts.hostname, port, allowed=allowed)
            reader, writer = await asyncio.open_connection(
                sock=connection,
                limit=MAX_ANSWER,
                ssl=tls() if is_secure else None,
                server_hostname=parts.hostname if is_secure else None,
            )
            try:
                writer.write(request)
                await writer.drain()
                return await _read(reader)
            finally:
                writer.transport.abort()
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        raise NotDeliveredError(
            f"{parts.hostname} port {port} did not answer ({type(error).__name__})."
        ) from None


async def _read(reader: asyncio.StreamReader) -> Answer:
    """Read an answer until its end, the end of the connection, or the limit."""
    data = b""
    while len(data) < MAX_ANSWER and not _is_complete(data):
        more = await reader.read(MAX_ANSWER - len(data))
        if not more:
            break
        data += more
    found = _STATUS.match(data)
    if found is None:
        raise NotDeliveredError("The answer is not HTTP.")
    return Answer(int(found[1]), data.partition(b"\r\n\r\n")[2])


def _is_complete(data: bytes) -> bool:
    """Tell whether an answer has ended, for providers that leave the connection open."""
    head, separator, body = data.partition(b"\r\n\r\n")
    status = _STATUS.match(head)
    if not separator or status is None:
        return False
    if status[1] in {b"204", b"304"}:
        return True
    if length := _LENGTH.search(head):
        return len(body) >= int(length[1])
    return bool(_CHUNKED.search(head)) and body.endswith(b"0\r\n\r\n")


def check(answer: Answer) -> None:
    """Raises: NotDeliveredError: the status is not a success; redirects are not followed."""
    if 300 <= answer.status < 400:
        raise NotDeliveredError(
            f"The provider answered with a redirect ({answer.status}), which is not followed."
        )
    if not 200 <= answer.status < 300:
        raise NotDeliveredError(f"The provider answered with the status {answer.status}.")
