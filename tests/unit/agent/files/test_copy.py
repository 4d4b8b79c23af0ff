import os
from pathlib import Path

from tests.fixtures.agent.file_actions import (
    Sandbox,
    make_sandbox,
    names,
)
from tests.fixtures.agent.small_disk import small_disk


async def test_a_copy_is_complete_or_does_not_exist(tmp_path: Path) -> None:
    with small_disk(tmp_path, megabytes=1) as disk:
        box = make_sandbox(tmp_path, file_roots=(tmp_path / "root", disk))
        (box.root / "a").mkdir()
        (box.root / "a/small").write_bytes(b"x")
        (box.root / "a/large").write_bytes(os.urandom(2 << 20))
        refused = await box.refusal("COPY", box.root / "a", destination=disk / "a")
        assert "disk is full" in refused[1]
        assert names(disk) == []


async def test_a_copy_keeps_modes_links_and_holes(box: Sandbox) -> None:
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
