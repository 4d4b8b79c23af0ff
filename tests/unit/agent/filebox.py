"""File actions on a folder of the test's own."""

import contextlib
import dataclasses
import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from agent.execute.failure import CommandFailedError
from agent.execute.files import Files
from agent.execute.policy import Policy
from flotilla.v1.agent_pb2 import Powers
from flotilla.v1.command_pb2 import CommandResponse, FileAction, FileChunk, FileEntry

NOBODY = 65534
PIECE = 256 * 1024  # bytes

FORBIDDEN = CommandResponse.FAILURE_FORBIDDEN
NOT_FOUND = CommandResponse.FAILURE_NOT_FOUND
CONFLICT = CommandResponse.FAILURE_CONFLICT
INVALID = CommandResponse.FAILURE_INVALID
TOO_LARGE = CommandResponse.FAILURE_TOO_LARGE
UNAVAILABLE = CommandResponse.FAILURE_UNAVAILABLE

Failure: TypeAlias = CommandResponse.Failure.ValueType


@dataclasses.dataclass
class FileBox:
    root: Path
    """What the policy allows."""
    outside: Path
    own: Path
    """The agent's own folder, with a key in it."""
    files: Files

    async def act(self, operation: str, path: object = "", **fields: Any) -> CommandResponse:
        number = FileAction.Operation.Value(f"OPERATION_{operation}")
        fields = {name: _plain(value) for name, value in fields.items()}
        where = str(path or self.root)
        return await self.files.run(FileAction(operation=number, path=where, **fields))

    async def refusal(
        self, operation: str, path: object = "", **fields: Any
    ) -> tuple[Failure, str]:
        """Of what kind, and the reason without this test's folder."""
        try:
            response = await self.act(operation, path, **fields)
        except CommandFailedError as error:
            return error.failure, str(error).replace(str(self.root), "ROOT")
        raise AssertionError(f"it was done: {response}")

    async def entry(self, operation: str, path: object = "", **fields: Any) -> FileEntry:
        return (await self.act(operation, path, **fields)).file

    async def names(self, path: object = "") -> list[str]:
        return [entry.name for entry in (await self.act("LIST", path)).listing.entries]

    async def chunk(self, path: object, offset: int = 0, length: int = PIECE) -> FileChunk:
        return (await self.act("READ", path, offset=offset, length=length)).chunk

    async def upload(
        self, path: object, data: bytes, *, name: str = "", **commit: Any
    ) -> FileEntry:
        name = name or secrets.token_hex(16)
        for offset in range(0, max(len(data), 1), PIECE):
            piece = data[offset : offset + PIECE]
            await self.act("WRITE", path, upload_id=name, offset=offset, data=piece)
        return await self.entry("COMMIT", path, upload_id=name, size=len(data), **commit)


def filebox(parent: Path, **policy: Any) -> FileBox:
    root, outside, own = [parent / name for name in ("root", "outside", "own")]
    for folder in (root, outside, own):
        folder.mkdir(parents=True, exist_ok=True)
    (outside / "secret").write_text("outside")
    (own / "identity.json").write_text("the key")
    fields: dict[str, Any] = {"files": Powers.FILE_ACCESS_WRITE, "file_roots": (root,)}
    allowed = Policy(**fields | policy)
    return FileBox(root, outside, own, Files(allowed, [own]))


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's rights; for the whole process, so for a moment only."""
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@contextlib.contextmanager
def mounted(*words: str, at: Path) -> Iterator[None]:
    done = subprocess.run(["mount", *words, at], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", at], check=True)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_raw(folder: Path, name: bytes) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_text("x")


def tree(folder: Path) -> dict[str, str]:
    """Names below a folder, with what files say and links lead to."""
    return {str(path.relative_to(folder)): _said(path) for path in sorted(folder.rglob("*"))}


def _said(path: Path) -> str:
    if path.is_symlink():
        return f"→ {path.readlink()}"
    return "/" if path.is_dir() else path.read_text(errors="replace")


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value
