"""Folders listed and changed, things moved, copied and deleted."""

import os
from pathlib import Path

import pytest

from agent.execute.files import renaming
from flotilla.v1.command_pb2 import FileEntry
from tests.unit.agent.disk import small_disk
from tests.unit.agent.filebox import (
    CONFLICT,
    INVALID,
    NOT_FOUND,
    FileBox,
    filebox,
    mounted,
    names,
    tree,
    write_raw,
)


@pytest.fixture
def box(tmp_path: Path) -> FileBox:
    return filebox(tmp_path)


async def test_a_listing_shows_everything_folders_first(box: FileBox) -> None:
    (box.root / "b").mkdir()
    (box.root / "Z").mkdir(mode=0o700)
    (box.root / "a").write_text("12345")
    (box.root / "link").symlink_to("../outside")
    (box.root / "name\nwith\x1b[31m").touch()
    os.utime(box.root / "a", ns=(0, 1_700_000_000_123_000_000))
    os.chown(box.root / "a", 65534, 54321)
    (box.root / "a").chmod(0o4711)

    listed = (await box.act("LIST")).listing
    assert (listed.path, listed.truncated) == (str(box.root), False)
    entries = {entry.name: entry for entry in listed.entries}
    assert list(entries) == ["Z", "b", "a", "link", "name\nwith\x1b[31m"]
    a = entries["a"]
    assert (a.kind, a.size_bytes, a.mode) == (FileEntry.KIND_FILE, 5, 0o4711)
    assert (a.user_id, a.owner, a.group_id, a.group) == (65534, "nobody", 54321, "")
    assert a.modified_at_unix_ms == 1_700_000_000_123
    assert (entries["Z"].kind, entries["Z"].mode) == (FileEntry.KIND_DIRECTORY, 0o700)
    assert entries["link"].kind == FileEntry.KIND_LINK
    assert entries["link"].link_target == "../outside"
    assert (await box.entry("STAT", box.root / "link")).link_target == "../outside"
    assert await box.entry("STAT", box.root / "a") == a


async def test_a_long_listing_ends_and_says_so(box: FileBox) -> None:
    for number in range(5_000):
        (box.root / f"f{number:04}").touch()
    listed = (await box.act("LIST")).listing
    assert (len(listed.entries), listed.truncated) == (5_000, False)

    (box.root / "zzz").mkdir()
    (box.root / "f-the-first").touch()
    listed = (await box.act("LIST")).listing
    assert (len(listed.entries), listed.truncated) == (5_000, True)
    assert [entry.name for entry in listed.entries[:3]] == ["zzz", "f-the-first", "f0000"]


async def test_a_listing_of_long_names_fits_into_a_message(box: FileBox) -> None:
    for number in range(3_000):
        (box.root / f"{number:04}{'漢' * 80}").touch()
    listing = (await box.act("LIST")).listing
    assert listing.truncated
    assert 700_000 < listing.ByteSize() < 800_000


async def test_a_name_that_is_not_text_is_listed_all_the_same(box: FileBox) -> None:
    write_raw(box.root, b"t\xe9")
    assert await box.names() == ["t\N{REPLACEMENT CHARACTER}"]
    (box.root / "folder").mkdir()
    write_raw(box.root / "folder", b"t\xe9")
    await box.act("DELETE", box.root / "folder", recursive=True)
    assert not (box.root / "folder").exists()


async def test_what_is_no_folder_is_not_listed(box: FileBox) -> None:
    (box.root / "f").touch()
    assert (await box.refusal("LIST", box.root / "f"))[0] == INVALID
    assert (await box.refusal("LIST", box.root / "none"))[0] == NOT_FOUND
    assert (await box.refusal("LIST", box.root / "f/g"))[0] == NOT_FOUND
    assert (await box.refusal("READ", box.root, length=1))[0] == INVALID


async def test_a_folder_is_made_once(box: FileBox) -> None:
    old = os.umask(0o077)
    try:
        made = await box.entry("MAKE_DIRECTORY", box.root / "a")
    finally:
        os.umask(old)
    assert (made.name, made.kind, made.mode) == ("a", FileEntry.KIND_DIRECTORY, 0o755)
    assert (await box.refusal("MAKE_DIRECTORY", box.root / "a"))[0] == CONFLICT
    assert (await box.refusal("MAKE_DIRECTORY", box.root / "b/c"))[0] == NOT_FOUND
    assert (await box.refusal("MAKE_DIRECTORY", box.root))[0] == CONFLICT


