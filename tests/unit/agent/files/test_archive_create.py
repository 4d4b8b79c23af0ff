import os
import stat
import tarfile

from tests.fixtures.agent.file_actions import (
    CONFLICT,
    INVALID,
    NOBODY,
    Sandbox,
    tree,
)


async def test_extracted_files_equal_the_packed_ones(box: Sandbox) -> None:
    (box.root / "site/deep").mkdir(parents=True)
    (box.root / "site/deep").chmod(0o750)
    (box.root / "site/deep/data").write_bytes(b"x" * 700_000)
    (box.root / "site/run").write_text("#!/bin/sh")
    (box.root / "site/run").chmod(0o4755)
    (box.root / "site/current").symlink_to("deep/data")
    (box.root / "site" / ("ä" * 120)).write_text("long")
    os.mkfifo(box.root / "site/pipe")
    (box.root / "other").write_text("other")
    (box.root / "left").write_text("left")

    entry = await box.entry(
        "ARCHIVE", names=["site", "other", "site"], destination=box.root / "site/packed.tar.gz"
    )
    assert (entry.name, entry.mode) == ("packed.tar.gz", 0o644)
    with tarfile.open(box.root / "site/packed.tar.gz") as archive:
        packed = archive.getnames()
    assert "site/packed.tar.gz" not in packed
    assert packed.count("site/run") == 1
    assert not any(name.endswith(".part") for name in packed)

    out = box.root / "out"
    await box.act("EXTRACT", box.root / "site/packed.tar.gz", destination=out)
    (box.root / "site/packed.tar.gz").unlink()
    (box.root / "site/pipe").unlink()
    assert tree(out / "site") == tree(box.root / "site")
    assert (out / "other").read_text() == "other"
    assert not (out / "left").exists()
    assert (out / "site/deep").stat().st_mode & 0o7777 == 0o750
    # An archive cannot set the setuid bit.
    assert (out / "site/run").stat().st_mode & 0o7777 == 0o755


async def test_an_archive_that_replaces_a_link_gets_the_mode_of_a_file(box: Sandbox) -> None:
    (box.root / "f").write_text("f")
    target = box.outside / "secret"
    for name in ("link", "old"):
        (box.root / name).symlink_to(target)
    os.chown(box.root / "link", NOBODY, NOBODY, follow_symlinks=False)
    (box.root / "old").unlink()
    (box.root / "old").write_text("old")
    (box.root / "old").chmod(0o600)
    for name, mode in (("link", 0o644), ("old", 0o600)):
        made = box.root / name
        await box.act("ARCHIVE", box.root, names=["f"], destination=made, overwrite=True)
        status = made.lstat()
        assert (oct(status.st_mode), status.st_uid) == (oct(stat.S_IFREG | mode), os.geteuid())
    assert target.read_text() == "outside"


async def test_an_archive_needs_names_without_paths(box: Sandbox) -> None:
    (box.root / "a").mkdir()
    (box.root / "f").write_text("f")
    for chosen in ([], [""], ["."], [".."], ["../outside"], ["a/b"], ["/etc"]):
        refused = await box.refusal("ARCHIVE", names=chosen, destination=box.root / "x.tar.gz")
        assert refused[0] == INVALID
    for target in ("a", "f"):
        refused = await box.refusal("ARCHIVE", names=["f"], destination=box.root / target)
        assert refused[0] == CONFLICT
    assert tree(box.root) == {"a": "/", "f": "f"}
