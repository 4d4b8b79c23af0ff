"""Uploads in chunks."""

import asyncio
import hashlib
import os
import secrets
import time
from pathlib import Path

import pytest

from agent.commands.errors import CommandFailedError
from agent.files import actions as module
from tests.fixtures.agent.file_actions import (
    CHUNK,
    CONFLICT,
    INVALID,
    NOT_FOUND,
    TOO_LARGE,
    UNAVAILABLE,
    Sandbox,
    make_sandbox,
    tree,
)
from tests.fixtures.agent.small_disk import small_disk

DAY = 24 * 3600.0  # seconds


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


async def write(box: Sandbox, path: Path, offset: int, data: bytes, name: str = "0" * 32) -> int:
    action = {"upload_id": name, "offset": offset, "data": data}
    return (await box.act("WRITE", path, **action)).received_bytes


async def test_an_upload_is_invisible_until_it_is_complete(box: Sandbox) -> None:
    data = os.urandom(2 * CHUNK + 5)
    path = box.root / "f"
    for offset in range(0, len(data), CHUNK):
        assert await write(box, path, offset, data[offset : offset + CHUNK]) > offset
        assert not path.exists()
    part = box.root / f".f.{'0' * 32}.part"
    assert part.stat().st_mode & 0o777 == 0o600
    state = await box.act("UPLOAD_STATE", path, upload_id="0" * 32)
    assert state.received_bytes == len(data)

    entry = await box.entry("COMMIT", path, upload_id="0" * 32, size=len(data), sha256=sha256(data))
    assert path.read_bytes() == data
    assert (entry.name, entry.size_bytes, entry.mode) == ("f", len(data), 0o644)
    assert entry.sha256 == sha256(data)
    assert entry.version == (await box.entry("STAT", path)).version
    assert await box.names() == ["f"]


async def test_repeated_and_unordered_chunks_make_one_file(box: Sandbox) -> None:
    data = os.urandom(5 * CHUNK)
    path = box.root / "f"
    offsets = [4, 1, 0, 3, 1, 2, 4, 0]
    received = await asyncio.gather(
        *(write(box, path, n * CHUNK, data[n * CHUNK : (n + 1) * CHUNK]) for n in offsets)
    )
    assert max(received) == len(data)
    # After a new stream the chunks may have other bounds.
    cut = 4 * CHUNK + 7
    assert await write(box, path, cut, data[cut:] + b"more") == len(data) + 4
    data += b"more"
    await box.act("COMMIT", path, upload_id="0" * 32, size=len(data), sha256=sha256(data))
    assert path.read_bytes() == data


