"""Upload and download of 200 MB while the agent's stream is cut half way."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from services.gateway.api.problem_types import ProblemType
from services.gateway.timing import GatewayTiming
from tests.fixtures import programs
from tests.fixtures.waiting import until
from tests.fixtures.world import Gate, World

SIZE = 200 * 1024 * 1024  # bytes
SMALL = 2 * 1024 * 1024
PIECE = 256 * 1024


@pytest_asyncio.fixture(loop_scope="session")
async def gate(own_world: World) -> AsyncIterator[Gate]:
    """A relay between the agent and its edge."""
    gate = Gate(own_world.grpc_port)
    await gate.open()
    yield gate
    await gate.shut()


@dataclass
class Host:
    user: httpx.AsyncClient
    vps_id: str
    root: Path
    program: programs.Program

    @property
    def files(self) -> str:
        return f"/vps/{self.vps_id}/files"


@pytest_asyncio.fixture(loop_scope="session")
async def host(own_world: World, gate: Gate, tmp_path: Path) -> AsyncIterator[Host]:
    own_world.start("edge")
    own_world.start("gateway", agent_address=f"127.0.0.1:{gate.port}")
    await own_world.ready("edge", "gateway")
    user = await own_world.user("member")
    user.timeout = httpx.Timeout(60)
    root = tmp_path / "root"
    root.mkdir()
    vps_id, program = await programs.enrolled_agent(
        *(user, tmp_path / "agent"),
        policy=f'files = "write"\nfile_roots = ["{root}"]\n',
        authority=own_world.certificates / "ca.pem",
        command_key=own_world.command_key,
    )
    host = Host(user, vps_id, root, program)
    yield host
    host.program.kill()


async def cut(gate: Gate, host: Host) -> None:
    """Cut the agent's connection until the server is known to be offline."""

    async def offline() -> bool:
        server = await host.user.get(f"/vps/{host.vps_id}")
        return bool(server.json()["status"] == "offline")

    await gate.shut()
    await until(offline)
    await gate.open()


@pytest.mark.timeout(120)
async def test_a_large_file_comes_through_a_link_that_is_cut(
    host: Host, gate: Gate, tmp_path: Path
) -> None:
    user, files = host.user, host.files
    source = tmp_path / "source"
    digest = await asyncio.to_thread(make, source)
    path = host.root / "large"
    name = secrets.token_hex(16)
    draft = host.root / f".large.{name}.part"

    params: dict[str, Any] = {"path": str(path), "size": SIZE, "upload_id": name, "sha256": digest}
    with source.open("rb") as content:
        sending = asyncio.create_task(
            user.post(f"{files}/upload", params=params, files={"data": content})
        )
        await until(lambda: draft.exists() and draft.stat().st_size > SIZE // 2, seconds=40)
        await cut(gate, host)
        answer = await sending
    assert answer.status_code == 200, answer.text
    assert (answer.json()["complete"], answer.json()["sha256"]) == (True, digest)
    assert path.stat().st_size == SIZE

    received, was_cut = 0, False
    down = hashlib.sha256()
    async with user.stream("GET", f"{files}/download", params={"path": str(path)}) as stream:
        assert stream.headers["Content-Length"] == str(SIZE)
        async for block in stream.aiter_raw():
            down.update(block)
            received += len(block)
            if received > SIZE // 2 and not was_cut:
                was_cut = True
                await cut(gate, host)
    assert (received, down.hexdigest()) == (SIZE, digest)


async def test_an_upload_whose_agent_stays_away_is_gone_on_with_later(
    own_world: World, host: Host, tmp_path: Path
) -> None:
    await own_world.stop("gateway")
    own_world.start("gateway", timing=GatewayTiming(transfer_patience=1.0))
    await own_world.ready("gateway")
    name, path = secrets.token_hex(16), host.root / "f"
    data = secrets.token_bytes(SMALL)
    params: dict[str, Any] = {"path": str(path), "size": SMALL, "upload_id": name}
    half = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="data"; filename="f"\r\n\r\n'
        yield data[: SMALL // 2]
        await half.wait()
        yield data[SMALL // 2 :]
        yield b"\r\n--x--\r\n"

    form = {"Content-Type": "multipart/form-data; boundary=x"}
    sending = asyncio.create_task(
        host.user.post(f"{host.files}/upload", params=params, content=body(), headers=form)
    )
    draft = host.root / f".f.{name}.part"
    await until(lambda: draft.exists() and draft.stat().st_size > PIECE)
    host.program.kill()
    half.set()
    answer = await sending
    # The server is offline, or it did not answer the request in flight.
    assert answer.status_code in {409, 503}
    assert answer.json()["type"] in {ProblemType.AGENT_OFFLINE, ProblemType.AGENT_UNANSWERED}

    host.program = programs.agent(tmp_path / "agent")

    async def back() -> int | None:
        asked = {"path": str(path), "upload_id": name}
        state = await host.user.get(f"{host.files}/upload", params=asked)
        return state.json().get("received_bytes") or None

    received = await until(back)
    rest = await host.user.post(
        f"{host.files}/upload",
        params={**params, "offset": received},
        files={"data": data[received:]},
    )
    assert rest.json()["complete"] is True
    assert path.read_bytes() == data


def make(path: Path) -> str:
    """Write a file without repetitions; return its SHA-256."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(SIZE >> 20):
            block = secrets.token_bytes(1 << 20)
            digest.update(block)
            file.write(block)
    return digest.hexdigest()
