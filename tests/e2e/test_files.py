"""Files in the browser: real files of this machine, with the real stack."""

import hashlib
import io
import re
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import Visit
from tests.e2e.file_pages import (
    FREE,
    SERVER,
    address_of,
    choose,
    drop,
    edit,
    file_servers,
    opened,
    own_folder,
    row,
)
from tests.e2e.own_stack import OwnStack
from tests.e2e.pictures import look
from tests.e2e.visitor import Visitor

HOSTILE = "<img src=x onerror=alert(1)>\n\u202egnp.exe"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
def servers(stack: OwnStack, folder: Path) -> Iterator[dict[str, str]]:
    with file_servers(stack, folder) as ids:
        yield ids


@pytest.fixture
def here(folder: Path, servers: dict[str, str]) -> Path:
    return own_folder(folder)


def test_a_file_is_edited_in_place(admin: Visitor, servers: dict[str, str], here: Path) -> None:
    file = here / "app.conf"
    file.write_bytes(b"one\r\ntwo\r\n")
    file.chmod(0o640)
    page = opened(admin, servers[SERVER], here)
    row(page, "app.conf").get_by_role("button", name="app.conf", exact=True).click()
    text = page.get_by_test_id("editor").get_by_role("textbox")
    expect(text).to_contain_text("two")
    text.press("Control+Home")
    page.keyboard.type("zero\n")
    state = page.get_by_test_id("editor-state")
    expect(state).to_have_text("Not saved yet")

    # Leaving asks first.
    page.get_by_role("link", name="Traffic").click()
    page.get_by_role("dialog").get_by_role("button", name="Stay").click()
    expect(text).to_contain_text("zero")
    page.keyboard.press("Control+s")
    expect(state).to_have_text("Saved")
    assert file.read_bytes() == b"zero\r\none\r\ntwo\r\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640

    page.reload()
    expect(text).to_contain_text("zero")
    page.get_by_role("button", name="Back to the folder").click()
    expect(row(page, "app.conf")).to_be_visible()


def test_a_file_that_changed_meanwhile_is_not_overwritten_unseen(
    admin: Visitor, servers: dict[str, str], here: Path
) -> None:
    admin.forgive(r"409 .*/files/content")
    file = here / "shared.txt"
    file.write_text("base\n")
    page = admin.open(address_of(servers[SERVER], here) + "&file=shared.txt")
    text = page.get_by_test_id("editor").get_by_role("textbox")
    expect(text).to_contain_text("base")
    edit(page, text, "mine")
    file.write_text("base\ntheirs\n")
    page.keyboard.press("Control+s")
    conflict = page.get_by_role("alertdialog", name="Somebody else changed this file")
    expect(conflict.get_by_test_id("diff")).to_contain_text("theirs")
    expect(conflict.get_by_test_id("diff")).to_contain_text("mine")
    assert file.read_text() == "base\ntheirs\n"
    conflict.get_by_role("button", name="Load their version").click()
    expect(text).to_contain_text("theirs")
    expect(text).not_to_contain_text("mine")

    edit(page, text, "mine again")
    file.write_text("theirs again\n")
    page.keyboard.press("Control+s")
    conflict.get_by_role("button", name="Continue editing").click()
    expect(text).to_contain_text("mine again")
    page.keyboard.press("Control+s")
    conflict.get_by_role("button", name="Overwrite with my version").click()
    expect(page.get_by_test_id("editor-state")).to_have_text("Saved")
    assert file.read_text() == "mine againbase\ntheirs\n"


