"""Extraction of archives; malformed archives are made by hand."""

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

from agent.files import archive_extract, archive_reader, decompression
from tests.fixtures.agent.file_actions import (
    CONFLICT,
    INVALID,
    TOO_LARGE,
    UNAVAILABLE,
    Sandbox,
    make_sandbox,
    names,
    tree,
)
from tests.fixtures.agent.small_disk import small_disk

ESCAPED = Path("/tmp/escaped")

Make = Callable[[], bytes]


def tar(*members: tuple[str, bytes] | tarfile.TarInfo) -> bytes:
    """Return a tar of files with content, and of other members given as headers."""
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


async def extracted(box: Sandbox, archive: bytes, **fields: object) -> dict[str, str]:
    (box.root / "archive").write_bytes(archive)
    await box.act("EXTRACT", box.root / "archive", destination=box.root / "out", **fields)
    return tree(box.root / "out")


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
async def test_each_format_is_extracted(box: Sandbox, make: Callable[[bytes], bytes]) -> None:
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


async def test_a_zip_is_extracted_with_its_modes(box: Sandbox) -> None:
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
async def test_nothing_is_extracted_from_an_archive_that_leads_out(box: Sandbox, name: str) -> None:
    (box.root / "archive").write_bytes(ESCAPES[name]())
    failure, reason = await box.refusal(
        "EXTRACT", box.root / "archive", destination=box.root / "out"
    )
    assert failure == INVALID, reason
    assert names(box.root) == ["archive"]
    assert tree(box.outside) == {"secret": "outside"}
    assert ESCAPED.name not in names(ESCAPED.parent)


async def test_links_that_stay_inside_are_extracted(box: Sandbox) -> None:
    data = tar(("a/f", b"x"), link("a/b/up", "../../a/f"), link("top", "."), link("gone", "none"))
    out = await extracted(box, data)
    assert {name: reason for name, reason in out.items() if reason.startswith("→")} == {
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
async def test_a_damaged_archive_leaves_nothing(box: Sandbox, name: str) -> None:
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
async def test_an_archive_bomb_is_stopped_and_leaves_nothing(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(archive_extract, "MIN_ALLOWANCE", 2 << 20)
    monkeypatch.setattr(archive_reader, "ENTRY_LIMIT", 20)
    (box.root / "archive").write_bytes(BOMBS[name]())
    refused = await box.refusal("EXTRACT", box.root / "archive", destination=box.root / "out")
    assert refused[0] == TOO_LARGE
    assert names(box.root) == ["archive"]


@pytest.mark.parametrize("reason", [21, 1, 0xFFFF], ids=["right", "wrong", "in another field"])
async def test_a_zip_with_too_many_entries_is_refused_before_they_are_listed(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch, reason: int
) -> None:
    data = bytearray(zipped(*((f"f{n}", b"") for n in range(21))))
    data[-14:-10] = reason.to_bytes(2, "little") * 2
    (box.root / "archive").write_bytes(data)

    def entry(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(archive_reader, "ENTRY_LIMIT", 20)
    monkeypatch.setattr(zipfile, "ZipInfo", entry)

    refused = await box.refusal("EXTRACT", box.root / "archive", destination=box.root / "out")

    assert refused == (
        TOO_LARGE,
        "This archive has more than 20 entries, which is the limit. Extract it in a terminal.",
    )
    assert names(box.root) == ["archive"]


async def test_an_xz_that_needs_too_much_memory_is_refused(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = lzma.compress(tar(("a", b"x")), preset=0)
    assert await extracted(box, packed) == {"a": "x"}
    monkeypatch.setattr(decompression, "XZ_MEMORY", 128 * 1024)
    refused = await box.refusal("EXTRACT", box.root / "archive", destination=box.root / "new")
    assert refused[0] == INVALID


async def test_endless_pax_headers_are_refused(box: Sandbox) -> None:
    block = _with_pax(10)[:1024]
    (box.root / "archive").write_bytes(block * 5000)
    refused = await box.refusal("EXTRACT", box.root / "archive", destination=box.root / "out")
    assert refused[0] == INVALID


async def test_an_archive_larger_than_the_free_space_is_refused(tmp_path: Path) -> None:
    with small_disk(tmp_path, megabytes=1) as disk:
        box = make_sandbox(tmp_path, file_roots=(tmp_path / "root", disk))
        (box.root / "archive").write_bytes(tar(("a", os.urandom(2 << 20))))
        refused = await box.refusal("EXTRACT", box.root / "archive", destination=disk / "out")
        assert refused[0] in {TOO_LARGE, UNAVAILABLE}
        assert names(disk) == []


async def test_a_later_member_replaces_an_earlier_one(box: Sandbox) -> None:
    data = tar(("a", b"one"), link("b", "a"), ("a", b"two"), ("b", b"three"))
    assert await extracted(box, data) == {"a": "two", "b": "three"}


async def test_an_existing_folder_is_merged_and_files_are_replaced_only_on_request(
    box: Sandbox,
) -> None:
    out = box.root / "out"
    (out / "both").mkdir(parents=True)
    (out / "both").chmod(0o700)
    (out / "both/f").write_text("old")
    (out / "mine").write_text("mine")
    data = tar(("new/f", b"new"), ("both/g", b"g"), ("both/f", b"new"))
    (box.root / "archive").write_bytes(data)
    failure, reason = await box.refusal("EXTRACT", box.root / "archive", destination=out)
    assert (failure, reason) == (CONFLICT, "ROOT/out/both/f exists already.")
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


async def test_a_link_in_the_merged_folder_is_not_followed(box: Sandbox) -> None:
    out = box.root / "out"
    out.mkdir()
    (out / "way").symlink_to(box.outside)
    (box.root / "archive").write_bytes(tar(("way/secret", b"overwritten"), ("f", b"f")))
    refused = await box.refusal("EXTRACT", box.root / "archive", destination=out, overwrite=True)
    assert refused[0] == CONFLICT
    assert tree(out) == {"way": f"→ {box.outside}"}
    assert tree(box.outside) == {"secret": "outside"}
