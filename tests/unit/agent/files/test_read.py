import asyncio
import hashlib
import itertools
import os

import pytest

from tests.fixtures.agent.file_actions import (
    CHUNK,
    CONFLICT,
    Sandbox,
)


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


async def test_a_file_is_read_in_chunks_of_one_version(box: Sandbox) -> None:
    data = os.urandom(CHUNK + 1000)
    path = box.root / "f"
    path.write_bytes(data)
    first, second = await box.chunk(path), await box.chunk(path, CHUNK)
    assert first.data + second.data == data
    assert first.version == second.version == (await box.entry("STAT", path)).version
    assert len((await box.chunk(path, 0, 10 * CHUNK)).data) == CHUNK
    assert (await box.chunk(path, len(data))).data == b""
    assert (await box.chunk(path, (1 << 64) - 1)).data == b""
    measured = await box.chunk(path, 0, 0)
    assert (measured.data, measured.size_bytes) == (b"", len(data))

    checked = await box.entry("CHECKSUM", path)
    assert (checked.sha256, checked.version) == (sha256(data), first.version)


async def test_a_changed_file_has_another_version(box: Sandbox) -> None:
    path = box.root / "f"
    path.write_bytes(b"one")
    versions = {(await box.chunk(path)).version}
    path.write_bytes(b"two")
    versions.add((await box.chunk(path)).version)
    os.utime(path, ns=(0, 0))
    versions.add((await box.chunk(path)).version)
    (box.root / "g").write_bytes(b"two")
    os.utime(box.root / "g", ns=(0, 0))
    (box.root / "g").rename(path)
    versions.add((await box.chunk(path)).version)
    assert len(versions) == 4


@pytest.mark.parametrize("rewrite_first", [False, True])
@pytest.mark.parametrize(("rewrites", "is_read"), [(0, True), (1, True), (100, False)])
async def test_a_chunk_never_mixes_two_versions_of_a_file(
    box: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    rewrites: int,
    *,
    is_read: bool,
    rewrite_first: bool,
) -> None:
    path = box.root / "f"
    path.write_bytes(b"0" * CHUNK)
    pread, letters = os.pread, itertools.islice(itertools.cycle("abc"), rewrites)

    def rewrite() -> None:
        if letter := next(letters, ""):
            path.write_bytes(letter.encode() * (CHUNK // 2))

    def read_while_it_is_written(descriptor: int, length: int, offset: int) -> bytes:
        if rewrite_first:
            rewrite()
        data = pread(descriptor, length, offset)
        rewrite()
        return data

    monkeypatch.setattr(os, "pread", read_while_it_is_written)

    if is_read:
        chunk = await box.chunk(path)
        assert chunk.data == path.read_bytes()
        assert chunk.size_bytes == len(chunk.data)
    else:
        assert (await box.refusal("READ", path, length=CHUNK))[0] == CONFLICT


async def test_a_file_that_only_grows_is_read_as_it_was_when_asked(box: Sandbox) -> None:
    path = box.root / "log"
    data = os.urandom(3 * CHUNK + 100)
    path.write_bytes(data)
    head = await box.chunk(path, 0, 0)
    parts = []
    for at in range(0, head.size_bytes, CHUNK):
        with path.open("ab") as log:
            log.write(b"a line\n" * 1_000)
        chunk = (await box.act("READ", path, offset=at, length=CHUNK, snapshot=head.snapshot)).chunk
        assert (chunk.version, chunk.size_bytes) == (head.version, head.size_bytes)
        parts.append(chunk.data)
    assert b"".join(parts) == data


@pytest.mark.parametrize("change", ["rewritten and longer", "shorter", "another file", "touched"])
async def test_a_file_that_changed_otherwise_is_another_version(box: Sandbox, change: str) -> None:
    path = box.root / "log"
    path.write_bytes(b"one line\n" * 100)
    head = await box.chunk(path, 0, 0)
    if change == "another file":
        (box.root / "new").write_bytes(path.read_bytes() + b"more\n")
        (box.root / "new").rename(path)
    elif change == "touched":
        os.utime(path, ns=(0, 0))
    else:
        path.write_bytes(b"another\n" * (200 if "longer" in change else 10))
    chunk = (await box.act("READ", path, length=CHUNK, snapshot=head.snapshot)).chunk
    assert chunk.version != head.version
    assert chunk.data == path.read_bytes()


@pytest.mark.parametrize("snapshot", [b"x", b"\xff", b"a b c d e", b"a 1 2 3 zz", b" " * 100])
async def test_a_snapshot_that_is_none_is_ignored(box: Sandbox, snapshot: bytes) -> None:
    (box.root / "f").write_bytes(b"data")
    chunk = (await box.act("READ", box.root / "f", length=9, snapshot=snapshot)).chunk
    assert chunk.data == b"data"


async def test_a_log_that_is_written_all_the_time_is_read_and_summed(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = box.root / "log"
    path.write_bytes(b"line\n" * 1_000)
    fstat = os.fstat

    def fstat_of_a_busy_log(descriptor: int) -> os.stat_result:
        with path.open("ab") as log:
            log.write(b"line\n")
        return fstat(descriptor)

    monkeypatch.setattr(os, "fstat", fstat_of_a_busy_log)
    monkeypatch.setattr("time.sleep", lambda _: None)
    chunk = await box.chunk(path)
    checked = await box.entry("CHECKSUM", path)

    assert chunk.data == b"line\n" * (chunk.size_bytes // 5)
    assert checked.size_bytes > chunk.size_bytes
    assert checked.sha256 == sha256(b"line\n" * (checked.size_bytes // 5))


async def test_checksums_of_huge_files_leave_the_other_actions_their_threads(box: Sandbox) -> None:
    path = box.root / "sparse"
    path.touch()
    os.truncate(path, 1 << 40)
    sums = [asyncio.create_task(box.act("CHECKSUM", path)) for _ in range(8)]
    try:
        async with asyncio.timeout(10):
            assert (await box.entry("STAT", path)).size_bytes == 1 << 40
            assert (await box.chunk(path, 0, 10)).data == bytes(10)
        assert not any(task.done() for task in sums)
    finally:
        for task in sums:
            task.cancel()
        await asyncio.gather(*sums, return_exceptions=True)
    # The cancelled actions have released their threads.
    (box.root / "small").write_bytes(b"x")
    async with asyncio.timeout(10):
        assert (await box.entry("CHECKSUM", box.root / "small")).sha256 == sha256(b"x")