async def test_a_chunk_after_a_gap_is_not_written(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GAP_TIMEOUT", 0.1)
    path = box.root / "f"
    assert await write(box, path, 0, b"abc") == 3
    assert await write(box, path, 4, b"e") == 3
    assert await write(box, path, 3, b"d") == 4
    assert not box.files._uploads


async def test_a_repeated_chunk_with_other_data_is_refused(box: Sandbox) -> None:
    path = box.root / "f"
    await write(box, path, 0, b"abcdef")
    failure, reason = await box.refusal(
        "WRITE", path, upload_id="0" * 32, offset=3, data=b"dXf and more"
    )
    assert (failure, "Other data" in reason) == (CONFLICT, True)
    assert await write(box, path, 3, b"defg") == 7


async def test_a_commit_checks_size_and_checksum(box: Sandbox) -> None:
    path = box.root / "f"
    path.write_bytes(b"old")
    commit = {"upload_id": "0" * 32, "overwrite": True}
    assert (await box.refusal("COMMIT", path, size=3, **commit))[0] == NOT_FOUND
    await write(box, path, 0, b"abc")
    for size in (2, 4, 0):
        failure, reason = await box.refusal("COMMIT", path, size=size, **commit)
        assert (failure, "3 bytes" in reason) == (CONFLICT, True)
    assert (await box.act("UPLOAD_STATE", path, upload_id="0" * 32)).received_bytes == 3
    failure, reason = await box.refusal("COMMIT", path, size=3, sha256=sha256(b"xyz"), **commit)
    assert (failure, "SHA-256" in reason) == (INVALID, True)
    assert tree(box.root) == {"f": "old"}


async def test_an_empty_file_can_be_uploaded(box: Sandbox) -> None:
    entry = await box.upload(box.root / "f", b"")
    assert (entry.size_bytes, (box.root / "f").read_bytes()) == (0, b"")


async def test_an_aborted_upload_leaves_nothing(box: Sandbox) -> None:
    path = box.root / "f"
    await write(box, path, 0, b"abc")
    for _ in range(2):
        await box.act("ABORT", path, upload_id="0" * 32)
    assert tree(box.root) == {}
    assert (await box.act("UPLOAD_STATE", path, upload_id="0" * 32)).received_bytes == 0


async def test_malformed_upload_ids_and_large_chunks_are_refused(box: Sandbox) -> None:
    path = box.root / "f"
    for name in ("", "0" * 31, "A" * 32, "../" * 10 + "xx", "0" * 33):
        failure, _ = await box.refusal("WRITE", path, upload_id=name, data=b"x")
        assert failure == INVALID
    large = await box.refusal("WRITE", path, upload_id="0" * 32, data=bytes(CHUNK + 1))
    assert large[0] == TOO_LARGE
    (box.root / "folder").mkdir()
    for place in (box.root, box.root / "folder"):
        assert (await box.refusal("WRITE", place, upload_id="0" * 32))[0] == CONFLICT
    os.mkfifo(box.root / "pipe")
    assert (await box.refusal("WRITE", box.root / "pipe", upload_id="0" * 32))[0] == CONFLICT


async def test_a_file_of_another_program_under_the_name_of_an_upload_is_not_written(
    box: Sandbox,
) -> None:
    part = box.root / f".f.{'0' * 32}.part"
    victim = box.outside / "secret"
    action = {"upload_id": "0" * 32, "data": b"overwritten", "offset": 0}
    part.symlink_to(victim)
    await box.refusal("WRITE", box.root / "f", **action)
    part.unlink()
    os.link(victim, part)
    assert (await box.refusal("WRITE", box.root / "f", **action))[0] == CONFLICT
    part.unlink()
    part.touch()
    os.chown(part, 65534, 65534)
    assert (await box.refusal("WRITE", box.root / "f", **action))[0] == CONFLICT
    assert victim.read_text() == "outside"


async def test_the_longest_names_can_be_uploaded(box: Sandbox) -> None:
    for name in ("a" * 255, "ä" * 127, "漢" * 85):
        await box.upload(box.root / name, b"x")
    assert len(await box.names()) == 3


async def test_an_edit_is_refused_if_the_file_has_changed(box: Sandbox) -> None:
    path = box.root / "f"
    path.write_bytes(b"one")
    version = (await box.chunk(path)).version
    edited = await box.upload(path, b"two", version=version)
    assert path.read_bytes() == b"two"

    path.write_bytes(b"three")
    with pytest.raises(CommandFailedError) as refused:
        await box.upload(path, b"four", version=edited.version, overwrite=True)
    assert (refused.value.failure, "changed in the meantime" in str(refused.value)) == (
        CONFLICT,
        True,
    )
    path.unlink()
    with pytest.raises(CommandFailedError) as refused:
        await box.upload(path, b"four", version=edited.version)
    assert (refused.value.failure, "removed" in str(refused.value)) == (CONFLICT, True)
    assert not path.exists()


async def test_an_upload_keeps_mode_and_owner_of_the_file_it_replaces(box: Sandbox) -> None:
    path = box.root / "f"
    path.write_bytes(b"old")
    os.chown(path, 65534, 1)
    path.chmod(0o4751)
    os.setxattr(path, "user.note", b"kept")
    entry = await box.upload(path, b"new", overwrite=True)
    assert (entry.mode, entry.user_id, entry.group_id) == (0o4751, 65534, 1)
    assert entry.owner == "nobody"
    assert os.getxattr(path, "user.note") == b"kept"


async def test_an_upload_through_a_link_replaces_its_target(box: Sandbox) -> None:
    (box.root / "available").mkdir()
    (box.root / "available/f").write_bytes(b"old")
    (box.root / "enabled").symlink_to("available/f")
    await box.upload(box.root / "enabled", b"new", overwrite=True)
    assert tree(box.root) == {
        "available": "/",
        "available/f": "new",
        "enabled": "→ available/f",
    }


async def test_one_of_several_commits_to_a_new_name_wins(box: Sandbox) -> None:
    for turn in range(20):
        path = box.root / f"f{turn}"
        uploads = [secrets.token_hex(16) for _ in range(4)]
        for name in uploads:
            await write(box, path, 0, name.encode(), name)
        outcomes = await asyncio.gather(
            *(box.act("COMMIT", path, upload_id=name, size=32) for name in uploads),
            return_exceptions=True,
        )
        won = [name for name, out in zip(uploads, outcomes, strict=True) if _done(out)]
        assert len(won) == 1
        assert path.read_bytes() == won[0].encode()
    assert sum(name.endswith(".part") for name in await box.names()) == 60


def _done(outcome: object) -> bool:
    if isinstance(outcome, CommandFailedError):
        assert outcome.failure == CONFLICT
        return False
    assert not isinstance(outcome, BaseException)
    return True


async def test_a_full_disk_keeps_the_data_that_has_arrived(tmp_path: Path) -> None:
    with small_disk(tmp_path, megabytes=1) as disk:
        box = make_sandbox(disk)
        data = os.urandom(8 * CHUNK)
        with pytest.raises(CommandFailedError) as full:
            await box.upload(box.root / "f", data, name="0" * 32)
        assert (full.value.failure, "disk is full" in str(full.value)) == (UNAVAILABLE, True)
        state = await box.act("UPLOAD_STATE", box.root / "f", upload_id="0" * 32)
        assert state.received_bytes >= CHUNK
        kept = (box.root / f".f.{'0' * 32}.part").read_bytes()
        assert data.startswith(kept)
        box.files.close()


async def test_abandoned_uploads_are_removed_by_a_listing(box: Sandbox) -> None:
    old, new, theirs, other = [box.root / f".f.{digit * 32}.part" for digit in ("0", "1", "2", "3")]
    for path in (old, new, theirs, other.with_suffix(".txt")):
        path.write_bytes(b"x")
        os.utime(path, (0, time.time() - DAY - 60))
    os.utime(new)
    os.chown(theirs, 65534, 65534)
    other.mkdir()
    (other / "half").write_bytes(b"x")
    os.utime(other, (0, time.time() - DAY - 60))
    names = [new.name, theirs.name, other.with_suffix(".txt").name]
    assert sorted(await box.names()) == sorted(names)

    os.utime(new, (0, time.time() - DAY - 60))
    await write(box, box.root / "g", 0, b"x", "4" * 32)
    assert not new.exists()


async def test_a_read_only_listing_removes_nothing(tmp_path: Path) -> None:
    box = make_sandbox(tmp_path, files=1)
    part = box.root / f".f.{'0' * 32}.part"
    part.write_bytes(b"x")
    os.utime(part, (0, 0))
    assert await box.names() == [part.name]


@pytest.mark.parametrize("operation", ["UPLOAD_STATE", "WRITE", "COMMIT"])
@pytest.mark.parametrize(
    ("path", "folder"), [("nope/x", "nope"), ("nope/deep/x", "nope/deep"), ("in/nope/x", "in/nope")]
)
async def test_a_missing_folder_is_named(
    box: Sandbox, operation: str, path: str, folder: str
) -> None:
    (box.root / "in").mkdir()

    failure, reason = await box.refusal(operation, box.root / path, upload_id="0" * 32)

    assert (failure, reason) == (NOT_FOUND, f"The folder ROOT/{folder} does not exist.")


async def test_a_link_to_a_missing_folder_does_not_reveal_its_target(box: Sandbox) -> None:
    (box.root / "link").symlink_to("nope/x")

    failure, reason = await box.refusal("UPLOAD_STATE", box.root / "link", upload_id="0" * 32)

    assert failure == NOT_FOUND
    assert reason == "There is no ROOT/link: a link in it leads to a folder that does not exist."


async def test_an_upload_to_a_folder_asks_for_the_path_of_the_file(box: Sandbox) -> None:
    (box.root / "up").mkdir()
    (box.root / "link").symlink_to("up")

    for name in ("up", "link"):
        failure, reason = await box.refusal("UPLOAD_STATE", box.root / name, upload_id="0" * 32)
        assert failure == CONFLICT
        assert reason == f"ROOT/{name} is a folder. Give the full path of the file."
