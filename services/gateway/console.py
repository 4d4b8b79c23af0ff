"""The built console, and what else is served outside the API."""

import re
from pathlib import Path
from typing import Any

from litestar import MediaType, Request, Response, get
from litestar.file_system import BaseLocalFileSystem
from litestar.params import FromPath
from litestar.response import File
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from services.gateway import errors
from services.gateway.guard import PUBLIC
from services.gateway.runtime import UseRuntime
from services.kit.health import report

# The bundler puts a hash of the content into these names.
HASHED = re.compile(r"assets/.+-[A-Za-z0-9_-]{8}\.\w+")


@get("/healthz", opt={PUBLIC: True}, include_in_schema=False, media_type=MediaType.TEXT)
async def healthz() -> str:
    return "ok\n"


@get("/readyz", opt={PUBLIC: True}, include_in_schema=False)
async def readyz(runtime: UseRuntime) -> Response[dict[str, Any]]:
    ready, body = report([runtime.health])
    return Response(body, status_code=200 if ready else 503)


@get("/metrics", opt={PUBLIC: True}, include_in_schema=False)
async def metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
    """For a scraper on this machine: the numbers tell how large the fleet is."""
    if request.client is None or request.client.host not in {"127.0.0.1", "::1"}:
        raise errors.not_found()
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


@get("/", opt={PUBLIC: True}, include_in_schema=False)
async def index(runtime: UseRuntime) -> File:
    return _answer(runtime.settings.console_dir, "")


@get("/{path:path}", opt={PUBLIC: True}, include_in_schema=False)
async def console(runtime: UseRuntime, path: FromPath[str]) -> File:
    """A file of the build; the page itself for every address the console routes."""
    return _answer(runtime.settings.console_dir, path.lstrip("/"))


def _answer(root: Path | None, name: str) -> File:
    if root is None:
        raise errors.not_found()
    file = _built(root, name)
    if file is None:
        if name.startswith(("agent/", "api/", "assets/", "vendor/")):
            raise errors.not_found()
        file = root / "index.html"
    cache = "public, max-age=31536000, immutable" if HASHED.fullmatch(name) else "no-cache"
    return File(
        file,
        filename=file.name,
        content_disposition_type="inline",
        file_system=BaseLocalFileSystem(),
        headers={"Cache-Control": cache},
    )


def _built(root: Path, name: str) -> Path | None:
    try:
        file = (root / name).resolve(strict=True)
    except (OSError, ValueError):  # absent, too long a name, a NUL in it
        return None
    return file if file.is_relative_to(root.resolve()) and file.is_file() else None
