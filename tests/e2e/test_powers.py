"""The permissions of a server: chosen in the install line, shown as the host reports them."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.agents import agent
from tests.e2e.conftest import Visit
from tests.e2e.own_stack import OwnStack
from tests.e2e.pictures import look
from tests.e2e.visitor import Visitor

POWERS = ("Terminal", "Commands", "Files", "Docker")
OPTIONS = re.compile(r"--(shell|commands|files|file-root|docker|run-as)")
ANOTHER_KEY = "11" * 32


def test_the_install_line_allows_nothing_that_was_not_ticked(
    admin: Visitor, stack: OwnStack
) -> None:
    page = admin.open("/servers/new")
    page.get_by_label("Name").fill("fra-web-01")
    for power in POWERS:
        expect(page.get_by_role("checkbox", name=power)).not_to_be_checked()
    expect(page.get_by_text("Runs as")).to_have_count(0)
    assert not OPTIONS.search(_line(page))
    stack.keep_this_machine_only()


def test_the_install_line_follows_what_is_ticked_and_so_does_a_new_one(
    admin: Visitor, stack: OwnStack
) -> None:
    page = admin.open("/servers/new")
    page.get_by_label("Name").fill("fra-web-02")
    for power in POWERS:
        page.get_by_role("checkbox", name=power).check()
    page.get_by_text("Read and change").click()
    page.get_by_label("Within these folders").fill("/srv\n\n /var/www ")
    page.get_by_text("See and manage").click()
    page.get_by_text("root", exact=True).click()
    expect(
        page.get_by_text("anyone who can log in to this console has full control of the server")
    ).to_be_visible()
    line = _line(page)
    for option in ("--shell", "--commands", "--files=write", "--docker=actions", "--run-as=root"):
        assert f" {option}" in line
    assert re.findall(r"--file-root=(\S+)", line) == ["/srv", "/var/www"]

    # After a reload the choice is lost and must be made again.
    page.reload()
    for power in POWERS:
        expect(page.get_by_role("checkbox", name=power)).not_to_be_checked()
    page.get_by_role("checkbox", name="Terminal").check()
    page.get_by_role("button", name="Create a new install line").click()
    assert OPTIONS.findall(page.locator("pre").inner_text()) == ["shell"]
    stack.keep_this_machine_only()


def test_settings_show_what_the_host_allows_and_start_a_new_line_from_it(
    admin: Visitor, stack: OwnStack, tmp_path: Path
) -> None:
    policy = {"shell": "true", "files": '"read"', "file_roots": '["/srv", "/var/log"]'}
    with agent(stack, tmp_path / "agent", "fra-web-03", policy) as server:
        page = admin.open(f"/servers/{server}/settings")
        section = page.locator("section", has=page.get_by_text("Allowed on this server"))
        expect(section).to_contain_text("The console cannot add permissions")
        for told in (
            "Terminal Allowed",
            "Commands Not allowed",
            "Docker Not allowed",
            "Runs as root",
        ):
            expect(section.locator("dl")).to_contain_text(re.compile(told.replace(" ", r"\s*")))
        expect(section).to_contain_text("/srv, /var/log")
        expect(page.get_by_role("alert")).to_have_count(0)

        section.get_by_role("link", name="create a new install line").click()
        expect(page.get_by_role("checkbox", name="Terminal")).to_be_checked()
        expect(page.get_by_role("checkbox", name="Commands")).not_to_be_checked()
        page.get_by_role("button", name="Create a new install line").click()
        line = page.locator("pre").inner_text()
        assert re.findall(r"--file-root=(\S+)", line) == ["/srv", "/var/log"]


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_a_server_that_obeys_another_console_says_so_on_each_of_its_pages(
    theme: str, visit: Visit, stack: OwnStack, tmp_path: Path
) -> None:
    faults: list[str] = []
    with (
        agent(
            *(stack, tmp_path / "agent", "fra-web-04", {"shell": "true"}), obeys=ANOTHER_KEY
        ) as server,
        visit(color_scheme=theme) as visitor,
    ):
        page = visitor.open(f"/servers/{server}")
        expect(page.get_by_role("alert")).to_contain_text("does not trust this console")
        faults += look(page, "disobeys", theme, tmp_path)
        page.get_by_role("link", name="Terminal").click()
        expect(page.get_by_role("button", name="Open a terminal")).to_have_count(0)
        expect(page.get_by_text("Terminals are not available")).to_be_visible()
        page.get_by_role("link", name="Settings").last.click()
        page.get_by_text("Allowed on this server").wait_for()
        faults += look(page, "settings-powers", theme, tmp_path)
        page.goto(f"{stack.url}/servers/new")
        for power in POWERS:
            page.get_by_role("checkbox", name=power).check()
        faults += look(page, "add-server-powers", theme, tmp_path)
    assert not faults, "\n".join(faults)


def _line(page: Page) -> str:
    page.get_by_role("button", name="Create the install line").click()
    return page.locator("pre").inner_text()
