"""The Docker engine behind its Unix socket."""

import json
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiodocker import Docker as Engine

CONTAINER_LIMIT = 200
TEXT_LIMIT = 256  # characters
ALIVE = json.dumps({"status": ["running", "paused", "restarting"]})
# 3 MB that the library loads for proxies, uploads, archives, cookies' dates and host names that
# are not ASCII, none of which there are on a Unix socket.
UNUSED = (
    *("email.message", "email.parser", "email.policy", "email.utils", "idna", "unicodedata"),
    *("importlib.metadata", "mimetypes", "netrc", "tarfile", "tempfile", "urllib.request", "uuid"),
)

Record = dict[str, Any]  # a JSON object of the engine


class _UnusedError(Exception):
    """Whatever a module that was left out is asked for: a function, a class, an exception."""

    def __init__(self, *_: object) -> None:
        raise _UnusedError.__new__(_UnusedError)


class _Unused(types.ModuleType):
    def __getattr__(self, name: str) -> type[_UnusedError]:
        if name.startswith("__"):
            raise AttributeError(name)
        return _UnusedError


@contextmanager
def _left_out(*names: str) -> Iterator[None]:
    """Whoever imports these inside is given nothing."""
    saved = {name: sys.modules[name] for name in names if name in sys.modules}
    sys.modules.update({name: _Unused(name) for name in names})
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
        sys.modules.update(saved)


def load() -> None:
    """The library, 6 MB that only hosts with Docker pay; to be called where the loop runs."""
    if "aiodocker" in sys.modules:
        return
    with _left_out(*UNUSED):
        import aiohttp  # noqa: F401, PLC0415

        # The agent forbids ssl. aiohttp copes; aiodocker wants it for annotations alone.
        with _left_out("ssl"):
            import aiodocker  # noqa: F401, PLC0415


def connect(socket: Path, *, timeout: float | None) -> "Engine":
    """`timeout` is of each call as a whole, in seconds; None where the caller bounds them.

    Raises:
        OSError: there is no socket.
    """
    if not socket.is_socket():
        raise OSError(f"there is no {socket}")
    load()
    from aiodocker import Docker  # noqa: PLC0415
    from aiohttp import ClientTimeout  # noqa: PLC0415

    return Docker(f"unix://{socket}", timeout=ClientTimeout(total=timeout))


async def list_containers(engine: "Engine") -> tuple[list[Record], bool]:
    """Those alive, and what else there is within the limit; whether there are more."""
    found: dict[str, Record] = {}
    for parameters in ({"filters": ALIVE}, {"all": "1"}):
        for container in await engine.containers.list(limit=CONTAINER_LIMIT + 1, **parameters):
            found.setdefault(container.id, container._container)  # noqa: SLF001  # all that was told of it
    return list(found.values())[:CONTAINER_LIMIT], len(found) > CONTAINER_LIMIT


async def stats(engine: "Engine", container_id: str) -> Record:
    from aiodocker import DockerError  # noqa: PLC0415  # loaded by now

    try:
        # The public method cannot ask for one reading: the engine would take two, a
        # second apart.
        answer: Record = await engine._query_json(  # noqa: SLF001
            f"containers/{container_id}/stats", params={"stream": "0", "one-shot": "1"}
        )
    except DockerError:
        return {}  # gone since it was listed
    return answer


def text_of(value: object, limit: int = TEXT_LIMIT) -> str:
    # A lone surrogate is JSON, but no UTF-8.
    text = str(value or "")[:limit].encode(errors="replace").decode()
    return text.replace("\0", "")
