"""Login, its duration, logout, and the data that the browser keeps."""

import re
import uuid

import httpx
import pytest
from playwright.sync_api import expect

from tests.e2e.own_stack import OwnStack
from tests.e2e.visitor import Visitor


def test_a_wrong_password_is_refused_and_the_right_one_opens_the_fleet(
    stranger: Visitor, stack: OwnStack
) -> None:
    page = stranger.open()
    expect(page).to_have_url(f"{stack.url}/login")
    stranger.forgive(r"401 .* /api/v1/auth/login$")
    stranger.log_in("not the password")
    expect(page.get_by_role("alert")).to_have_text("Username or password is wrong.")

    stranger.log_in()
    expect(page).to_have_url(f"{stack.url}/")
    expect(page.get_by_role("heading", name="Fleet")).to_be_visible()

    page.reload()
    expect(page.get_by_role("heading", name="Fleet")).to_be_visible()
    assert "password" not in page.evaluate("JSON.stringify(localStorage)").lower()
    assert page.evaluate("document.cookie") == ""

    # A log-out also ends the session for requests that are on their way.
    stranger.forgive(r"401 .* /api/v1/")
    page.get_by_role("button", name="Account of admin").click()
    page.get_by_role("menuitem", name="Log out").click()
    expect(page).to_have_url(f"{stack.url}/login")
    page.go_back()
    expect(page.get_by_test_id("login-form")).to_be_visible()
    page.reload()
    expect(page.get_by_test_id("login-form")).to_be_visible()


def test_a_deep_link_is_returned_to_after_log_in(stranger: Visitor, stack: OwnStack) -> None:
    path = f"/servers/{stack.vps_id}/history?range=24h"
    page = stranger.open(path)
    expect(page).to_have_url(re.compile(r"/login\?next="))
    stranger.log_in()
    expect(page).to_have_url(stack.url + path)
    expect(page.get_by_test_id("chart").first).to_be_visible()


def test_log_in_leads_to_no_other_site(stranger: Visitor, stack: OwnStack) -> None:
    page = stranger.open("/login?next=//example.org/")
    stranger.log_in()
    expect(page).to_have_url(f"{stack.url}/")


@pytest.mark.usefixtures("defaults_afterwards")
def test_language_and_theme_are_changed_at_once_and_remembered(admin: Visitor) -> None:
    page = admin.open("/settings")
    root = page.locator("html")
    expect(root).to_have_attribute("data-theme", "dark")
    page.get_by_text("Light", exact=True).click()
    expect(root).to_have_attribute("data-theme", "light")
    page.get_by_text("简体中文", exact=True).click()
    expect(page.get_by_role("heading", name="设置", exact=True)).to_be_visible()
    expect(root).to_have_attribute("lang", "zh-CN")

    page.reload()
    expect(page.get_by_role("heading", name="设置", exact=True)).to_be_visible()
    expect(root).to_have_attribute("data-theme", "light")
    expect(root).to_have_attribute("lang", "zh-CN")

    page.get_by_text("English", exact=True).click()
    expect(page.get_by_role("heading", name="Settings", exact=True)).to_be_visible()
    page.get_by_text("Dark", exact=True).click()
    page.reload()
    expect(page.get_by_role("heading", name="Settings", exact=True)).to_be_visible()
    expect(root).to_have_attribute("data-theme", "dark")
    expect(root).to_have_attribute("lang", "en")


def test_what_does_not_exist_is_said_to(admin: Visitor, stack: OwnStack) -> None:
    admin.forgive(r"404 .* /api/v1/vps/")
    admin.forgive(r"ApiError: ")
    page = admin.page
    for path in ("/no-such-room", f"/servers/{uuid.uuid4()}", "/servers/not-an-id"):
        admin.open(path)
        expect(page.get_by_text("Page not found")).to_be_visible()
    page.get_by_role("link", name="Go to the fleet").click()
    expect(page.get_by_role("heading", name="Fleet")).to_be_visible()

    for path in ("/api/v1/nothing", "/api/nothing", "/assets/nothing.js", "/agent/passwd"):
        answer = httpx.get(stack.url + path, trust_env=False)
        assert answer.status_code == httpx.codes.NOT_FOUND, path
        assert answer.headers["Content-Type"].startswith("application/problem+json"), path