@pytest.mark.parametrize("operation", ["RENAME", "COPY"])
async def test_nothing_is_overwritten_unasked(box: FileBox, operation: str) -> None:
    (box.root / "a").write_text("a")
    (box.root / "b").write_text("b")
    (box.root / "folder").mkdir()
    (box.root / "folder/x").touch()
    for name in ("b", "folder"):
        refused = await box.refusal(operation, box.root / "a", destination=box.root / name)
        assert refused[0] == CONFLICT
    for source, target in (("a", "folder"), ("folder", "a")):
        refused = await box.refusal(
            operation, box.root / source, destination=box.root / target, overwrite=True
        )
        assert refused[0] == CONFLICT
    assert tree(box.root) == {"a": "a", "b": "b", "folder": "/", "folder/x": ""}

    moved = await box.entry(operation, box.root / "a", destination=box.root / "b", overwrite=True)
    assert (moved.name, (box.root / "b").read_text()) == ("b", "a")
    assert (box.root / "a").exists() == (operation == "COPY")


async def test_a_rename_takes_the_link_and_not_what_it_leads_to(box: FileBox) -> None:
    (box.root / "f").write_text("f")
    (box.root / "link").symlink_to("f")
    await box.act("RENAME", box.root / "link", destination=box.root / "moved")
    await box.act("DELETE", box.root / "moved")
    assert tree(box.root) == {"f": "f"}


def unknown(*_: object) -> None:
    raise OSError(22, "unknown flag")


async def test_without_renameat2_nothing_is_overwritten_either(
    box: FileBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renaming, "_rename_new", unknown)
    (box.root / "a").write_text("a")
    (box.root / "b").write_text("b")
    (box.root / "folder").mkdir()
    (box.root / "folder/x").touch()
    for source in ("a", "folder"):
        refused = await box.refusal("RENAME", box.root / source, destination=box.root / "b")
        assert refused[0] == CONFLICT
        await box.act("RENAME", box.root / source, destination=box.root / f"{source}2")
    assert tree(box.root) == {"a2": "a", "b": "b", "folder2": "/", "folder2/x": ""}


@pytest.mark.parametrize("known", [True, False], ids=["renameat2", "without it"])
async def test_a_folder_does_not_go_into_itself(
    box: FileBox, monkeypatch: pytest.MonkeyPatch, *, known: bool
) -> None:
    if not known:
        monkeypatch.setattr(renaming, "_rename_new", unknown)
    (box.root / "a/b").mkdir(parents=True)
    (box.root / "link").symlink_to("a/b")
    for place in ("a/c", "a/b/c", "link/c"):
        for overwrite in (False, True):
            refused = await box.refusal(
                "RENAME", box.root / "a", destination=box.root / place, overwrite=overwrite
            )
            assert refused == (INVALID, "a folder cannot be moved into itself")
    assert tree(box.root) == {"a": "/", "a/b": "/", "link": "→ a/b"}
    await box.act("RENAME", box.root / "a/b", destination=box.root / "b")


def test_a_rename_that_fails_leaves_nothing_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renaming, "_rename_new", unknown)
    (tmp_path / "a").mkdir()
    folder, inside = (os.open(path, os.O_PATH) for path in (tmp_path, tmp_path / "a"))

    with pytest.raises(OSError, match="Invalid argument"):
        renaming.rename(folder, "a", inside, "b", replace=False)

    assert tree(tmp_path) == {"a": "/"}
    os.close(folder)
    os.close(inside)


async def test_a_rename_to_another_disk_carries_everything_over(tmp_path: Path) -> None:
    with small_disk(tmp_path, megabytes=16) as disk:
        box = filebox(tmp_path, file_roots=(tmp_path / "root", disk))
        source = box.root / "a"
        (source / "deep").mkdir(parents=True)
        (source / "deep/f").write_text("f")
        (source / "deep/f").chmod(0o640)
        os.chown(source / "deep/f", 65534, 1)
        os.utime(source / "deep/f", ns=(0, 1_000_000_000))
        (source / "link").symlink_to("deep/f")
        before = tree(source)
        (disk / "there").write_text("x")

        refused = await box.refusal("RENAME", source, destination=disk / "there")
        assert (refused[0], tree(source)) == (CONFLICT, before)
        await box.act("RENAME", source, destination=disk / "a")
        assert (tree(disk / "a"), source.exists()) == (before, False)
        status = (disk / "a/deep/f").stat()
        assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o640, 65534, 1)
        assert status.st_mtime_ns == 1_000_000_000
        assert names(disk) == ["a", "there"]

        os.mkfifo(box.root / "pipe")
        refused = await box.refusal("RENAME", box.root / "pipe", destination=disk / "pipe")
        assert (refused[0], (box.root / "pipe").exists()) == (INVALID, True)


async def test_a_copy_is_whole_or_not_there(tmp_path: Path) -> None:
    with small_disk(tmp_path, megabytes=1) as disk:
        box = filebox(tmp_path, file_roots=(tmp_path / "root", disk))
        (box.root / "a").mkdir()
        (box.root / "a/small").write_bytes(b"x")
        (box.root / "a/large").write_bytes(os.urandom(2 << 20))
        refused = await box.refusal("COPY", box.root / "a", destination=disk / "a")
        assert "disk is full" in refused[1]
        assert names(disk) == []


