"""A run of a script on many servers, from the fleet page to the history."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.agents import agent
from tests.e2e.conftest import Visit
from tests.e2e.own_stack import OwnStack
from tests.e2e.pictures import look
from tests.e2e.visitor import Visitor

POLICIES = {
    "fra-web-01": {"commands": "true"},
    "fra-web-02": {"commands": "true"},
    "ams-mail-01": {},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("agents")


@pytest.fixture(scope="module")
def servers(stack: OwnStack, folder: Path) -> Iterator[dict[str, str]]:
    """Ids by name: two servers that allow commands, and one that allows nothing."""
    with ExitStack() as agents:
        yield {
            name: agents.enter_context(agent(stack, folder / name, name, policy))
            for name, policy in POLICIES.items()
        }


def test_a_script_runs_on_the_picked_servers_and_tells_as_it_goes(
    admin: Visitor, servers: dict[str, str], tmp_path: Path
) -> None:
    page = admin.open()
    page.get_by_role("button", name="Select", exact=True).click()
    for name in servers:
        page.get_by_label(f"Select {name}").check(force=True)
    page.get_by_role("button", name="Run a script").click()
    targets = page.get_by_test_id("run-targets").get_by_role("listitem")
    expect(targets).to_have_count(3)
    expect(targets.filter(has_text="ams-mail-01")).to_contain_text("does not allow running scripts")
    expect(targets.filter(has_text="fra-web-01")).to_contain_text("runs as root")

    go = tmp_path / "go"
    _write(page, f"echo begun; while [ ! -e {go} ]; do sleep 0.1; done; echo over; echo no >&2")
    page.get_by_role("button", name="Run on 2 servers").click()
    asked = page.get_by_role("dialog", name="Run this on 2 servers?")
    expect(asked.get_by_role("listitem")).to_have_text([re.compile("01"), re.compile("02")])
    asked.get_by_role("button", name="Run on 2 servers").click()

    for name in ("fra-web-01", "fra-web-02"):
        result = _result(page, name)
        expect(result).to_have_attribute("data-status", "running")
        expect(result).to_contain_text("begun")
    assert "over" not in _result(page, "fra-web-01").locator("pre").inner_text()
    # After a reload, the page shows the same run, and it continues live.
    page.reload()
    for name in ("fra-web-01", "fra-web-02"):
        expect(_result(page, name)).to_contain_text("begun")
        expect(_result(page, name)).to_have_attribute("data-status", "running")
    go.touch()
    for name in ("fra-web-01", "fra-web-02"):
        expect(_result(page, name)).to_contain_text("Exit code 0")
        expect(_result(page, name).locator("pre")).to_have_text(re.compile(r"begun\s+over"))
        expect(_result(page, name).locator("pre")).to_contain_text("no")
    expect(_result(page, "ams-mail-01")).to_have_count(0)


def test_failed_servers_can_be_told_apart_and_tried_again(
    admin: Visitor, servers: dict[str, str], tmp_path: Path
) -> None:
    admin.open()
    page = _drawer(admin, "fra-web-01", "fra-web-02")
    # The server that runs the script first creates the folder.
    _run(page, f"mkdir {tmp_path}/lock || exit 7", count=2)
    failed = page.get_by_test_id("run-target").filter(has_text="Exit code 7")
    expect(failed).to_have_count(1)
    page.get_by_text("Failed 1").click()
    expect(page.get_by_test_id("run-target")).to_have_count(1)
    page.get_by_role("button", name="Retry on the failed servers").click()
    expect(page.get_by_test_id("run-targets").get_by_role("listitem")).to_have_count(1)
    _run(page, "true", count=1)
    expect(page.get_by_test_id("run-target")).to_contain_text("Exit code 0")
    expect(page.get_by_test_id("run-target")).to_contain_text("No output.")


def test_what_runs_can_be_cancelled_on_one_server_and_on_all(
    admin: Visitor, servers: dict[str, str]
) -> None:
    admin.open()
    page = _drawer(admin, "fra-web-01", "fra-web-02")
    _run(page, "echo begun; sleep 300", count=2)
    for name in ("fra-web-01", "fra-web-02"):
        expect(_result(page, name)).to_contain_text("begun")
    page.get_by_role("button", name="Cancel on fra-web-01").click()
    expect(_result(page, "fra-web-01")).to_have_attribute("data-status", "cancelled")
    expect(_result(page, "fra-web-02")).to_have_attribute("data-status", "running")

    # The run continues while the drawer is closed, and is shown when the drawer opens again.
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    _open_by_palette(page)
    expect(_result(page, "fra-web-02")).to_have_attribute("data-status", "running")
    page.get_by_role("button", name="Cancel all").click()
    expect(_result(page, "fra-web-02")).to_have_attribute("data-status", "cancelled")


def test_nothing_runs_without_a_server_that_can(admin: Visitor, servers: dict[str, str]) -> None:
    page = admin.open()
    _open_by_palette(page)
    _write(page, "true")
    run = page.get_by_role("button", name=re.compile("Run on 0"))
    expect(run).to_be_disabled()
    expect(page.get_by_text("Choose a server first.")).to_be_visible()
    page.get_by_role("textbox", name="Script").press("Control+Enter")
    _choose(page, "ams-mail-01")
    expect(page.get_by_text("None of the chosen servers can run scripts.")).to_be_visible()
    expect(run).to_be_disabled()
    page.get_by_role("textbox", name="Script").press("Control+Enter")
    expect(page.get_by_role("dialog", name="Run this")).to_have_count(0)


def test_a_server_keeps_what_was_run_on_it(admin: Visitor, servers: dict[str, str]) -> None:
    page = admin.open(f"/servers/{servers['fra-web-01']}")
    page.get_by_role("button", name="Run a script").click()
    _run(page, "printf '\\033[31mkept\\033[0m<b>-here</b>'; exit 4", count=1)
    expect(_result(page, "fra-web-01").locator("pre")).to_have_text("kept<b>-here</b>")
    page.keyboard.press("Escape")

    page.goto(f"{page.url.partition('?')[0]}/terminal/commands")
    newest = page.get_by_test_id("runs").get_by_role("listitem").first
    expect(newest).to_contain_text("Exit code 4")
    expect(newest).to_contain_text("admin")
    newest.get_by_role("button").click()
    expect(_result(page, "fra-web-01").locator("pre")).to_have_text("kept<b>-here</b>")


@pytest.mark.parametrize("names", [("fra-web-01", "ams-mail-01"), ("ams-mail-01",)])
def test_the_form_is_as_wide_as_a_phone(
    visit: Visit, servers: dict[str, str], names: tuple[str, ...]
) -> None:
    with visit(viewport={"width": 360, "height": 740}) as visitor:
        visitor.open()
        page = _drawer(visitor, *names)
        expect(page.get_by_role("button", name="Keep only servers")).to_be_visible()
        body = page.locator(".ant-drawer-body")
        assert body.evaluate("body => body.scrollWidth - body.clientWidth") == 0


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_the_drawer_fits_and_axe_finds_no_serious_fault(
    theme: str, visit: Visit, servers: dict[str, str], tmp_path: Path
) -> None:
    faults: list[str] = []
    with visit(color_scheme=theme) as visitor:
        page = visitor.open()
        page.get_by_role("button", name="Select", exact=True).click()
        page.get_by_role("button", name="Select all shown").click()
        faults += look(page, "fleet-select", theme, tmp_path)
        page.get_by_text("Table", exact=True).click()
        faults += look(page, "fleet-select-table", theme, tmp_path)
        page.get_by_role("button", name="Run a script").click()
        page.get_by_test_id("run-targets").wait_for()
        faults += look(page, "run", theme, tmp_path)
        _write(page, "echo here; echo there >&2; false")
        page.get_by_role("button", name="Run on 2 servers").click()
        asked = page.get_by_role("dialog", name="Run this")
        asked.wait_for()
        faults += look(page, "run-ask", theme, tmp_path)
        asked.get_by_role("button", name="Run on").click()
        expect(page.get_by_text("Failed 2")).to_be_visible()
        faults += look(page, "run-results", theme, tmp_path)
    assert not faults, "\n".join(faults)


def _open_by_palette(page: Page) -> None:
    page.get_by_test_id("server-card").first.wait_for()
    page.keyboard.press("Control+k")
    page.get_by_role("combobox", name="Find a server or an action").fill("run a script")
    page.keyboard.press("Enter")
    # The drawer shows the run that has not ended, or the form.
    page.get_by_role("dialog", name=re.compile("^Run")).wait_for()


def _choose(page: Page, *names: str) -> None:
    chooser = page.get_by_role("combobox", name="Choose servers")
    for name in names:
        chooser.fill(name)
        page.locator(".ant-select-item-option", has_text=name).click()
    page.get_by_role("textbox", name="Script").click()
    expect(page.get_by_test_id("run-targets").get_by_role("listitem")).to_have_count(len(names))


def _drawer(visitor: Visitor, *names: str) -> Page:
    """Open the drawer without a selection, and choose these servers in it."""
    _open_by_palette(visitor.page)
    _choose(visitor.page, *names)
    return visitor.page


def _write(page: Page, script: str) -> None:
    page.get_by_role("textbox", name="Script").fill(script)


def _run(page: Page, script: str, *, count: int) -> None:
    _write(page, script)
    page.get_by_role("textbox", name="Script").press("Control+Enter")
    asked = page.get_by_role("dialog", name="Run this")
    asked.get_by_role("button", name=f"Run on {count} server").click()


def _result(page: Page, name: str) -> Locator:
    return page.locator(f'[data-testid="run-target"][data-name="{name}"]')
