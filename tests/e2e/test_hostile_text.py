"""Names that are HTML, typed by a person or reported by a host."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Dialog, Page, expect

from tests.e2e.host import private_host
from tests.e2e.own_stack import OwnStack
from tests.e2e.visitor import Visitor

NAME = "<img src=x onerror=alert(1)>"
SYSTEM = "<svg onload=alert(2)>{{7*7}}"


@pytest.fixture
def alerts(admin: Visitor, stack: OwnStack) -> Iterator[list[str]]:
    """The messages of dialogs that the page opened; there must be none."""
    asked: list[str] = []

    def note(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.dismiss()

    admin.page.on("dialog", note)
    yield asked
    stack.keep_this_machine_only()
    assert asked == []


def _assert_is_text(page: Page, text: str) -> None:
    expect(page.get_by_text(text).first).to_be_visible()
    assert page.locator("img[src=x], svg[onload]").count() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="a host of its own needs root")
def test_html_in_a_server_name_and_in_what_its_agent_says_is_shown_as_text(
    admin: Visitor, stack: OwnStack, alerts: list[str], tmp_path: Path
) -> None:
    page = admin.open("/servers/new")
    page.get_by_label("Name").fill(NAME)
    page.get_by_role("button", name="Create the install line").click()
    line = page.locator("pre").inner_text()
    _assert_is_text(page, NAME)
    page.get_by_role("link", name="Fleet").first.click()
    _assert_is_text(page, NAME)
    page.go_back()

    with private_host() as host:
        host.write("/etc/os-release", f'ID=debian\nPRETTY_NAME="{SYSTEM}"\n')
        # Written to the kernel directly, because the command `hostname` refuses such a name.
        told = host.sh(f"printf %s '{NAME}' > /proc/sys/kernel/hostname && cat /etc/hostname")
        assert told.returncode == 0, told.stderr
        done = host.sh(line)
        assert done.returncode == 0, done.stdout + done.stderr
        command = re.search(r"setpriv .*", done.stdout)
        assert command, done.stdout
        with host.running(command[0], tmp_path / "agent.log"), stack.logged_in() as client:
            server = _wait_until_online(page, stack)
            _assert_is_text(page, SYSTEM)
            facts = client.get(f"/vps/{server}").json()["facts"]
            assert (facts["hostname"], facts["os_name"]) == (NAME, SYSTEM)
            for path in ("", "/history", "/settings"):
                admin.open(f"/servers/{server}{path}")
                _assert_is_text(page, NAME)
                _assert_is_text(page, SYSTEM)
            page.get_by_role("button", name="Delete this server").click()
            _assert_is_text(page, f"Type {NAME} to confirm")
            admin.open()
            _assert_is_text(page, NAME)
            page.get_by_text("Table", exact=True).click()
            _assert_is_text(page, NAME)
            page.keyboard.press("Control+k")
            _assert_is_text(page, NAME)


def _wait_until_online(page: Page, stack: OwnStack) -> str:
    expect(page.get_by_test_id("enrolled")).to_be_visible()
    page.get_by_role("link", name="Open it").click()
    expect(page).to_have_url(re.compile(rf"^{re.escape(stack.url)}/servers/[0-9a-f-]+$"))
    return page.url.rsplit("/", 1)[1]
