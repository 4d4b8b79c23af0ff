"""Compression of answers, as far as the client accepts it.

A handler opts in with `middleware=COMPRESSED`. Three kinds of answers must not be compressed. If an
answer contains a secret and text from the caller, its compressed length shows how similar the two
are. Compression would delay streams. Files are often compressed already.
"""

from collections.abc import Iterable

from litestar.config.compression import CompressionConfig
from litestar.datastructures import Headers
from litestar.middleware import DefineMiddleware
from litestar.middleware.compression import CompressionMiddleware
from litestar.types import Receive, Scope, Send

MIN_SIZE = 1_000  # bytes
LEVEL = 5  # of gzip: half the time of its default, for 2 % more bytes


class NegotiatedCompression(CompressionMiddleware):
    """The framework's compression, for clients that accept it; `gzip;q=0` refuses it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if "gzip" in accepted_encodings(Headers.from_scope(scope).getall("accept-encoding", [])):
            await super().__call__(scope, receive, send)
        else:
            await self.app(scope, receive, send)


COMPRESSED = [
    DefineMiddleware(
        NegotiatedCompression,
        config=CompressionConfig("gzip", minimum_size=MIN_SIZE, gzip_compress_level=LEVEL),
    )
]


def accepted_encodings(headers: Iterable[str]) -> set[str]:
    """Return the encodings, in lower case, that `Accept-Encoding` names and does not refuse."""
    accepted = set()
    for entry in ",".join(headers).split(","):
        name, *parameters = (part.strip().lower() for part in entry.split(";"))
        if name and not any(_refuses(parameter) for parameter in parameters):
            accepted.add(name)
    return accepted


def _refuses(parameter: str) -> bool:
    """Tell whether a parameter is a weight of zero, or not a weight that can be read."""
    name, _, weight = parameter.partition("=")
    if name.strip() != "q":
        return False
    try:
        return not float(weight) > 0
    except ValueError:
        return True
