"""Every page in both themes, wide and at 360 px: pictures, and the faults that axe finds."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from deploy.local.settings import state_folder
from tests.e2e.conftest import Visit
from tests.e2e.own_stack import OwnStack
from tests.e2e.pictures import look
from tests.e2e.visitor import Visitor, visiting

PLOTS = "() => document.querySelectorAll('figure canvas').length >= 4"


@dataclass(frozen=True, slots=True)
class Room:
    name: str
    path: str
    shown: Callable[[Visitor], None]
    ours: bool = True
    """True if faults on this page are the console's."""


def _rooms(server: str) -> list[Room]:
    return [
        Room("fleet", "/", _sees_card),
        Room("server-overview", f"/servers/{server}", _sees_plots),
        Room("server-history", f"/servers/{server}/history?range=1h", _sees_plots),
        Room("server-terminal-off", f"/servers/{server}/terminal", _sees("main h2:visible")),
        Room("server-commands", f"/servers/{server}/terminal/commands", _sees("main h2:visible")),
        Room("server-settings", f"/servers/{server}/settings", _sees("form")),
        Room("add-server", "/servers/new", _sees("form")),
        Room("settings", "/settings", _sees("main section")),
        Room("api-docs", "/api/v1/docs", _sees(".opblock"), ours=False),
    ]


@pytest.fixture(scope="module")
def pictures() -> Path:
    folder = state_folder() / "reports/screenshots"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def waiting_server(stack: OwnStack) -> Iterator[None]:
    """A second server on the fleet page, without an agent, and no other."""
    stack.keep_this_machine_only()
    with stack.logged_in() as client:
        client.post("/vps", json={"name": "fra-web-01"}).raise_for_status()
    yield
    stack.keep_this_machine_only()


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_every_page_fits_and_axe_finds_no_serious_fault(
    theme: str, visit: Visit, stack: OwnStack, pictures: Path, waiting_server: None
) -> None:
    faults: list[str] = []
    with visit(color_scheme=theme) as visitor:
        for room in _rooms(stack.vps_id):
            visitor.open(room.path)
            room.shown(visitor)
            faults += _seen(visitor.page, room, pictures, theme)
        _make_line(visitor)
        faults += _seen(visitor.page, Room("add-server-line", "", _sees("pre")), pictures, theme)
        _see_table(visitor)
        faults += _seen(visitor.page, Room("fleet-table", "/", _sees("table")), pictures, theme)
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_log_in_fits_and_axe_finds_no_serious_fault(
    theme: str, browser: Browser, stack: OwnStack, pictures: Path
) -> None:
    with visiting(browser, stack, color_scheme=theme) as visitor:
        visitor.open("/login")
        visitor.page.get_by_test_id("login-form").wait_for()
        room = Room("login", "/login", _sees("form"))
        faults = _seen(visitor.page, room, pictures, theme)
    assert not faults, "\n".join(faults)


def test_a_chinese_browser_gets_chinese_pages(
    visit: Visit, stack: OwnStack, pictures: Path, waiting_server: None
) -> None:
    faults: list[str] = []
    with visit(locale="zh-CN") as visitor:
        for room in _rooms(stack.vps_id)[:2]:
            visitor.open(room.path)
            room.shown(visitor)
            visitor.page.get_by_role("link", name="服务器").first.wait_for()
            faults += _seen(visitor.page, room, pictures, "dark-zh")
    assert not faults, "\n".join(faults)


def _sees(selector: str) -> Callable[[Visitor], None]:
    return lambda visitor: visitor.page.locator(selector).first.wait_for()


def _sees_card(visitor: Visitor) -> None:
    card = visitor.page.locator('[data-testid="server-card"][data-status="online"]')
    card.get_by_test_id("cpu").wait_for()


def _sees_plots(visitor: Visitor) -> None:
    visitor.page.wait_for_function(PLOTS)
    visitor.page.locator("[aria-busy=true]").wait_for(state="detached")


def _make_line(visitor: Visitor) -> None:
    visitor.open("/servers/new")
    visitor.page.locator("form input#name").fill("ams-db-02")
    visitor.page.locator("form button[type=submit]").click()
    visitor.page.locator("pre").wait_for()


def _seen(page: Page, room: Room, pictures: Path, theme: str) -> list[str]:
    return look(page, room.name, theme, pictures, ours=room.ours)


def _see_table(visitor: Visitor) -> None:
    visitor.open("/")
    visitor.page.get_by_text("Table", exact=True).click()
    visitor.page.locator("table").wait_for()
