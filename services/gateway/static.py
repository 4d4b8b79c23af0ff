"""The built console, and the other addresses outside the API."""

import re
from collections.abc import Collection
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from litestar import MediaType, Request, Response, get
from litestar.file_system import BaseLocalFileSystem
from litestar.params import FromPath
from litestar.response import File
from msgspec import Struct
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from services.gateway.api import errors
from services.gateway.api.compression import accepted_encodings
from services.gateway.api.problem_types import KINDS, ProblemType
from services.gateway.api.problem_types import PATH as PROBLEMS
from services.gateway.api.rules import PUBLIC
from services.gateway.context import UseContext
from services.kit.health import report

# The bundler puts a hash of the content into these names.
HASHED = re.compile(r"assets/.+-[A-Za-z0-9_-]{8}\.\w+")
# The build's compressed forms of its files, the smallest first.
VARIANTS = {"br": ".br", "gzip": ".gz"}


class ProblemPage(Struct):
    """A problem type: its meaning, and what a client can do."""

    type: ProblemType
    title: str
    status: int
    meaning: str
    action: str


@get("/healthz", opt={PUBLIC: True}, include_in_schema=False, media_type=MediaType.TEXT)
async def healthz() -> str:
    return "ok\n"


@get("/readyz", opt={PUBLIC: True}, include_in_schema=False)
async def readyz(request: Request[Any, Any, Any], context: UseContext) -> Response[dict[str, Any]]:
    public = urlsplit(context.settings.public_url).hostname or ""
    _require_host(request, {"localhost", public})
    ready, body = report([context.health])
    return Response(body, status_code=200 if ready else 503)


@get("/metrics", opt={PUBLIC: True}, include_in_schema=False)
async def metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Return metrics, but only to this machine, because they reveal the number of servers."""
    if request.client is None or request.client.host not in {"127.0.0.1", "::1"}:
        raise errors.not_found()
    _require_host(request, {"localhost"})
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def _require_host(request: Request[Any, Any, Any], names: Collection[str]) -> None:
    """Check that the request names one of these hosts, or an IP address.

    A page of another origin could have its own name resolve to this machine (DNS rebinding) and read
    the answer.

    Raises:
        RequestError: 404, another host is named, or none.
    """
    try:
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    except ValueError:
        host = ""
    if host not in names and not _is_address(host):
        raise errors.not_found()


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


@get("/", opt={PUBLIC: True}, include_in_schema=False)
async def index(context: UseContext, request: Request[Any, Any, Any]) -> File:
    return _answer(context.settings.console_dir, "", request)


@get("/{path:path}", opt={PUBLIC: True}, include_in_schema=False)
async def console(
    context: UseContext, request: Request[Any, Any, Any], path: FromPath[str]
) -> File:
    """Return a file of the build, or the page if the console handles the address."""
    return _answer(context.settings.console_dir, path.lstrip("/"), request)


@get(f"{PROBLEMS}/{{kind:str}}", opt={PUBLIC: True}, include_in_schema=False)
async def problem_page(kind: FromPath[str]) -> ProblemPage:
    try:
        type_ = ProblemType(f"{PROBLEMS}/{kind}")
    except ValueError:
        raise errors.not_found() from None
    known = KINDS[type_]
    return ProblemPage(type_, known.title, known.status, known.meaning, known.action)


def _answer(root: Path | None, name: str, request: Request[Any, Any, Any]) -> File:
    if root is None:
        raise errors.not_found()
    file = _built(root, name)
    if file is None:
        if name.startswith(("agent/", "api/", "assets/", "vendor/")):
            raise errors.not_found()
        file = root / "index.html"
    cache = "public, max-age=31536000, immutable" if HASHED.fullmatch(name) else "no-cache"
    headers = {"Cache-Control": cache, "Vary": "Accept-Encoding"}
    sent, encoding = _variant(
        file, accepted_encodings(request.headers.getall("accept-encoding", []))
    )
    if encoding:
        headers["Content-Encoding"] = encoding
    return File(
        sent,
        filename=file.name,
        content_disposition_type="inline",
        file_system=BaseLocalFileSystem(),
        headers=headers,
    )


def _variant(file: Path, accepted: Collection[str]) -> tuple[Path, str]:
    """Return the smallest accepted form of a file that the build made, and its encoding if any."""
    for encoding, suffix in VARIANTS.items():
        compressed = file.with_name(file.name + suffix)
        if encoding in accepted and compressed.is_file():
            return compressed, encoding
    return file, ""


def _built(root: Path, name: str) -> Path | None:
    try:
        file = (root / name).resolve(strict=True)
    except (OSError, ValueError):  # absent, too long, or with a NUL
        return None
    return file if file.is_relative_to(root.resolve()) and file.is_file() else None
