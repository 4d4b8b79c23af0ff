"""Invitations, members and users, in the browsers of two people."""

import re
import secrets
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import Visit
from tests.e2e.own_stack import OwnStack
from tests.e2e.pictures import look
from tests.e2e.visitor import Visitor, visiting

PASSWORD = "an e2e test's password"


def test_an_invited_person_sees_what_the_role_allows_until_the_owner_removes_them(
    browser: Browser, admin: Visitor, stack: OwnStack
) -> None:
    name = f"guest-{secrets.token_hex(3)}"
    link = _invite(admin, f"{name}@example.com")
    with visiting(browser, stack) as guest:
        page = _register(guest, link, name)
        expect(page.get_by_role("heading", name="Fleet")).to_be_visible()
        expect(page.get_by_role("button", name="Add a server")).to_have_count(0)
        page.get_by_test_id("server-card").first.get_by_role("link").click()
        expect(page.get_by_role("link", name="History")).to_be_visible()
        for action in ("Terminal", "Files"):
            expect(page.get_by_role("link", name=action, exact=True)).to_have_count(0)
        expect(page.locator("main").get_by_role("link", name="Settings")).to_have_count(0)
        expect(page.get_by_role("button", name="Run a script")).to_have_count(0)

        owner = admin.open("/organisation")
        member = owner.locator(f'[data-testid="member"][data-name="{name}"]')
        member.get_by_label(f"Role of {name}").click()
        owner.get_by_title("Operator", exact=True).click()
        # The guest's page changes by itself.
        expect(page.get_by_role("link", name="Terminal", exact=True)).to_be_visible()
        expect(page.get_by_role("button", name="Run a script")).to_be_visible()
        expect(page.locator("main").get_by_role("link", name="Settings")).to_have_count(0)

        guest.forgive(r"(404|403) .* /api/v1/")
        member.get_by_role("button", name=f"Remove {name}").click()
        owner.get_by_role("dialog").get_by_role("button", name="Remove").click()
        expect(member).to_have_count(0)
        expect(page.get_by_text("This server is gone")).to_be_visible()
        page.get_by_role("link", name="Go to the fleet").click()
        expect(page.get_by_text("There is no server that you may see.")).to_be_visible()
    _delete(admin, name)


def test_a_link_that_was_used_is_refused_in_a_sentence(
    browser: Browser, admin: Visitor, stack: OwnStack
) -> None:
    name = f"guest-{secrets.token_hex(3)}"
    link = _invite(admin, f"{name}@example.com")
    with visiting(browser, stack) as guest:
        guest.forgive(r"409 .* /api/v1/auth/register$")
        page = _register(guest, link, "admin")
        expect(page.get_by_text("There is already a user `admin`.")).to_be_visible()
        page.get_by_label("Username").fill(name)
        page.get_by_role("button", name="Register and log in").click()
        expect(page.get_by_role("heading", name="Fleet")).to_be_visible()
    with visiting(browser, stack) as late:
        late.forgive(r"403 .* /api/v1/auth/register$")
        page = _register(late, link, f"{name}-2")
        expect(page.get_by_role("alert")).to_contain_text("This invitation is not valid")
    _delete(admin, name)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_the_pages_of_people_fit_and_axe_finds_no_serious_fault(
    theme: str, browser: Browser, visit: Visit, stack: OwnStack, tmp_path: Path
) -> None:
    faults: list[str] = []
    with visit(color_scheme=theme) as visitor:
        page = visitor.open("/organisation")
        page.get_by_test_id("member").first.wait_for()
        faults += look(page, "organisation", theme, tmp_path)
        link = _invite(visitor, "someone.with.a.long.name@subdomain.example.com")
        faults += look(page, "organisation-invitation", theme, tmp_path)
        page.get_by_role("button", name="Invite").click()
        faults += look(page, "organisation-invite", theme, tmp_path)
        visitor.open("/users")
        page.get_by_test_id("user").first.wait_for()
        faults += look(page, "users", theme, tmp_path)
        page.get_by_label("Find a name or an address").fill("nobody-has-this-name")
        page.get_by_text("No user matches.").wait_for()
        faults += look(page, "users-none", theme, tmp_path)
        page.get_by_role("button", name="Add a user").click()
        faults += look(page, "users-add", theme, tmp_path)
        visitor.open("/settings")
        page.get_by_test_id("login-sessions").get_by_text("This session").wait_for()
        faults += look(page, "settings-security", theme, tmp_path)
    with visiting(browser, stack, color_scheme=theme) as stranger:
        page = stranger.open(link.removeprefix(stack.url))
        page.get_by_label("Username").wait_for()
        faults += look(page, "register", theme, tmp_path)
    assert not faults, "\n".join(faults)


def _invite(visitor: Visitor, address: str) -> str:
    """Invite an address as a viewer, and return the link."""
    page = visitor.open("/organisation")
    page.get_by_role("button", name="Invite", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("E-mail").fill(address)
    dialog.get_by_role("button", name="Create the link").click()
    link = dialog.get_by_test_id("invitation-link").locator("code").inner_text()
    assert re.fullmatch(re.escape(visitor.stack.url) + r"/register#\S{20,}", link)
    dialog.get_by_text("Close", exact=True).click()
    expect(dialog).to_have_count(0)
    expect(page.get_by_test_id("invitations").get_by_text(address)).to_be_visible()
    return link


def _register(visitor: Visitor, link: str, name: str) -> Page:
    page = visitor.open(link.removeprefix(visitor.stack.url))
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Repeat the password").fill(PASSWORD)
    page.get_by_role("button", name="Register and log in").click()
    return page


def _delete(visitor: Visitor, name: str) -> None:
    """Delete a user on the page of users, as its administrator."""
    page = visitor.open(f"/users?search={name}")
    user = page.locator(f'[data-testid="user"][data-name="{name}"]')
    user.get_by_role("button", name=f"More for {name}").click()
    page.get_by_role("menuitem", name="Delete").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox").fill(name)
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No user matches.")).to_be_visible()
