"""The built console, and what else is served outside the API."""

import re
from typing import Any

from litestar import MediaType, Request, Response, get
from litestar.file_system import BaseLocalFileSystem
from litestar.response import File
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from services.gateway import errors
from services.gateway.guard import PUBLIC
from services.gateway.runtime import Runtime
from services.kit.health import report

# The bundler puts a hash of the content into these names.
HASHED = re.compile(r"assets/.+-[A-Za-z0-9_-]{8}\.\w+")


@get("/healthz", opt={PUBLIC: True}, include_in_schema=False, media_type=MediaType.TEXT)
async def healthz() -> str:
    return "ok\n"


@get("/readyz", opt={PUBLIC: True}, include_in_schema=False)
async def readyz(runtime: Runtime) -> Response[dict[str, Any]]:
    ready, body = report([runtime.health])
    return Response(body, status_code=200 if ready else 503)


@get("/metrics", opt={PUBLIC: True}, include_in_schema=False)
async def metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
    """For a scraper on this machine: the numbers tell how large the fleet is."""
    if request.client is None or request.client.host not in {"127.0.0.1", "::1"}:
        raise errors.not_found()
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


@get(["/", "/{path:path}"], opt={PUBLIC: True}, include_in_schema=False)
async def console(runtime: Runtime, path: str = "") -> File:
    """A file of the build; the page itself for every address the console routes."""
    root = runtime.settings.console_dir
    if root is None:
        raise errors.not_found()
    name = path.lstrip("/")
    file = (root / name).resolve()
    if not name or not file.is_relative_to(root.resolve()) or not file.is_file():
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