def test_what_is_no_text_or_too_large_is_offered_as_a_download(
    admin: Visitor, servers: dict[str, str], here: Path
) -> None:
    admin.forgive(r"4(13|22) .*/files/content")
    (here / "picture.png").write_bytes(bytes(range(256)))
    (here / "huge.log").write_bytes(b"x" * 1_100_000)
    page = admin.open(address_of(servers[SERVER], here) + "&file=picture.png")
    expect(page.get_by_text("This is not a text file")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("main").get_by_role("button", name="Download").last.click()
    assert Path(download.value.path()).read_bytes() == bytes(range(256))
    admin.open(address_of(servers[SERVER], here) + "&file=huge.log")
    expect(page.get_by_text("This file is too large to edit here")).to_be_visible()


def test_the_sum_to_hold_a_download_against_is_shown_and_copied(
    admin: Visitor, servers: dict[str, str], here: Path
) -> None:
    data = b"what was downloaded" * 1000
    (here / "large.iso").write_bytes(data)
    page = opened(admin, servers[SERVER], here)
    choose(page, "large.iso", "SHA-256")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("SHA-256 of large.iso")
    expect(dialog.get_by_test_id("checksum")).to_have_text(hashlib.sha256(data).hexdigest())
    dialog.get_by_role("button", name="Copy the SHA-256").click()
    expect(dialog.get_by_role("button", name="Copied")).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_things_are_made_renamed_moved_copied_and_deleted(
    admin: Visitor, servers: dict[str, str], here: Path
) -> None:
    admin.forgive(r"409 .*/files/")
    page = opened(admin, servers[SERVER], here)
    page.get_by_role("button", name="New folder").click()
    page.get_by_label("Name", exact=True).fill("sub")
    page.get_by_role("button", name="Create folder").click()
    expect(row(page, "sub")).to_be_visible()
    page.get_by_role("button", name="New file").click()
    page.get_by_label("Name", exact=True).fill("a.txt")
    page.get_by_role("button", name="Create file").click()
    text = page.get_by_test_id("editor").get_by_role("textbox")
    edit(page, text, "hello")
    page.keyboard.press("Control+s")
    expect(page.get_by_test_id("editor-state")).to_have_text("Saved")
    page.get_by_role("button", name="Back to the folder").click()

    choose(page, "a.txt", "Rename")
    # The dialog selects the name without its extension when it has the focus.
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    page.get_by_label("Name", exact=True).fill("b.txt")
    page.get_by_role("dialog").get_by_role("button", name="Rename").click()
    expect(row(page, "b.txt")).to_be_visible()
    assert (here / "b.txt").read_text() == "hello"

    choose(page, "b.txt", "Copy")
    page.get_by_label("Target folder").fill(f"{here}/sub")
    page.get_by_role("dialog").get_by_role("button", name="Copy").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    (here / "b.txt").write_text("newer")
    choose(page, "b.txt", "Move")
    page.get_by_label("Target folder").fill(f"{here}/sub/")
    page.get_by_role("dialog").get_by_role("button", name="Move").click()
    expect(page.get_by_role("dialog")).to_contain_text("Replace the existing files?")
    assert (here / "sub/b.txt").read_text() == "hello"
    page.get_by_role("dialog").get_by_role("button", name="Replace").click()
    expect(row(page, "b.txt")).to_have_count(0)
    assert (here / "sub/b.txt").read_text() == "newer"

    choose(page, "sub", "Delete")
    question = page.get_by_role("dialog", name=f"Delete sub from {SERVER}?")
    expect(question).to_contain_text("The folder is deleted with everything in it.")
    question.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("This folder is empty")).to_be_visible()
    assert list(here.iterdir()) == []


def test_keys_go_through_the_list_and_into_folders(
    admin: Visitor, servers: dict[str, str], here: Path
) -> None:
    for name in ("one", "two"):
        (here / name).mkdir()
        (here / name / "within").touch()
    (here / "three").touch()
    page = opened(admin, servers[SERVER], here)
    files = page.get_by_test_id("files")
    files.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(row(page, "two")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    expect(row(page, "within")).to_be_visible()
    files.focus()
    page.keyboard.press("Backspace")
    expect(row(page, "two")).to_have_attribute("aria-selected", "true")
    files.focus()
    page.keyboard.press("End")
    page.keyboard.press("F2")
    page.get_by_label("Name", exact=True).fill("four")
    page.keyboard.press("Enter")
    expect(row(page, "four")).to_be_visible()
    files.focus()
    page.keyboard.press("Home")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Delete")
    page.get_by_role("dialog", name=f"Delete 2 items from {SERVER}?").get_by_role(
        "button", name="Delete"
    ).click()
    expect(row(page, "one")).to_have_count(0)
    assert [one.name for one in here.iterdir()] == ["four"]


def test_permissions_are_set_by_box_and_by_number(
    admin: Visitor, servers: dict[str, str], here: Path
) -> None:
    (here / "tree/deep").mkdir(parents=True)
    (here / "tree/deep/file").touch(0o600)
    page = opened(admin, servers[SERVER], here)
    choose(page, "tree", "Permissions")
    dialog = page.get_by_role("dialog")
    octal = dialog.get_by_label("Octal")
    expect(octal).to_have_value("755")
    dialog.get_by_label("Others: Read").uncheck()
    dialog.get_by_label("Others: Execute").uncheck()
    expect(octal).to_have_value("750")
    octal.fill("1777")
    expect(dialog.get_by_label("Sticky")).to_be_checked()
    octal.fill("770")
    dialog.get_by_label("Apply to everything inside").check()
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)
    expect(row(page, "tree")).to_contain_text("drwxrwx---")
    assert stat.S_IMODE((here / "tree/deep/file").stat().st_mode) == 0o770


