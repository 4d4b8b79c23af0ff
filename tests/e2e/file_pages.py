"""Servers that allow file access, and actions on the files page."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Locator, Page, expect

from tests.e2e.agents import agent
from tests.e2e.own_stack import OwnStack
from tests.e2e.visitor import Visitor

SERVER = "fra-files-01"
# The request that checks whether a name is free.
FREE = r"404 .*/files/stat$"


@contextmanager
def file_servers(stack: OwnStack, folder: Path) -> Iterator[dict[str, str]]:
    """Run servers with different file policies, whose roots are in the folder; yield ids by name."""
    first, second = folder / "first", folder / "second"
    first.mkdir()
    second.mkdir()
    both = json.dumps([str(first), str(second)])
    planned = {
        SERVER: {"files": '"write"', "file_roots": json.dumps([str(first)])},
        "read-only": {"files": '"read"', "file_roots": both},
        "off": {},
    }
    with ExitStack() as agents:
        yield {
            name: agents.enter_context(agent(stack, folder / "agents" / name, name, policy))
            for name, policy in planned.items()
        }


def own_folder(folder: Path) -> Path:
    """Create a folder on the server for one test."""
    return Path(tempfile.mkdtemp(prefix="of-", dir=folder / "first"))


def address_of(server: str, path: Path) -> str:
    return f"/servers/{server}/files?path={quote(str(path))}"


def opened(visitor: Visitor, server: str, folder: Path) -> Page:
    page = visitor.open(address_of(server, folder))
    expect(page.get_by_role("navigation", name="Current folder")).to_contain_text(folder.name)
    return page


def row(page: Page, name: str) -> Locator:
    return page.locator(f'[data-testid="file"][data-name="{name}"]')


def choose(page: Page, name: str, act: str) -> None:
    page.get_by_role("button", name=f"More for {name}").click()
    # With the keyboard: the same key must not press a button of the dialog.
    page.get_by_role("menuitem", name=act).press("Enter")


def edit(page: Page, text: Locator, typed: str) -> None:
    text.press("Control+Home")
    page.keyboard.insert_text(typed)
    expect(page.get_by_test_id("editor-state")).to_have_text("Not saved yet")


def drop(page: Page, files: dict[str, str]) -> None:
    data = page.evaluate_handle(
        """files => {
          const data = new DataTransfer();
          for (const [name, text] of Object.entries(files)) data.items.add(new File([text], name));
          return data;
        }""",
        files,
    )
    area = page.get_by_role("region", name="Files", exact=True)
    for event in ("dragenter", "dragover", "drop"):
        area.dispatch_event(event, {"dataTransfer": data})