async def test_a_copy_keeps_modes_links_and_holes(box: FileBox) -> None:
    source = box.root / "a"
    (source / "sub").mkdir(parents=True)
    (source / "sub").chmod(0o2750)
    (source / "sub/f").write_text("f")
    (source / "sub/f").chmod(0o600)
    (source / "link").symlink_to("/nowhere")
    with (source / "sparse").open("wb") as file:
        file.seek(64 << 20)
        file.write(b"end")
        file.truncate(128 << 20)
    await box.act("COPY", source, destination=box.root / "b")
    copy = box.root / "b"
    assert (copy / "link").readlink() == Path("/nowhere")
    assert (copy / "sub").stat().st_mode & 0o7777 == 0o2750
    assert (copy / "sub/f").stat().st_mode & 0o7777 == 0o600
    status = (copy / "sparse").stat()
    assert (status.st_size, status.st_blocks * 512 < 1 << 20) == (128 << 20, True)
    with (copy / "sparse").open("rb") as file:
        file.seek((64 << 20) - 2)
        assert file.read(6) == b"\0\0end\0"

    refused = await box.refusal("COPY", source, destination=source / "sub/into")
    assert "into itself" in refused[1]
    assert names(source / "sub") == ["f"]


async def test_a_folder_with_things_in_it_is_deleted_only_when_asked(box: FileBox) -> None:
    (box.root / "a/b").mkdir(parents=True)
    (box.root / "a/b/f").touch()
    (box.root / "a/way").symlink_to(box.outside)
    assert (await box.refusal("DELETE", box.root / "a"))[0] == CONFLICT
    await box.act("DELETE", box.root / "a", recursive=True)
    assert tree(box.root) == {}
    assert tree(box.outside) == {"secret": "outside"}
    (box.root / "empty").mkdir()
    await box.act("DELETE", box.root / "empty")
    assert (await box.refusal("DELETE", box.root / "empty"))[0] == NOT_FOUND


async def test_nothing_is_deleted_that_changed_since_it_was_seen(box: FileBox) -> None:
    path = box.root / "f"
    path.write_text("one")
    seen = (await box.entry("STAT", path)).version
    path.write_text("two!")
    assert (await box.refusal("DELETE", path, version=seen))[0] == CONFLICT
    await box.act("DELETE", path, version=(await box.entry("STAT", path)).version)
    assert not path.exists()


@pytest.mark.parametrize("bind", [False, True])
async def test_a_delete_never_crosses_into_what_is_mounted(box: FileBox, *, bind: bool) -> None:
    (box.root / "a/mounted").mkdir(parents=True)
    (box.root / "a/f").touch()
    what = ["--bind", str(box.outside)] if bind else ["-t", "tmpfs", "none"]
    with mounted(*what, at=box.root / "a/mounted"):
        (box.root / "a/mounted/precious").touch()
        for path in (box.root / "a", box.root / "a/mounted"):
            refused = await box.refusal("DELETE", path, recursive=True)
            assert refused[0] == CONFLICT
            assert "mounted there" in refused[1]
        assert (box.root / "a/mounted/precious").exists()
        assert (box.root / "a/f").exists()


async def test_a_tree_that_is_too_deep_is_left_alone(box: FileBox) -> None:
    (box.root / Path(*["d"] * 80)).mkdir(parents=True)
    for operation in ("DELETE", "COPY", "CHANGE_MODE"):
        fields = {"COPY": {"destination": box.root / "copy"}}.get(operation, {"recursive": True})
        assert (await box.refusal(operation, box.root / "d", **fields))[0] == INVALID
    assert names(box.root) == ["d"]


async def test_modes_and_owners_are_set_on_one_or_on_all(box: FileBox) -> None:
    (box.root / "a").mkdir()
    (box.root / "a/f").write_text("f")
    (box.root / "a/way").symlink_to(box.outside / "secret")
    entry = await box.entry("CHANGE_MODE", box.root / "a/f", mode=0o4755)
    assert entry.mode == 0o4755 == (box.root / "a/f").stat().st_mode & 0o7777
    assert (await box.refusal("CHANGE_MODE", box.root / "a/f", mode=0o10000))[0] == INVALID

    outside = (box.outside / "secret").stat()
    await box.act("CHANGE_MODE", box.root / "a", mode=0o700, recursive=True)
    entry = await box.entry(
        "CHANGE_OWNER", box.root / "a", owner="nobody", group="54321", recursive=True
    )
    assert (entry.user_id, entry.group_id) == (65534, 54321)
    for path in (box.root / "a", box.root / "a/f"):
        status = path.stat()
        assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o700, 65534, 54321)
    await box.act("CHANGE_OWNER", box.root / "a", owner="0")
    assert (box.root / "a").stat().st_gid == 54321
    assert (box.outside / "secret").stat() == outside
    for owner in ("no-such-user", "4294967295", "-1", "²"):
        refused = await box.refusal("CHANGE_OWNER", box.root / "a", owner=owner)
        assert refused[0] == INVALID
    assert (await box.refusal("CHANGE_OWNER", box.root / "a"))[0] == INVALID
