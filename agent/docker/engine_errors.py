"""Errors of the Docker engine, translated into reasons why a command failed."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from agent.commands.errors import (
    CommandFailedError,
    conflict,
    forbidden,
    invalid,
    not_found,
    unavailable,
)
from agent.docker.client import clean_text
from agent.docker.engine_reader import EngineAnswerError
from agent.docker.library import DockerError, aiohttp

MESSAGE_LIMIT = 400  # characters
NOT_ALLOWED = (
    "The agent may not connect to the Docker engine. Add the agent's user to the group that owns the"
    " Docker socket and restart the agent."
)

MakeError = Callable[[str], CommandFailedError]
_BY_STATUS: dict[int, MakeError] = {
    400: invalid,
    403: forbidden,
    404: not_found,
    409: conflict,
    501: conflict,
}
_CANNOT_CONNECT = 900  # a status of aiodocker's own


@contextmanager
def translate_engine_errors(otherwise: MakeError = unavailable) -> Iterator[None]:
    """Translate errors in the block; `otherwise` makes the error for an unlisted status.

    Raises:
        CommandFailedError: the engine refused, failed or did not answer.
    """
    try:
        yield
    except DockerError as error:
        raise _translate(error, otherwise) from None
    except EngineAnswerError as error:
        make = _BY_STATUS.get(error.status, otherwise)
        raise make(engine_message(error.message)) from None
    except PermissionError:
        raise unavailable(NOT_ALLOWED) from None
    except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:
        raise engine_unavailable(str(error) or type(error).__name__) from None


def engine_unavailable(message: str) -> CommandFailedError:
    return unavailable(
        f"The agent cannot reach the Docker engine ({clean_text(message, MESSAGE_LIMIT)})."
        " Check that Docker runs on the server."
    )


def engine_message(message: object) -> str:
    """Return the engine's own words, as the reason of a failure."""
    return f"The Docker engine reports: {clean_text(message, MESSAGE_LIMIT)}"


def _translate(error: DockerError, otherwise: MakeError) -> CommandFailedError:
    if error.status != _CANNOT_CONNECT:
        return _BY_STATUS.get(error.status, otherwise)(engine_message(error.message))
    if "Permission denied" in str(error.message):
        return unavailable(NOT_ALLOWED)
    return engine_unavailable("no connection")
