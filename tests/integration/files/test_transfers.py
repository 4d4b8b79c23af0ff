"""Uploads to a real agent and downloads from it, through the gateway."""

import asyncio
import hashlib
import json
import os
import secrets
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from flotilla.v1.command_pb2 import CommandResponse, FileAction, FileEntry
from services.gateway.api.limits import TRANSFERS_OF_USER
from tests.fixtures.file_server import FileServer, audited, problem
from tests.fixtures.waiting import until
from tests.fixtures.world import World

PIECE = 256 * 1024  # bytes


async def test_a_file_is_uploaded_and_downloaded_again(world: World, server: FileServer) -> None:
    data = os.urandom(3 * PIECE + 7)
    path = server.root / 'naïve "name".bin'
    answer = await server.upload(path, data)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["received_bytes"], told["complete"]) == (len(data), True)
    assert told["sha256"] == hashlib.sha256(data).hexdigest()
    assert told["entry"]["size_bytes"] == len(data)
    assert path.read_bytes() == data

    down = await server.get("/download", path)
    assert (down.status_code, down.content) == (200, data)
    assert down.headers["Content-Type"] == "application/octet-stream"
    assert down.headers["X-Content-Type-Options"] == "nosniff"
    assert down.headers["ETag"] == f'"{told["entry"]["version"]}"'
    assert down.headers["Content-Disposition"] == (
        "attachment; filename=\"na_ve _name_.bin\"; filename*=UTF-8''na%C3%AFve%20%22name%22.bin"
    )
    up = await audited(world, server.vps_id, "file.upload", str(path))
    assert (up["allowed"], f"{len(data)} bytes" in up["detail"]) == (True, True)
    assert (await audited(world, server.vps_id, "file.download", str(path)))["allowed"] is True

    empty = await server.upload(server.root / "empty", b"")
    assert empty.json()["complete"] is True
    assert (await server.get("/download", server.root / "empty")).content == b""


async def test_an_upload_goes_on_where_it_stopped(server: FileServer) -> None:
    data = os.urandom(2 * PIECE + 7)
    path = server.root / "f"
    name = {"upload_id": secrets.token_hex(16)}
    first = (await server.upload(path, data[:1000], size=len(data), **name)).json()
    assert first == {"received_bytes": 1000, "complete": False, "sha256": None, "entry": None}
    assert not path.exists()
    state = (await server.get("/upload", path, **name)).json()
    assert state == {"received_bytes": 1000}
    gap = await server.upload(path, data[2000:], size=len(data), offset=2000, **name)
    assert "1000 bytes have arrived" in problem(gap, 409)
    # A chunk may overlap earlier bytes, as after a lost answer.
    rest = await server.upload(path, data[500:], size=len(data), offset=500, **name)
    assert rest.json()["complete"] is True
    assert path.read_bytes() == data

    await server.upload(server.root / "g", b"abc", size=9, **name)
    params = {"path": str(server.root / "g"), **name}
    for _ in range(2):
        dropped = await server.user.delete(f"{server.files}/upload", params=params)
        assert dropped.status_code == 204
    assert [entry.name for entry in server.root.iterdir()] == ["f"]


async def test_an_upload_of_another_size_or_sum_is_refused(
    world: World, server: FileServer
) -> None:
    data = os.urandom(PIECE + 1)
    path = server.root / "f"
    more = await server.upload(path, data, size=PIECE)
    assert "The upload has more than" in problem(more, 413)
    entry = await audited(world, server.vps_id, "file.upload", str(path))
    assert (entry["allowed"], "The upload has more than" in entry["reason"]) == (False, True)
    far_more = await server.upload(path, data, size=10)
    problem(far_more, 413)
    assert list(server.root.iterdir()) == []

    wrong = await server.upload(path, data, sha256="0" * 64)
    assert "SHA-256" in problem(wrong, 422)
    assert list(server.root.iterdir()) == []
    right = await server.upload(path, data, sha256=hashlib.sha256(data).hexdigest())
    assert right.json()["complete"] is True
    assert "exists already" in problem(await server.upload(path, b"x"), 409)
    assert path.read_bytes() == data
    over = await server.upload(path, b"x", overwrite="true")
    assert over.json()["complete"] is True
    assert path.read_bytes() == b"x"


