"""Archives packed and unpacked; the bad ones are made by hand."""

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.execute.files import members, unpacking
from tests.unit.agent.disk import small_disk
from tests.unit.agent.filebox import (
    CONFLICT,
    INVALID,
    NOBODY,
    TOO_LARGE,
    UNAVAILABLE,
    FileBox,
    filebox,
    names,
    tree,
)

ESCAPED = Path("/tmp/escaped")

Make = Callable[[], bytes]


@pytest.fixture
def box(tmp_path: Path) -> FileBox:
    return filebox(tmp_path)


def tar(*members: tuple[str, bytes] | tarfile.TarInfo) -> bytes:
    """Of files with their content, and of what else is given as a header."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return packed.getvalue()


def other(kind: bytes, name: str, target: str = "", **fields: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def link(name: str, target: str) -> tarfile.TarInfo:
    return other(tarfile.SYMTYPE, name, target)


def zipped(*members: tuple[str, bytes], mode: int = 0) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return packed.getvalue()


async def extracted(box: FileBox, archive: bytes, **fields: object) -> dict[str, str]:
    (box.root / "archive").write_bytes(archive)
    await box.act("EXTRACT", box.root / "archive", destination=box.root / "out", **fields)
    return tree(box.root / "out")


async def test_what_is_packed_comes_out_the_same(box: FileBox) -> None:
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
    # Whoever may write may set these bits; an archive may not.
    assert (out / "site/run").stat().st_mode & 0o7777 == 0o755


async def test_an_archive_in_place_of_a_link_has_a_files_mode(box: FileBox) -> None:
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


async def test_an_archive_of_nothing_or_of_paths_is_refused(box: FileBox) -> None:
    (box.root / "a").mkdir()
    (box.root / "f").write_text("f")
    for chosen in ([], [""], ["."], [".."], ["../outside"], ["a/b"], ["/etc"]):
        refused = await box.refusal("ARCHIVE", names=chosen, destination=box.root / "x.tar.gz")
        assert refused[0] == INVALID
    for target in ("a", "f"):
        refused = await box.refusal("ARCHIVE", names=["f"], destination=box.root / target)
        assert refused[0] == CONFLICT
    assert tree(box.root) == {"a": "/", "f": "f"}


@pytest.mark.parametrize(
    "make",
    [
        lambda data: data,
        gzip.compress,
        bz2.compress,
        lzma.compress,
        lambda data: gzip.compress(data[:700]) + gzip.compress(data[700:]) + bytes(512),
        lambda data: bz2.compress(data[:700]) + bz2.compress(data[700:]),
        lambda data: data[:-1024],
    ],
    ids=["tar", "gz", "bz2", "xz", "gz-twice-padded", "bz2-twice", "no-end"],
)
async def test_each_kind_of_archive_is_extracted(
    box: FileBox, make: Callable[[bytes], bytes]
) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in (("a/f", b"f" * 3000), ("b/" + "long/" * 30 + "f", b"deep")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        archive.addfile(other(tarfile.LNKTYPE, "hard", "a/f"))
    data = packed.getvalue().rstrip(b"\0")
    data += bytes(-len(data) % 512 + 1024)
    out = await extracted(box, make(data))
    assert out["a/f"] == out["hard"] == "f" * 3000
    assert out["b/" + "long/" * 30 + "f"] == "deep"
    assert (box.root / "out/hard").stat().st_nlink == 2


async def test_a_zip_is_extracted_with_its_modes(box: FileBox) -> None:
    data = zipped(("d/", b""), ("d/f", b"f" * 300_000), mode=0o100640)
    assert await extracted(box, data) == {"d": "/", "d/f": "f" * 300_000}
    assert (box.root / "out/d/f").stat().st_mode & 0o7777 == 0o640
    link_only = zipped(("link", b"d/f"), mode=stat.S_IFLNK | 0o777)
    assert (await extracted(box, link_only))["link"] == "→ d/f"


ESCAPES: dict[str, Make] = {
    "absolute": lambda: tar(("/tmp/escaped", b"x")),
    "up": lambda: tar(("../escaped", b"x")),
    "up-later": lambda: tar(("a/b/../../../escaped", b"x")),
    "just-up": lambda: tar(("..", b"x")),
    "itself": lambda: tar((".", b"x")),
    "link-absolute": lambda: tar(link("a", "/etc")),
    "link-up": lambda: tar(link("a", "../outside")),
    "link-up-deep": lambda: tar(link("a/b/c", "../../../outside")),
    "link-through-link": lambda: tar(
        other(tarfile.DIRTYPE, "a/b/c"), link("a/b/c/top", "../../.."), link("x", "a/b/c/top/..")
    ),
    "through-link-inside": lambda: tar(link("a", "b"), other(tarfile.DIRTYPE, "b"), ("a/f", b"x")),
    "through-link-out": lambda: tar(link("a", "/tmp"), ("a/escaped", b"x")),
    "through-file": lambda: tar(("a", b"x"), ("a/f", b"x")),
    "file-over-folder": lambda: tar(("a/f", b"x"), ("a", b"x")),
    "hard-link-out": lambda: tar(other(tarfile.LNKTYPE, "a", "../outside/secret")),
    "hard-link-absolute": lambda: tar(other(tarfile.LNKTYPE, "a", "/etc/passwd")),
    "hard-link-to-link": lambda: tar(link("l", "x"), other(tarfile.LNKTYPE, "a", "l")),
    "device": lambda: tar(other(tarfile.CHRTYPE, "a", devmajor=1, devminor=3)),
    "block-device": lambda: tar(other(tarfile.BLKTYPE, "a", devmajor=8)),
    "pipe": lambda: tar(other(tarfile.FIFOTYPE, "a")),
    "long-name": lambda: tar(("a" * 300, b"x")),
    "deep": lambda: tar(("a/" * 100 + "f", b"x")),
    "zip-up": lambda: zipped(("../escaped", b"x")),
    "zip-absolute": lambda: zipped(("/tmp/escaped", b"x")),
    "zip-link-out": lambda: zipped(("a", b"/etc"), mode=stat.S_IFLNK | 0o777),
    "zip-device": lambda: zipped(("a", b""), mode=stat.S_IFCHR | 0o777),
    "zip-long-link": lambda: zipped(("a", b"x" * 5000), mode=stat.S_IFLNK | 0o777),
}


@pytest.mark.parametrize("name", ESCAPES)
async def test_an_archive_that_would_escape_is_refused_whole(box: FileBox, name: str) -> None:
    (box.root / "archive").write_bytes(ESCAPES[name]())
    failure, said = await box.refusal("EXTRACT", box.root / "archive", destination=box.root / "out")
    assert failure == INVALID, said
    assert names(box.root) == ["archive"]
    assert tree(box.outside) == {"secret": "outside"}
    assert ESCAPED.name not in names(ESCAPED.parent)


async def test_links_that_stay_inside_are_kept(box: FileBox) -> None:
    data = tar(("a/f", b"x"), link("a/b/up", "../../a/f"), link("top", "."), link("gone", "none"))
    out = await extracted(box, data)
    assert {name: said for name, said in out.items() if said.startswith("→")} == {
        "a/b/up": "→ ../../a/f",
        "gone": "→ none",
        "top": "→ .",
    }


DAMAGE: dict[str, Make] = {
    "nothing": lambda: b"",
    "text": lambda: b"hello" * 1000,
    "cut-short": lambda: tar(("a", b"x" * 5000))[:3000],
    "cut-gz": lambda: gzip.compress(tar(("a", os.urandom(50_000))))[:20_000],
    "cut-xz": lambda: lzma.compress(tar(("a", os.urandom(50_000))))[:20_000],
    "flipped-gz": lambda: _flipped(gzip.compress(tar(("a", b"x" * 50_000)))),
    "flipped-bz2": lambda: _flipped(bz2.compress(tar(("a", b"x" * 50_000)))),
    "second-header": lambda: _flipped(tar(("a", b""), ("b", b"")), at=512 + 100),
    "flipped-zip": lambda: _flipped(zipped(("a", os.urandom(50_000))), at=2000),
    "zip-tail": lambda: zipped(("a", b"x" * 50_000))[:-10],
}


def _flipped(data: bytes, at: int = 40) -> bytes:
    return data[:at] + bytes(byte ^ 0xFF for byte in data[at : at + 8]) + data[at + 8 :]


@pytest.mark.parametrize("name", DAMAGE)
async def test_a_damaged_archive_leaves_nothing(box: FileBox, name: str) -> None:
    (box.root / "archive").write_bytes(DAMAGE[name]())
    refused = await box.refusal("EXTRACT", box.root / "archive", destination=box.root / "out")
    assert refused[0] == INVALID
    assert names(box.root) == ["archive"]


BOMBS: dict[str, Make] = {
    "gz": lambda: gzip.compress(tar(("a", bytes(3 << 20)))),
    "bz2": lambda: bz2.compress(tar(("a", bytes(3 << 20)))),
    "xz": lambda: lzma.compress(tar(("a", bytes(3 << 20)))),
    "zip": lambda: zipped(("a", bytes(3 << 20))),
    "zip-many": lambda: zipped(*((f"{n}", bytes(1 << 19)) for n in range(6))),
    "tar-entries": lambda: tar(*((f"f{n}", b"") for n in range(21))),
    "zip-entries": lambda: zipped(*((f"f{n}", b"") for n in range(21))),
    "pax-header": lambda: _with_pax(1 << 20),
}


def _with_pax(size: int) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("a")
        info.pax_headers = {"comment": "x" * size}
        archive.addfile(info)
    return packed.getvalue()


@pytest.mark.parametrize("name", BOMBS)
async def test_a_bomb_is_stopped_and_leaves_nothing(
    box: FileBox, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(unpacking, "RATIO_FREE", 2 << 20)
    monkeypatch.setattr(members, "ENTRY_LIMIT", 20)
    (box.root / "archive").write_bytes(BOMBS[name]())
    refused = await box.refusal("EXTRACT", box.root / "archive", destination=box.root / "out")
    assert refused[0] == TOO_LARGE
    assert names(box.root) == ["archive"]


@pytest.mark.parametrize("said", [21, 1, 0xFFFF], ids=["honest", "a lie", "said elsewhere"])
async def test_a_zip_with_too_many_entries_is_refused_before_they_are_listed(
    box: FileBox, monkeypatch: pytest.MonkeyPatch, said: int
) -> None:
    data = bytearray(zipped(*((f"f{n}", b"") for n in range(21))))
    data[-14:-10] = said.to_bytes(2, "little") * 2
    (box.root / "archive").write_bytes(data)

    def entry(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(members, "ENTRY_LIMIT", 20)
    monkeypatch.setattr(zipfile, "ZipInfo", entry)

    refused = await box.refusal("EXTRACT", box.root / "archive", destination=box.root / "out")

    assert refused == (TOO_LARGE, "this archive has more than 20 entries")
    assert names(box.root) == ["archive"]


async def test_an_xz_that_wants_much_memory_is_refused(
    box: FileBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = lzma.compress(tar(("a", b"x")), preset=0)
    assert await extracted(box, packed) == {"a": "x"}
    monkeypatch.setattr(members, "XZ_MEMORY", 128 * 1024)
    refused = await box.refusal("EXTRACT", box.root / "archive", destination=box.root / "new")
    assert refused[0] == INVALID


async def test_pax_headers_without_end_are_refused(box: FileBox) -> None:
    block = _with_pax(10)[:1024]
    (box.root / "archive").write_bytes(block * 5000)
    refused = await box.refusal("EXTRACT", box.root / "archive", destination=box.root / "out")
    assert refused[0] == INVALID


async def test_more_than_the_disk_has_room_for_is_refused(tmp_path: Path) -> None:
    with small_disk(tmp_path, megabytes=1) as disk:
        box = filebox(tmp_path, file_roots=(tmp_path / "root", disk))
        (box.root / "archive").write_bytes(tar(("a", os.urandom(2 << 20))))
        refused = await box.refusal("EXTRACT", box.root / "archive", destination=disk / "out")
        assert refused[0] in {TOO_LARGE, UNAVAILABLE}
        assert names(disk) == []


async def test_a_later_member_takes_the_place_of_an_earlier_one(box: FileBox) -> None:
    data = tar(("a", b"one"), link("b", "a"), ("a", b"two"), ("b", b"three"))
    assert await extracted(box, data) == {"a": "two", "b": "three"}


async def test_a_folder_that_is_there_is_joined_and_nothing_overwritten_unasked(
    box: FileBox,
) -> None:
    out = box.root / "out"
    (out / "both").mkdir(parents=True)
    (out / "both").chmod(0o700)
    (out / "both/f").write_text("old")
    (out / "mine").write_text("mine")
    data = tar(("new/f", b"new"), ("both/g", b"g"), ("both/f", b"new"))
    (box.root / "archive").write_bytes(data)
    failure, said = await box.refusal("EXTRACT", box.root / "archive", destination=out)
    assert (failure, said) == (CONFLICT, "ROOT/out/both/f is there already")
    assert tree(out) == {"both": "/", "both/f": "old", "mine": "mine"}

    assert await extracted(box, data, overwrite=True) == {
        "both": "/",
        "both/f": "new",
        "both/g": "g",
        "mine": "mine",
        "new": "/",
        "new/f": "new",
    }
    assert (out / "both").stat().st_mode & 0o7777 == 0o700


async def test_a_link_in_the_folder_that_is_joined_is_not_passed(box: FileBox) -> None:
    out = box.root / "out"
    out.mkdir()
    (out / "way").symlink_to(box.outside)
    (box.root / "archive").write_bytes(tar(("way/secret", b"overwritten"), ("f", b"f")))
    refused = await box.refusal("EXTRACT", box.root / "archive", destination=out, overwrite=True)
    assert refused[0] == CONFLICT
    assert tree(out) == {"way": f"→ {box.outside}"}
    assert tree(box.outside) == {"secret": "outside"}
