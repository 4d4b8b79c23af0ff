import os

import pytest

from flotilla.v1.command_pb2 import FileEntry
from tests.fixtures.agent.file_actions import (
    INVALID,
    NOT_FOUND,
    Sandbox,
    names,
    write_raw,
)


async def test_a_listing_shows_everything_folders_first(box: Sandbox) -> None:
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


async def test_a_long_listing_is_truncated(box: Sandbox) -> None:
    for number in range(5_000):
        (box.root / f"f{number:04}").touch()
    listed = (await box.act("LIST")).listing
    assert (len(listed.entries), listed.truncated) == (5_000, False)

    (box.root / "zzz").mkdir()
    (box.root / "f-the-first").touch()
    listed = (await box.act("LIST")).listing
    assert (len(listed.entries), listed.truncated) == (5_000, True)
    assert [entry.name for entry in listed.entries[:3]] == ["zzz", "f-the-first", "f0000"]


async def test_a_listing_of_long_names_fits_into_a_message(box: Sandbox) -> None:
    for number in range(3_000):
        (box.root / f"{number:04}{'漢' * 80}").touch()
    listing = (await box.act("LIST")).listing
    assert listing.truncated
    assert 700_000 < listing.ByteSize() < 800_000


async def test_every_listed_name_can_be_asked_for(box: Sandbox) -> None:
    odd = ["报告.txt".encode("gbk"), b"touch\xe9.txt", "\uefe9".encode(), b"\xff" * 255, b"a\\xff"]
    for name in odd:
        write_raw(box.root, name)
    listed = (await box.act("LIST")).listing.entries
    assert len(listed) == len(odd)
    for entry in listed:
        assert await box.entry("STAT", f"{box.root}/{entry.name}") == entry
        assert (await box.chunk(f"{box.root}/{entry.name}")).data == b"x"


async def test_a_folder_whose_name_is_not_utf8_can_be_worked_in(box: Sandbox) -> None:
    folder = f"{box.root}/d\uefff"
    raw = box.root / "d\udcff"
    await box.act("MAKE_DIRECTORY", folder)
    assert names(box.root) == ["d\udcff"]

    entry = await box.upload(f"{folder}/touch\uefe9.txt", b"one")
    assert entry.name == "touch\uefe9.txt"
    await box.upload(f"{folder}/touch\uefe9.txt", b"two", version=entry.version)
    await box.act("COPY", f"{folder}/touch\uefe9.txt", destination=f"{folder}/copy\uef80")
    await box.act("RENAME", f"{folder}/touch\uefe9.txt", destination=f"{folder}/touché.txt")
    assert names(raw) == ["copy\udc80", "touché.txt"]

    await box.act("ARCHIVE", folder, names=["copy\uef80"], destination=f"{folder}/\uefffx.tar.gz")
    await box.act("EXTRACT", f"{folder}/\uefffx.tar.gz", destination=f"{folder}/out\ueffe")
    assert names(raw / "out\udcfe") == ["copy\udc80"]
    (raw / "link\udc81").symlink_to("copy\udc80")
    entry = await box.entry("STAT", f"{folder}/link\uef81")
    assert (entry.name, entry.link_target) == ("link\uef81", "copy\uef80")

    failure, text = await box.refusal("READ", f"{folder}/no\uefff", length=1)
    assert (failure, text) == (NOT_FOUND, "There is no ROOT/d\uefff/no\uefff.")
    await box.act("DELETE", folder, recursive=True)
    assert not names(box.root)


@pytest.mark.parametrize("name", ["\uefaf\uefaf", "\uefae\uefae", "\uefc0\uefaf", "\uef80"])
async def test_no_spelling_of_bytes_leads_out_of_the_folder(box: Sandbox, name: str) -> None:
    """Bytes from 0x80 on are neither a slash, a dot nor NUL."""
    path = f"{box.root}/{name}/secret"
    assert (await box.refusal("READ", path, length=1))[0] == NOT_FOUND


async def test_a_file_cannot_be_listed_and_a_folder_cannot_be_read(box: Sandbox) -> None:
    (box.root / "f").touch()
    assert (await box.refusal("LIST", box.root / "f"))[0] == INVALID
    assert (await box.refusal("LIST", box.root / "none"))[0] == NOT_FOUND
    assert (await box.refusal("LIST", box.root / "f/g"))[0] == NOT_FOUND
    assert (await box.refusal("READ", box.root, length=1))[0] == INVALID
