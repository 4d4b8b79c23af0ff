"""Files read and written in pieces."""

import asyncio
import hashlib
import os
import secrets
import threading
import time
from pathlib import Path

import pytest

from agent.execute.failure import CommandFailedError
from agent.execute.files import files as module
from tests.unit.agent.disk import small_disk
from tests.unit.agent.filebox import (
    CONFLICT,
    INVALID,
    NOT_FOUND,
    PIECE,
    TOO_LARGE,
    UNAVAILABLE,
    FileBox,
    filebox,
    tree,
)

DAY = 24 * 3600.0  # seconds


@pytest.fixture
def box(tmp_path: Path) -> FileBox:
    return filebox(tmp_path)


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


async def write(box: FileBox, path: Path, offset: int, data: bytes, name: str = "0" * 32) -> int:
    action = {"upload_id": name, "offset": offset, "data": data}
    return (await box.act("WRITE", path, **action)).received_bytes


async def test_a_file_is_read_in_pieces_of_one_version(box: FileBox) -> None:
    data = os.urandom(PIECE + 1000)
    path = box.root / "f"
    path.write_bytes(data)
    first, second = await box.chunk(path), await box.chunk(path, PIECE)
    assert first.data + second.data == data
    assert first.version == second.version == (await box.entry("STAT", path)).version
    assert len((await box.chunk(path, 0, 10 * PIECE)).data) == PIECE
    assert (await box.chunk(path, len(data))).data == b""
    assert (await box.chunk(path, (1 << 64) - 1)).data == b""
    measured = await box.chunk(path, 0, 0)
    assert (measured.data, measured.size_bytes) == (b"", len(data))

    checked = await box.entry("CHECKSUM", path)
    assert (checked.sha256, checked.version) == (sha256(data), first.version)


async def test_a_file_that_changes_has_another_version(box: FileBox) -> None:
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


async def test_a_file_that_is_written_to_all_the_time_is_never_read_mixed(box: FileBox) -> None:
    path = box.root / "f"
    path.write_bytes(b"0" * PIECE)
    end = time.monotonic() + 1.0

    def rewrite() -> None:
        while time.monotonic() < end:
            for digit in b"0123456789":
                path.write_bytes(bytes([digit]) * PIECE)
            time.sleep(0.03)

    writer = threading.Thread(target=rewrite)
    writer.start()
    seen, refusals = 0, set()
    while time.monotonic() < end:
        try:
            chunk = await box.chunk(path)
        except CommandFailedError as error:
            refusals.add(error.failure)
            continue
        assert len(set(chunk.data)) <= 1
        assert chunk.size_bytes == len(chunk.data)
        seen += 1
    writer.join()
    assert seen
    assert refusals <= {CONFLICT}


async def test_an_upload_is_there_whole_or_not_at_all(box: FileBox) -> None:
    data = os.urandom(2 * PIECE + 5)
    path = box.root / "f"
    for offset in range(0, len(data), PIECE):
        assert await write(box, path, offset, data[offset : offset + PIECE]) > offset
        assert not path.exists()
    draft = box.root / f".f.{'0' * 32}.part"
    assert draft.stat().st_mode & 0o777 == 0o600
    state = await box.act("UPLOAD_STATE", path, upload_id="0" * 32)
    assert state.received_bytes == len(data)

    entry = await box.entry("COMMIT", path, upload_id="0" * 32, size=len(data), sha256=sha256(data))
    assert path.read_bytes() == data
    assert (entry.name, entry.size_bytes, entry.mode) == ("f", len(data), 0o644)
    assert entry.sha256 == sha256(data)
    assert entry.version == (await box.entry("STAT", path)).version
    assert await box.names() == ["f"]