def test_archives_are_packed_and_extracted(
    admin: Visitor, servers: dict[str, str], here: Path
) -> None:
    (here / "site").mkdir()
    (here / "site/index.html").write_text("<h1>hello</h1>")
    page = opened(admin, servers[SERVER], here)
    choose(page, "site", "Archive")
    expect(page.get_by_label("Archive file")).to_have_value(f"{here}/site.tar.gz")
    page.get_by_role("dialog").get_by_role("button", name="Archive").click()
    expect(row(page, "site.tar.gz")).to_be_visible()
    choose(page, "site.tar.gz", "Extract")
    page.get_by_label("Target folder").fill(f"{here}/copy")
    page.get_by_role("dialog").get_by_role("button", name="Extract").click()
    expect(row(page, "copy")).to_be_visible()
    assert (here / "copy/site/index.html").read_text() == "<h1>hello</h1>"

    admin.forgive(r"422 .*/files/extract")
    with tarfile.open(here / "evil.tar", "w") as tar:
        way_out = tarfile.TarInfo("../../escaped")
        tar.addfile(way_out, io.BytesIO())
    page.reload()
    choose(page, "evil.tar", "Extract")
    page.get_by_role("dialog").get_by_role("button", name="Extract").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_be_visible()
    assert not (here / "evil").exists()


def test_a_folder_of_many_is_listed_without_all_of_it_in_the_page(
    admin: Visitor, servers: dict[str, str], here: Path
) -> None:
    for number in range(5_100):
        (here / f"file-{number:04}").touch()
    page = opened(admin, servers[SERVER], here)
    expect(page.get_by_text("Only the first 5000")).to_be_visible()
    rows = page.get_by_test_id("file")
    assert rows.count() < 120
    page.get_by_test_id("files").focus()
    page.keyboard.press("End")
    expect(row(page, "file-4999")).to_be_visible()
    assert rows.count() < 120
    page.get_by_placeholder("Filter by name").fill("0042")
    expect(rows).to_have_count(1)


def test_names_are_text(admin: Visitor, servers: dict[str, str], here: Path) -> None:
    (here / HOSTILE).write_text("<script>alert(1)</script>")
    page = opened(admin, servers[SERVER], here)
    shown = "<img src=x onerror=alert(1)>\u2039LF\u203a\u2039U+202E\u203agnp.exe"
    expect(page.get_by_role("button", name=shown, exact=True)).to_be_visible()
    page.get_by_role("button", name=shown, exact=True).click()
    expect(page.get_by_test_id("editor")).to_contain_text("<script>alert(1)</script>")
    assert page.locator("img[src=x]").count() == 0


def test_an_address_leads_to_a_folder_or_a_file(
    admin: Visitor, servers: dict[str, str], here: Path
) -> None:
    admin.forgive(r"4(04|22) .*/files(/stat)?$")
    (here / "hosts").write_text("127.0.0.1 localhost")
    page = admin.open(address_of(servers[SERVER], here / "hosts"))
    expect(page.get_by_test_id("editor")).to_contain_text("localhost")
    admin.open(address_of(servers[SERVER], here / "nothing"))
    expect(page.get_by_role("alert")).to_contain_text("Not found on the server")
    admin.open(address_of(servers[SERVER], Path("/etc")))
    expect(page.get_by_text("/etc is outside the folders")).to_be_visible()