async def test_a_body_that_is_no_form_is_refused(server: FileServer) -> None:
    params: dict[str, Any] = {"path": str(server.root / "f"), "size": 3}
    url = f"{server.files}/upload"
    problem(await server.user.post(url, params=params, content=b"abc"), 415)
    other = await server.user.post(url, params=params, files={"other": b"abc"})
    assert other.json()["errors"][0]["field"] == "data"
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    cut = b'--x\r\nContent-Disposition: form-data; name="data"; filename="f"\r\n\r\nabc'
    for body in (b"", b"abc", cut, cut + b"\r\n--x"):
        problem(await server.user.post(url, params=params, content=body, headers=form), 422)
    many = {f"n{number}": b"x" for number in range(30)}
    problem(await server.user.post(url, params=params, files=many), 422)
    large = {**params, "size": 100_000}
    problem(await server.user.post(url, params=large, files={"other": bytes(100_000)}), 422)
    for bad in ({"size": -1}, {"upload_id": "../x"}, {"sha256": "x"}, {"offset": 1 << 60}):
        answer = await server.user.post(url, params={**params, **bad}, files={"data": b"abc"})
        problem(answer, 422)
        assert [one["field"] for one in answer.json()["errors"]] == list(bad)
    assert not (server.root / "f").exists()


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [
        ("bytes=0-9", 206, slice(0, 10)),
        ("bytes=300000-", 206, slice(300_000, None)),
        ("bytes=-5", 206, slice(-5, None)),
        ("bytes=399999-999999999", 206, slice(399_999, None)),
        ("bytes=100-600000", 206, slice(100, None)),
        ("bytes=-999999999", 206, slice(0, None)),
        ("bytes=0-1,5-6", 200, slice(0, None)),
        ("bytes=9-1", 200, slice(0, None)),
        ("lines=1-2", 200, slice(0, None)),
    ],
)
async def test_a_part_is_downloaded(
    server: FileServer, asked: str, status: int, part: slice
) -> None:
    data = os.urandom(400_000)
    path = server.root / "f"
    path.write_bytes(data)
    url, params = f"{server.files}/download", {"path": str(path)}
    headers = {"Range": asked}
    answer = await server.user.get(url, params=params, headers=headers)
    assert (answer.status_code, answer.content) == (status, data[part])
    if status == 206:
        start, end, _ = part.indices(len(data))
        assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(data)}"
    measured = await server.user.head(url, params=params, headers=headers)
    assert (measured.status_code, measured.content) == (status, b"")
    for name in ("Content-Length", "ETag", "Accept-Ranges", "Content-Disposition"):
        assert measured.headers[name] == answer.headers[name]


async def test_a_part_of_another_version_or_beyond_the_end_is_not_sent(server: FileServer) -> None:
    path = server.root / "f"
    path.write_bytes(b"0123456789")
    url, params = f"{server.files}/download", {"path": str(path)}
    beyond = await server.user.get(url, params=params, headers={"Range": "bytes=10-"})
    problem(beyond, 416)
    assert beyond.headers["Content-Range"] == "bytes */10"
    tag = (await server.user.head(url, params=params)).headers["ETag"]
    asked = {"Range": "bytes=2-3", "If-Range": tag}
    assert (await server.user.get(url, params=params, headers=asked)).content == b"23"
    path.write_bytes(b"abcdefghij")
    answer = await server.user.get(url, params=params, headers=asked)
    assert (answer.status_code, answer.content) == (200, b"abcdefghij")


async def test_a_download_whose_file_changes_is_cut_off(server: FileServer) -> None:
    path = server.root / "f"
    path.write_bytes(os.urandom(16 * 1024 * 1024))
    received = bytearray()
    first = path.read_bytes()

    async def download() -> None:
        async with server.user.stream(
            "GET", f"{server.files}/download", params={"path": str(path)}
        ) as answer:
            assert answer.status_code == 200
            async for block in answer.aiter_raw():
                if not received:
                    path.write_bytes(bytes(16 * 1024 * 1024))
                received.extend(block)

    with pytest.raises(httpx.RemoteProtocolError):
        await download()
    assert 0 < len(received) < len(first)
    assert first.startswith(received)


