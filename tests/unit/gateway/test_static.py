"""The files of the built console, in the form that a browser accepts."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.di import Provide

from services.gateway import static
from services.gateway.context import Context

ASSET = "assets/vendor-AbCd_123.js"


@pytest.fixture
def build(tmp_path: Path) -> Path:
    (tmp_path / "assets").mkdir()
    files = {
        "index.html": b"<html>",
        ASSET: b"plain",
        f"{ASSET}.br": b"brotli",
        f"{ASSET}.gz": b"gzip",
        "assets/only-AbCd_123.css": b"plain",
        "assets/only-AbCd_123.css.gz": b"gzip",
        "assets/inter-AbCd_123.woff2": b"plain",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


async def fetch(build: Path, path: str, accepts: str) -> tuple[httpx.Response, bytes]:
    # The handlers read nothing else, and the rest of a context needs NATS and a database.
    context = object.__new__(Context)
    settings: Any = SimpleNamespace(console_dir=build)
    object.__setattr__(context, "settings", settings)
    app = Litestar(
        [static.index, static.console],
        dependencies={"context": Provide(lambda: context, sync_to_thread=False)},
        openapi_config=None,
    )
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
    async with (
        httpx.AsyncClient(transport=transport, base_url="http://console") as client,
        client.stream("GET", f"/{path}", headers={"Accept-Encoding": accepts}) as answer,
    ):
        return answer, b"".join([part async for part in answer.aiter_raw()])


@pytest.mark.parametrize(
    ("name", "accepts", "encoding", "body"),
    [
        (ASSET, "gzip, deflate, br, zstd", "br", b"brotli"),
        (ASSET, "gzip", "gzip", b"gzip"),
        (ASSET, "br;q=0, gzip;q=0.5", "gzip", b"gzip"),
        (ASSET, "identity", None, b"plain"),
        ("assets/only-AbCd_123.css", "br, gzip", "gzip", b"gzip"),
        ("assets/only-AbCd_123.css", "br", None, b"plain"),
        ("assets/inter-AbCd_123.woff2", "br, gzip", None, b"plain"),
    ],
)
async def test_a_file_is_sent_in_its_smallest_accepted_form(
    build: Path, name: str, accepts: str, encoding: str | None, body: bytes
) -> None:
    answer, received = await fetch(build, name, accepts)
    plain, _ = await fetch(build, name, "identity")
    assert received == body
    assert answer.headers.get("Content-Encoding") == encoding
    assert answer.headers["Content-Length"] == str(len(body))
    assert answer.headers["Content-Type"] == plain.headers["Content-Type"]
    # A cache must not give one browser what another accepts.
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert (answer.headers["ETag"] == plain.headers["ETag"]) == (encoding is None)


@pytest.mark.parametrize("path", ["", "servers/new", "index.html"])
async def test_the_page_itself_is_asked_for_each_time(build: Path, path: str) -> None:
    (build / "index.html.br").write_bytes(b"page")
    answer, received = await fetch(build, path, "br")
    assert (received, answer.headers["Content-Encoding"]) == (b"page", "br")
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["Content-Type"].startswith("text/html")
