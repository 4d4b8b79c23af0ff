"""Connection to the Docker engine behind its Unix socket."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.docker.engine_reader import EngineAnswerError, EngineReader

if TYPE_CHECKING:
    from aiodocker import Docker as Engine

CONTAINER_LIMIT = 500
COUNT_LIMIT = 10_000  # containers that are counted
TEXT_LIMIT = 256  # characters
ALIVE = json.dumps({"status": ["running", "paused", "restarting"]})
Record = dict[str, Any]  # a JSON object of the engine


def connect(socket: Path, *, timeout: float | None) -> "Engine":
    """Connect to the engine. `timeout` bounds each call as a whole, in seconds.

    Raises:
        OSError: the socket does not exist.
    """
    if not socket.is_socket():
        raise OSError(f"there is no socket {socket}")
    from agent.docker.library import ClientTimeout, Docker  # noqa: PLC0415  # 6 MB

    return Docker(f"unix://{socket}", timeout=ClientTimeout(total=timeout))


async def list_containers(reader: EngineReader) -> tuple[list[Record], int]:
    """Return containers up to the limit, live ones first, and how many more there are."""
    found: dict[str, Record] = {}
    count = 0
    for parameters in ({"filters": ALIVE}, {"all": "1"}):
        listed = await reader.get("containers/json", {"limit": str(COUNT_LIMIT), **parameters})
        count = max(count, len(listed))
        for record in listed:
            if len(found) == CONTAINER_LIMIT:
                break
            found.setdefault(record["Id"], record)
    return list(found.values()), max(count - len(found), 0)


async def stats(reader: EngineReader, container_id: str) -> Record:
    """Return one reading of a container's resource usage; nothing if the container is gone."""
    try:
        # With "one-shot", the engine does not wait a second for another reading.
        reading: Record = await reader.get(
            f"containers/{container_id}/stats", {"stream": "0", "one-shot": "1"}
        )
    except EngineAnswerError:
        return {}
    return reading


def clean_text(value: object, limit: int = TEXT_LIMIT) -> str:
    """Return at most `limit` characters that protobuf and the database accept."""
    # JSON can hold a lone surrogate, which UTF-8 cannot encode.
    text = str(value or "")[:limit].encode(errors="replace").decode()
    return text.replace("\0", "")