async def test_pieces_that_come_twice_or_out_of_order_make_one_file(box: FileBox) -> None:
    data = os.urandom(5 * PIECE)
    path = box.root / "f"
    offsets = [4, 1, 0, 3, 1, 2, 4, 0]
    received = await asyncio.gather(
        *(write(box, path, n * PIECE, data[n * PIECE : (n + 1) * PIECE]) for n in offsets)
    )
    assert max(received) == len(data)
    # As after a restart of the stream, with pieces cut anew.
    cut = 4 * PIECE + 7
    assert await write(box, path, cut, data[cut:] + b"more") == len(data) + 4
    data += b"more"
    await box.act("COMMIT", path, upload_id="0" * 32, size=len(data), sha256=sha256(data))
    assert path.read_bytes() == data


async def test_a_piece_whose_forerunners_never_come_is_not_taken(
    box: FileBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HOLE_PATIENCE", 0.1)
    path = box.root / "f"
    assert await write(box, path, 0, b"abc") == 3
    assert await write(box, path, 4, b"e") == 3
    assert await write(box, path, 3, b"d") == 4
    assert not box.files._drafts


async def test_other_bytes_than_before_are_refused(box: FileBox) -> None:
    path = box.root / "f"
    await write(box, path, 0, b"abcdef")
    failure, said = await box.refusal(
        "WRITE", path, upload_id="0" * 32, offset=3, data=b"dXf and more"
    )
    assert (failure, "other bytes" in said) == (CONFLICT, True)
    assert await write(box, path, 3, b"defg") == 7


async def test_a_commit_wants_the_size_and_the_sum_that_were_sent(box: FileBox) -> None:
    path = box.root / "f"
    path.write_bytes(b"old")
    commit = {"upload_id": "0" * 32, "overwrite": True}
    assert (await box.refusal("COMMIT", path, size=3, **commit))[0] == NOT_FOUND
    await write(box, path, 0, b"abc")
    for size in (2, 4, 0):
        failure, said = await box.refusal("COMMIT", path, size=size, **commit)
        assert (failure, "3 bytes" in said) == (CONFLICT, True)
    assert (await box.act("UPLOAD_STATE", path, upload_id="0" * 32)).received_bytes == 3
    failure, said = await box.refusal("COMMIT", path, size=3, sha256=sha256(b"xyz"), **commit)
    assert (failure, "SHA-256" in said) == (INVALID, True)
    assert tree(box.root) == {"f": "old"}


async def test_an_empty_file_can_be_uploaded(box: FileBox) -> None:
    entry = await box.upload(box.root / "f", b"")
    assert (entry.size_bytes, (box.root / "f").read_bytes()) == (0, b"")


async def test_an_aborted_upload_leaves_nothing(box: FileBox) -> None:
    path = box.root / "f"
    await write(box, path, 0, b"abc")
    for _ in range(2):
        await box.act("ABORT", path, upload_id="0" * 32)
    assert tree(box.root) == {}
    assert (await box.act("UPLOAD_STATE", path, upload_id="0" * 32)).received_bytes == 0


async def test_bad_names_of_uploads_and_too_large_pieces_are_refused(box: FileBox) -> None:
    path = box.root / "f"
    for name in ("", "0" * 31, "A" * 32, "../" * 10 + "xx", "0" * 33):
        failure, _ = await box.refusal("WRITE", path, upload_id=name, data=b"x")
        assert failure == INVALID
    large = await box.refusal("WRITE", path, upload_id="0" * 32, data=bytes(PIECE + 1))
    assert large[0] == TOO_LARGE
    (box.root / "folder").mkdir()
    for place in (box.root, box.root / "folder"):
        assert (await box.refusal("WRITE", place, upload_id="0" * 32))[0] == CONFLICT
    os.mkfifo(box.root / "pipe")
    assert (await box.refusal("WRITE", box.root / "pipe", upload_id="0" * 32))[0] == CONFLICT


async def test_a_draft_that_somebody_else_put_there_is_not_written_to(box: FileBox) -> None:
    draft = box.root / f".f.{'0' * 32}.part"
    victim = box.outside / "secret"
    action = {"upload_id": "0" * 32, "data": b"overwritten", "offset": 0}
    draft.symlink_to(victim)
    await box.refusal("WRITE", box.root / "f", **action)
    draft.unlink()
    os.link(victim, draft)
    assert (await box.refusal("WRITE", box.root / "f", **action))[0] == CONFLICT
    draft.unlink()
    draft.touch()
    os.chown(draft, 65534, 65534)
    assert (await box.refusal("WRITE", box.root / "f", **action))[0] == CONFLICT
    assert victim.read_text() == "outside"


async def test_names_as_long_as_the_disk_allows_can_be_uploaded(box: FileBox) -> None:
    for name in ("a" * 255, "ä" * 127, "漢" * 85):
        await box.upload(box.root / name, b"x")
    assert len(await box.names()) == 3


async def test_an_edit_is_refused_when_the_file_was_changed_meanwhile(box: FileBox) -> None:
    path = box.root / "f"
    path.write_bytes(b"one")
    version = (await box.chunk(path)).version
    edited = await box.upload(path, b"two", version=version)
    assert path.read_bytes() == b"two"

    path.write_bytes(b"three")
    with pytest.raises(CommandFailedError) as refused:
        await box.upload(path, b"four", version=edited.version, overwrite=True)
    assert (refused.value.failure, "changed meanwhile" in str(refused.value)) == (CONFLICT, True)
    path.unlink()
    with pytest.raises(CommandFailedError) as refused:
        await box.upload(path, b"four", version=edited.version)
    assert (refused.value.failure, "removed" in str(refused.value)) == (CONFLICT, True)
    assert not path.exists()


async def test_what_is_replaced_lends_its_mode_and_owner(box: FileBox) -> None:
    path = box.root / "f"
    path.write_bytes(b"old")
    os.chown(path, 65534, 1)
    path.chmod(0o4751)
    os.setxattr(path, "user.note", b"kept")
    entry = await box.upload(path, b"new", overwrite=True)
    assert (entry.mode, entry.user_id, entry.group_id) == (0o4751, 65534, 1)
    assert entry.owner == "nobody"
    assert os.getxattr(path, "user.note") == b"kept"


async def test_an_edit_through_a_link_changes_what_it_leads_to(box: FileBox) -> None:
    (box.root / "available").mkdir()
    (box.root / "available/f").write_bytes(b"old")
    (box.root / "enabled").symlink_to("available/f")
    await box.upload(box.root / "enabled", b"new", overwrite=True)
    assert tree(box.root) == {
        "available": "/",
        "available/f": "new",
        "enabled": "→ available/f",
    }


async def test_of_many_that_may_not_overwrite_one_wins(box: FileBox) -> None:
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


async def test_a_full_disk_says_so_and_keeps_what_has_arrived(tmp_path: Path) -> None:
    with small_disk(tmp_path, megabytes=1) as disk:
        box = filebox(disk)
        data = os.urandom(8 * PIECE)
        with pytest.raises(CommandFailedError) as full:
            await box.upload(box.root / "f", data, name="0" * 32)
        assert (full.value.failure, "disk is full" in str(full.value)) == (UNAVAILABLE, True)
        state = await box.act("UPLOAD_STATE", box.root / "f", upload_id="0" * 32)
        assert state.received_bytes >= PIECE
        kept = (box.root / f".f.{'0' * 32}.part").read_bytes()
        assert data.startswith(kept)
        box.files.close()


async def test_drafts_of_ours_that_were_given_up_are_removed_when_seen(box: FileBox) -> None:
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


async def test_a_reader_removes_nothing(tmp_path: Path) -> None:
    box = filebox(tmp_path, files=1)
    draft = box.root / f".f.{'0' * 32}.part"
    draft.write_bytes(b"x")
    os.utime(draft, (0, 0))
    assert await box.names() == [draft.name]


async def test_an_action_that_nobody_waits_for_stops(box: FileBox) -> None:
    with (box.root / "large").open("wb") as file:
        file.truncate(1 << 40)
    task = asyncio.create_task(box.act("CHECKSUM", box.root / "large"))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(asyncio.to_thread(box.files._threads.shutdown), 5)