def test_where_only_reading_is_allowed_nothing_can_be_changed(
    admin: Visitor, servers: dict[str, str], here: Path, stack: OwnStack
) -> None:
    (here / "read.txt").write_text("unchanged")
    page = admin.open(f"/servers/{servers['read-only']}/files")
    expect(page.get_by_role("link", name=str(here.parent))).to_be_visible()
    expect(page.get_by_role("link", name=str(here.parent.parent / "second"))).to_be_visible()
    page.get_by_role("link", name=str(here.parent)).click()
    page.get_by_role("button", name=here.name, exact=True).click()
    expect(page.get_by_text("Read only: the policy on this server")).to_be_visible()
    changing = re.compile("^(Upload|New|Delete|Rename|Move|Copy$|Archive|Permissions)")
    expect(page.get_by_role("button", name=changing)).to_have_count(0)
    page.get_by_role("button", name="More for read.txt").click()
    expect(page.get_by_role("menuitem")).to_have_text(["Download", "SHA-256"])
    page.keyboard.press("Escape")
    page.get_by_test_id("files").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Delete")
    expect(page.get_by_role("dialog")).to_have_count(0)
    row(page, "read.txt").get_by_role("button", name="read.txt", exact=True).click()
    text = page.get_by_test_id("editor").get_by_role("textbox")
    expect(text).to_contain_text("unchanged")
    text.press("x")
    expect(page.get_by_test_id("editor-state")).to_have_text("Read only")
    expect(page.get_by_role("button", name="Save")).to_have_count(0)
    with stack.logged_in() as client:
        refused = client.put(
            f"/vps/{servers['read-only']}/files/content",
            params={"path": str(here / "read.txt")},
            json={"content": "changed", "version": None},
        )
    assert refused.status_code == 403
    assert (here / "read.txt").read_text() == "unchanged"


def test_a_server_without_files_says_how_its_owner_would_allow_them(
    admin: Visitor, servers: dict[str, str]
) -> None:
    page = admin.open(f"/servers/{servers['off']}/files")
    expect(page.get_by_text("Files are not allowed on this server")).to_be_visible()
    expect(page.get_by_text('files = "write"')).to_be_visible()


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_files_fit_and_axe_finds_no_serious_fault(
    theme: str, visit: Visit, servers: dict[str, str], here: Path, tmp_path: Path
) -> None:
    (here / "sites-enabled").mkdir()
    (here / "nginx.conf").write_text("user www-data;\n# comment\nhttp {\n}\n")
    (here / HOSTILE).touch()
    (here / "current").symlink_to("releases/42")
    faults: list[str] = []
    with visit(color_scheme=theme) as visitor:
        visitor.forgive(r"409 .*/files/content")
        visitor.forgive(FREE)
        page = opened(visitor, servers[SERVER], here)
        row(page, "nginx.conf").wait_for()
        faults += look(page, "files", theme, tmp_path)
        choose(page, "nginx.conf", "Permissions")
        page.get_by_role("dialog").wait_for()
        faults += look(page, "files-permissions", theme, tmp_path)
        page.keyboard.press("Escape")
        drop(page, {"nginx.conf": "other", "b.txt": "b"})
        page.get_by_text("already exists").wait_for()
        page.get_by_role("checkbox", name="Select nginx.conf").click()
        faults += look(page, "files-uploads", theme, tmp_path)
        visitor.open(address_of(servers[SERVER], here) + "&file=nginx.conf")
        text = page.get_by_test_id("editor").get_by_role("textbox")
        edit(page, text, "# mine\n")
        faults += look(page, "files-editor", theme, tmp_path)
        (here / "nginx.conf").write_text("user nobody;\n")
        page.keyboard.press("Control+s")
        page.get_by_test_id("diff").wait_for()
        faults += look(page, "files-conflict", theme, tmp_path)
        visitor.open(f"/servers/{servers['off']}/files")
        page.get_by_text("not allowed").wait_for()
        faults += look(page, "files-off", theme, tmp_path)
    assert not faults, "\n".join(faults)