async def test_a_ticket_downloads_its_file_and_nothing_else(
    world: World, server: FileServer
) -> None:
    for name in ("f", "g"):
        (server.root / name).write_text(name)
    answer = await server.post("/download-tickets", path=server.root / "f")
    assert answer.status_code == 201
    ticket = answer.json()["ticket"]
    url = f"{world.api}{server.files}/download"

    async def status(**changes: str) -> int:
        params = {"path": str(server.root / "f"), "ticket": ticket, **changes}
        async with httpx.AsyncClient(trust_env=False) as browser:
            address = changes.pop("url", url)
            params.pop("url", None)
            return (await browser.get(address, params=params)).status_code

    assert [await status(), await status()] == [200, 200]
    assert await status(path=str(server.root / "g")) == 401
    assert await status(path=f"{server.root}/./f") == 401
    assert await status(ticket=ticket[:-1]) == 401
    assert await status(url=f"{world.api}{server.files}") == 401
    other = (await server.user.post("/vps", json={"name": "other"})).json()["id"]
    assert await status(url=url.replace(server.vps_id, other)) == 401
    await world.sql("UPDATE ws_tickets SET expires_at = now()")
    assert await status() == 401


async def test_a_ticket_for_one_file_reads_no_other_whatever_the_query(
    world: World, server: FileServer
) -> None:
    for name in ("f", "g"):
        (server.root / name).write_text(name)
    one, other = str(server.root / "f"), str(server.root / "g")
    ticket = (await server.post("/download-tickets", path=server.root / "f")).json()["ticket"]
    url = f"{world.api}{server.files}/download"
    good, bad = quote(one, safe=""), quote(other, safe="")
    queries = [
        f"path={good}&path={bad}&ticket={ticket}",
        f"path={bad}&path={good}&ticket={ticket}",
        f"ticket={ticket}&path={good}&pat%68={bad}",
        f"path={good}&path=&ticket={ticket}",
        f"path={good}&ticket={ticket}&ticket=x",
        f"path={good};path={bad}&ticket={ticket}",
        f"path={good}&path[]={bad}&ticket={ticket}",
        f"path={good}%00{bad}&ticket={ticket}",
    ]
    async with httpx.AsyncClient(trust_env=False) as browser:
        assert (await browser.get(f"{url}?path={good}&ticket={ticket}")).text == "f"
        for query in queries:
            for method in ("GET", "HEAD"):
                answer = await browser.request(method, f"{url}?{query}")
                assert answer.status_code in {401, 422} or answer.text == "f", query
                assert answer.text != "g"


async def test_a_ticket_ends_with_its_session(world: World, server: FileServer) -> None:
    (server.root / "f").write_text("f")
    admin = await world.colleague(server.user, "operator")
    answer = await admin.post(
        f"{server.files}/download-tickets", json={"path": str(server.root / "f")}
    )
    params = {"path": str(server.root / "f"), "ticket": answer.json()["ticket"]}
    url = f"{server.files}/download"
    assert (await world.anonymous().get(url, params=params)).status_code == 200
    assert (await admin.post("/auth/logout")).is_success
    assert (await world.anonymous().get(url, params=params)).status_code == 401


async def test_an_upload_whose_client_goes_away_can_be_gone_on_with(
    world: World, server: FileServer
) -> None:
    """The size that the client announced does not matter."""
    name, path = secrets.token_hex(16), server.root / "f"
    sent, size = PIECE + 3000, PIECE + 5000
    head = (
        f"POST /api/v1{server.files}/upload?path={path}&size={size}&upload_id={name} HTTP/1.1\r\n"
        f"Host: x\r\nAuthorization: {server.user.headers['Authorization']}\r\n"
        f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {size + 100}\r\n\r\n"
        '--x\r\nContent-Disposition: form-data; name="data"; filename="f"\r\n\r\n'
    )
    _, writer = await asyncio.open_connection("127.0.0.1", world.http_port)
    writer.write(head.encode() + b"a" * sent)
    await writer.drain()

    async def received() -> int:
        state = await server.get("/upload", path, upload_id=name)
        return int(state.json()["received_bytes"])

    async def begun() -> bool:
        return await received() > 0

    await until(begun)
    writer.close()

    async def all_arrived() -> bool:
        return await received() == sent

    await until(all_arrived)
    rest = await server.upload(path, b"b" * (size - sent), size=size, offset=sent, upload_id=name)
    assert rest.json()["complete"] is True
    assert path.read_bytes() == b"a" * sent + b"b" * (size - sent)


