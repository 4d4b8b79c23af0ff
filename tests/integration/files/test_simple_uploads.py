"""Uploads as `curl` sends them: a form or a raw body, without the file's size."""

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.gateway.api.problem_types import ProblemType
from tests.fixtures.file_server import FileServer, audited
from tests.fixtures.waiting import until
from tests.fixtures.world import World

PIECE = 256 * 1024  # bytes


async def curl(server: FileServer, *arguments: str | Path, url: str) -> tuple[int, dict[str, Any]]:
    """Run `curl`; return the status and the JSON of the answer."""
    program = await asyncio.create_subprocess_exec(
        "curl",
        "--silent",
        "--show-error",
        "--noproxy",
        "*",
        "--header",
        f"Authorization: {server.user.headers['Authorization']}",
        "--write-out",
        "\n%{http_code}",
        *arguments,
        url,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await program.communicate()
    body, _, status = out.decode().rpartition("\n")
    return int(status), json.loads(body)


@pytest.mark.parametrize("size", [0, 5, 3 * PIECE + 7])
@pytest.mark.parametrize("form", ["-F", "-T"])
async def test_curl_uploads_a_file_without_its_size(
    world: World, server: FileServer, tmp_path: Path, form: str, size: int
) -> None:
    data = os.urandom(size)
    (tmp_path / "local").write_bytes(data)
    path = server.root / "f"
    url = f"{world.api}{server.files}/upload?path={path}"
    given = (form, f"data=@{tmp_path}/local" if form == "-F" else tmp_path / "local")
    status, told = await curl(server, *given, url=url)
    assert (status, told["complete"], told["received_bytes"]) == (200, True, size)
    assert told["sha256"] == hashlib.sha256(data).hexdigest()
    assert path.read_bytes() == data
    status, told = await curl(server, *given, url=url)
    assert (status, told["type"]) == (409, ProblemType.ALREADY_EXISTS)
    status, told = await curl(server, *given, url=f"{url}&overwrite=true")
    assert (status, told["complete"]) == (200, True)
    assert [entry.name for entry in server.root.iterdir()] == ["f"]


async def test_a_body_of_unknown_length_is_counted(server: FileServer) -> None:
    blocks = [os.urandom(100_000) for _ in range(7)]

    async def body() -> AsyncIterator[bytes]:
        for block in blocks:
            yield block

    path = server.root / "f"
    answer = await server.user.put(
        f"{server.files}/upload", params={"path": str(path)}, content=body()
    )
    assert (answer.status_code, answer.json()["received_bytes"]) == (200, 700_000)
    assert path.read_bytes() == b"".join(blocks)


@pytest.mark.parametrize("size", [4, 3 * PIECE, 2**40])
async def test_a_form_that_is_shorter_than_its_size_is_refused(
    server: FileServer, size: int
) -> None:
    path = server.root / "f"
    answer = await server.user.post(
        f"{server.files}/upload",
        params={"path": str(path), "size": size},
        files={"data": b"abc"},
    )
    assert (answer.status_code, answer.json()["type"]) == (422, ProblemType.VALIDATION)
    assert answer.json()["errors"][0]["field"] == "size"
    assert list(server.root.iterdir()) == []


async def test_a_raw_body_is_checked_by_its_sum_and_its_type(server: FileServer) -> None:
    url, params = f"{server.files}/upload", {"path": str(server.root / "f")}
    wrong = await server.user.put(url, params={**params, "sha256": "0" * 64}, content=b"abc")
    assert wrong.json()["type"] == ProblemType.AGENT_INVALID
    form = await server.user.put(url, params=params, files={"data": b"abc"})
    assert form.json()["type"] == ProblemType.UNSUPPORTED_MEDIA_TYPE
    unknown = await server.user.put(url, params={**params, "size": 3}, content=b"abc")
    assert unknown.json()["errors"][0]["field"] == "size"
    assert list(server.root.iterdir()) == []


@pytest.mark.parametrize(
    "head",
    [
        "PUT {url}?path={path} HTTP/1.1\r\nContent-Length: 600000\r\n",
        "PUT {url}?path={path} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n",
    ],
)
async def test_a_raw_body_that_breaks_off_leaves_nothing(
    world: World, server: FileServer, head: str
) -> None:
    path = server.root / "f"
    _, writer = await asyncio.open_connection("127.0.0.1", world.http_port)
    writer.write(head.format(url=f"/api/v1{server.files}/upload", path=path).encode())
    writer.write(
        f"Host: x\r\nAuthorization: {server.user.headers['Authorization']}\r\n\r\n".encode()
    )
    data = b"a" * 2 * PIECE
    writer.write(data if "Length" in head else f"{len(data):x}\r\n".encode() + data + b"\r\n")
    await writer.drain()
    await until(lambda: any(server.root.iterdir()), otherwise="nothing arrived")
    writer.close()
    await until(lambda: not any(server.root.iterdir()), otherwise="the rest stayed")
    entry = await audited(world, server.vps_id, "file.upload", str(path))
    assert "524288 of" in entry["detail"]
