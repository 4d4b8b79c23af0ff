"""The engine's errors, as what a command fails with."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import aiohttp
from aiodocker import DockerError

from agent.engine import text_of
from agent.execute.failure import (
    CommandFailedError,
    conflict,
    forbidden,
    invalid,
    not_found,
    unavailable,
)

MESSAGE_LIMIT = 400  # characters
NO_ENGINE = "the Docker engine does not answer"
SAYS = "the Docker engine says: "

Kind = Callable[[str], CommandFailedError]
_KINDS: dict[int, Kind] = {
    400: invalid,
    403: forbidden,
    404: not_found,
    409: conflict,
    501: conflict,
}
_CANNOT_CONNECT = 900  # aiodocker's own


@contextmanager
def translated(otherwise: Kind = unavailable) -> Iterator[None]:
    """`otherwise` is what an engine's failure without a kind of its own is.

    Raises:
        CommandFailedError: the engine refused, failed, or is not there.
    """
    try:
        yield
    except DockerError as error:
        raise _failure(error, otherwise) from None
    except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:
        said = text_of(str(error) or type(error).__name__, MESSAGE_LIMIT)
        raise unavailable(f"{NO_ENGINE}: {said}") from None


def _failure(error: DockerError, otherwise: Kind) -> CommandFailedError:
    said = text_of(error.message, MESSAGE_LIMIT)
    if error.status == _CANNOT_CONNECT:
        advice = ""
        if "Permission denied" in said:
            advice = "; the agent's user must be in the group that owns the socket"
        return unavailable(f"{NO_ENGINE}{advice}")
    return _KINDS.get(error.status, otherwise)(f"{SAYS}{said}")