async def test_a_ninth_transfer_of_a_user_is_told_to_wait_and_those_of_others_run(
    world: World, server: FileServer
) -> None:
    admin = await world.colleague(server.user, "operator")
    path = server.root / "f"
    path.write_bytes(bytes(8 * 1024 * 1024))
    params = {"path": str(path)}
    url = f"{server.files}/download"
    held: list[httpx.Response] = []
    try:
        while len(held) < 20:
            request = server.user.build_request("GET", url, params=params)
            held.append(await server.user.send(request, stream=True))
            if held[-1].status_code != 200:
                break
        assert [answer.status_code for answer in held] == [200] * TRANSFERS_OF_USER + [429]
        assert held[-1].headers["Retry-After"]
        assert "8 uploads and downloads" in problem(
            await server.upload(server.root / "g", b"x"), 429
        )
        other = {"path": str(server.root / "small")}
        (server.root / "small").write_bytes(b"x")
        assert (await admin.get(url, params=other)).content == b"x"
    finally:
        for answer in held:
            await answer.aclose()

    async def free() -> bool:
        return (await server.user.get(url, params=params)).status_code == 200

    await until(free)
    assert json.loads((await server.get("/stat", path)).text)["size_bytes"] == 8 * 1024 * 1024


async def test_what_came_of_a_commit_is_asked_again_and_it_is_not_done_twice(world: World) -> None:
    user = await world.user("member")
    agent = await world.enrolled(user)
    await agent.connect()
    saving = asyncio.create_task(
        user.put(
            f"/vps/{agent.vps_id}/files/content",
            params={"path": "/srv/f"},
            json={"content": "x", "version": None},
        )
    )
    _, asked = await agent.commanded()
    assert asked.file.operation == FileAction.OPERATION_UPLOAD_STATE
    await agent.answer(asked.id, received_bytes=0)
    _, busy = await agent.commanded()
    refused = {"status": CommandResponse.STATUS_REFUSED, "failure": CommandResponse.FAILURE_BUSY}
    await agent.answer(busy.id, **refused)
    _, written = await agent.commanded()
    assert busy.file == written.file
    assert written.file.data == b"x"
    await agent.answer(written.id, received_bytes=1)

    _, first = await agent.commanded()
    assert first.file.operation == FileAction.OPERATION_COMMIT
    assert first.file.sha256 == hashlib.sha256(b"x").digest()
    await agent.leave()
    await agent.connect()
    _, again = await agent.commanded()
    assert again == first
    await agent.answer(again.id, file=FileEntry(name="f", size_bytes=1))
    answer = await saving
    assert (answer.status_code, answer.json()["name"]) == (200, "f")


async def test_a_save_that_fails_leaves_no_draft(world: World) -> None:
    user = await world.user("member")
    agent = await world.enrolled(user)
    await agent.connect()
    saving = asyncio.create_task(
        user.put(
            f"/vps/{agent.vps_id}/files/content",
            params={"path": "/srv/f"},
            json={"content": "x", "version": "1"},
        )
    )
    for _ in range(2):
        await agent.answer((await agent.commanded())[1].id, received_bytes=0)
    _, commit = await agent.commanded()
    await agent.answer(
        commit.id,
        status=CommandResponse.STATUS_FAILED,
        failure=CommandResponse.FAILURE_CONFLICT,
        reason="changed meanwhile",
    )
    _, abort = await agent.commanded()
    assert abort.file.operation == FileAction.OPERATION_ABORT
    assert abort.file.upload_id == commit.file.upload_id
    await agent.answer(abort.id)
    assert problem(await saving, 409) == "changed meanwhile"
