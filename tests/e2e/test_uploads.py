"""Uploads and downloads in the browser: real files of this machine, with the real stack."""

import hashlib
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Locator, expect

from deploy.local.waiting import wait_for
from tests.e2e.file_pages import FREE, SERVER, drop, file_servers, opened, own_folder, row
from tests.e2e.own_stack import OwnStack
from tests.e2e.visitor import Visitor

BIG = 200_000_000  # bytes
# Errors while the connection to a server is cut. The console retries after them.
CUT = r"409 |50[234] "


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


def test_a_large_file_goes_up_and_down_whole_while_the_stream_is_restarted(
    admin: Visitor, servers: dict[str, str], here: Path, stack: OwnStack, tmp_path: Path
) -> None:
    admin.forgive(CUT)
    admin.forgive(FREE)
    source = tmp_path / "large.bin"
    digest = _write_random(source, BIG)
    page = opened(admin, servers[SERVER], here)
    repeats, edge = _repeats(stack), stack.pid("edge")
    page.locator("input[type=file]").set_input_files(source)
    upload = page.get_by_test_id("upload")
    _wait_for_share(upload, 0.3)
    os.kill(edge, signal.SIGTERM)  # supervisord starts another
    expect(upload).to_have_attribute("data-phase", "done", timeout=120_000)
    assert _repeats(stack) > repeats
    assert _sha256(here / "large.bin") == digest
    assert [one.name for one in here.iterdir()] == ["large.bin"]
    expect(row(page, "large.bin")).to_contain_text("191 MiB")

    page.get_by_role("button", name="More for large.bin").click()
    repeats, edge = _repeats(stack), stack.pid("edge")
    downloaded = _gateway_count(stack, 'transfer_bytes_total{direction="down"}')
    with page.expect_download(timeout=120_000) as download:
        page.get_by_role("menuitem", name="Download").click()
    wait_for(
        lambda: (
            _gateway_count(stack, 'transfer_bytes_total{direction="down"}') > downloaded + BIG / 10
        ),
        seconds=30,
        otherwise="the download does not begin",
    )
    os.kill(edge, signal.SIGTERM)
    assert download.value.failure() is None
    assert download.value.suggested_filename == "large.bin"
    assert _sha256(Path(download.value.path())) == digest
    assert _repeats(stack) > repeats


def test_an_upload_is_paused_gone_on_with_and_cancelled(
    admin: Visitor, servers: dict[str, str], here: Path, tmp_path: Path
) -> None:
    admin.forgive(FREE)
    source = tmp_path / "paused.bin"
    digest = _write_random(source, 60_000_000)
    page = opened(admin, servers[SERVER], here)
    page.locator("input[type=file]").set_input_files(source)
    upload = page.get_by_test_id("upload")
    _wait_for_share(upload, 0.2)
    upload.get_by_role("button", name="Pause paused.bin").click()
    expect(upload).to_have_attribute("data-phase", "paused")
    drafts = list(here.iterdir())
    assert len(drafts) == 1
    assert re.fullmatch(r"\.paused\.bin\.[0-9a-f]{32}\.part", drafts[0].name)
    upload.get_by_role("button", name="Resume paused.bin").click()
    expect(upload).to_have_attribute("data-phase", "done", timeout=60_000)
    assert _sha256(here / "paused.bin") == digest

    # Of several uploads, one already exists and one is cancelled.
    other = tmp_path / "other.bin"
    _write_random(other, 40_000_000)
    page.locator("input[type=file]").set_input_files([source, other])
    question = page.get_by_test_id("upload").filter(has_text="already exists")
    expect(question).to_contain_text("paused.bin already exists")
    question.get_by_role("button", name="Skip").click()
    second = page.locator('[data-testid="upload"][data-name="other.bin"]')
    second.get_by_role("button", name="Cancel other.bin").click()
    expect(second).to_have_count(0)
    wait_for(
        lambda: [one.name for one in here.iterdir()] == ["paused.bin"],
        seconds=15,
        otherwise="the draft stays",
    )


def test_dropped_files_are_uploaded_and_replace_only_when_one_says_so(
    admin: Visitor, servers: dict[str, str], here: Path
) -> None:
    admin.forgive(FREE)
    (here / "note.txt").write_text("old")
    page = opened(admin, servers[SERVER], here)
    drop(page, {"note.txt": "new", "empty.txt": ""})
    upload = page.locator('[data-testid="upload"][data-name="note.txt"]')
    expect(upload).to_have_attribute("data-phase", "asking")
    # Syncing the file may take long on a busy disk.
    expect(row(page, "empty.txt")).to_be_visible(timeout=30_000)
    assert (here / "note.txt").read_text() == "old"
    upload.get_by_role("button", name="Replace").click()
    expect(upload).to_have_attribute("data-phase", "done", timeout=30_000)
    assert (here / "note.txt").read_text() == "new"
    assert (here / "empty.txt").read_text() == ""


def _wait_for_share(upload: Locator, share: float) -> None:
    upload.page.wait_for_function(
        """([upload, share]) => {
          const bar = upload.querySelector("[role=progressbar]");
          return Number(bar.getAttribute("aria-valuenow")) >= share * 100;
        }""",
        arg=[upload.element_handle(), share],
    )


def _repeats(stack: OwnStack) -> float:
    """Return the number of pieces that the gateway had to transfer again."""
    return _gateway_count(stack, "transfer_repeats_total")


def _gateway_count(stack: OwnStack, name: str) -> float:
    """Return a counter of the gateway; one with a label is missing until it is counted."""
    metrics = httpx.get(f"{stack.url}/metrics", trust_env=False).raise_for_status().text
    found = re.search(rf"^flotilla_{re.escape(name)} (\S+)$", metrics, re.MULTILINE)
    return float(found[1]) if found else 0.0


def _write_random(path: Path, size: int) -> str:
    """Write a random file; return its SHA-256."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        while (left := size - file.tell()) > 0:
            block = os.urandom(min(left, 1 << 20))
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
