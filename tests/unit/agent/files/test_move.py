"""New folders and renames, also to another disk."""

import os
from pathlib import Path

import pytest

from agent.files import renameat2
from flotilla.v1.command_pb2 import FileEntry
from tests.fixtures.agent.file_actions import (
    CONFLICT,
    INVALID,
    NOT_FOUND,
    Sandbox,
    make_sandbox,
    names,
    tree,
)
from tests.fixtures.agent.small_disk import small_disk


async def test_a_folder_can_be_made_only_once(box: Sandbox) -> None:
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
async def test_files_are_replaced_only_on_request(box: Sandbox, operation: str) -> None:
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


async def test_a_rename_moves_a_link_and_not_its_target(box: Sandbox) -> None:
    (box.root / "f").write_text("f")
    (box.root / "link").symlink_to("f")
    await box.act("RENAME", box.root / "link", destination=box.root / "moved")
    await box.act("DELETE", box.root / "moved")
    assert tree(box.root) == {"f": "f"}


def unknown(*_: object) -> None:
    raise OSError(22, "unknown flag")


async def test_without_renameat2_nothing_is_replaced_either(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renameat2, "_rename_new", unknown)
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
async def test_a_folder_cannot_be_moved_into_itself(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch, *, known: bool
) -> None:
    if not known:
        monkeypatch.setattr(renameat2, "_rename_new", unknown)
    (box.root / "a/b").mkdir(parents=True)
    (box.root / "link").symlink_to("a/b")
    for place in ("a/c", "a/b/c", "link/c"):
        for overwrite in (False, True):
            refused = await box.refusal(
                "RENAME", box.root / "a", destination=box.root / place, overwrite=overwrite
            )
            assert refused == (INVALID, "A folder cannot be moved into itself.")
    assert tree(box.root) == {"a": "/", "a/b": "/", "link": "→ a/b"}
    await box.act("RENAME", box.root / "a/b", destination=box.root / "b")


def test_a_failed_rename_leaves_the_new_name_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renameat2, "_rename_new", unknown)
    (tmp_path / "a").mkdir()
    folder, inside = (os.open(path, os.O_PATH) for path in (tmp_path, tmp_path / "a"))

    with pytest.raises(OSError, match="Invalid argument"):
        renameat2.rename(folder, "a", inside, "b", replace=False)

    assert tree(tmp_path) == {"a": "/"}
    os.close(folder)
    os.close(inside)


async def test_a_rename_to_another_disk_moves_everything(tmp_path: Path) -> None:
    with small_disk(tmp_path, megabytes=16) as disk:
        box = make_sandbox(tmp_path, file_roots=(tmp_path / "root", disk))
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
