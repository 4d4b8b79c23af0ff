"""The second factor in a browser: turn it on, log in with a code and a recovery code, turn it off."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.own_stack import OwnStack
from tests.e2e.pictures import look
from tests.e2e.visitor import Visitor, visiting
from tests.fixtures.factors import code_of

NAME, PASSWORD = "olga", "correct horse battery staple"
# A log-out also ends the session for requests that are on their way.
FORGIVEN = (r"401 .* /api/v1/", r"422 .* /api/v1/auth/factors/")


@pytest.fixture
def olga(browser: Browser, stack: OwnStack, tmp_path: Path) -> Iterator[Visitor]:
    """The browser of a new user who is logged in; clipboard and downloads work."""
    word = tmp_path / "password"
    word.write_text(PASSWORD)
    added = stack.flotilla("user", "add", NAME, f"--password-file={word}", "--if-missing")
    assert added.returncode == 0, added.stderr
    stack.flotilla("user", "reset-factors", NAME)
    with visiting(browser, stack, permissions=["clipboard-read", "clipboard-write"]) as visitor:
        for pattern in FORGIVEN:
            visitor.forgive(pattern)
        visitor.open("/login")
        log_in(visitor.page)
        expect(account(visitor.page)).to_be_visible()
        yield visitor


def earlier_code(secret: str) -> str:
    """Return the code before the present one, which stays valid for at least six seconds."""
    left = 30 - time.time() % 30
    if left < 6:
        time.sleep(left)
    return code_of(secret, -1)


def log_in(page: Page) -> None:
    page.get_by_label("Username").fill(NAME)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()


def account(page: Page) -> Locator:
    return page.get_by_role("button", name=f"Account of {NAME}")


def log_out(page: Page) -> None:
    page.get_by_role("main").get_by_role("button", name="Log out").click()  # of the settings
    expect(page.get_by_test_id("login-form")).to_be_visible()


def begin(visitor: Visitor) -> str:
    """Open the dialog up to the QR code; return the secret."""
    page = visitor.open("/settings")
    page.get_by_role("button", name="Turn on the second factor").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Password", exact=True).fill("not the password")
    dialog.get_by_role("button", name="Continue").click()
    expect(dialog.get_by_text("The password is wrong.")).to_be_visible()
    dialog.get_by_label("Password", exact=True).fill(PASSWORD)
    dialog.get_by_role("button", name="Continue").click()
    picture = dialog.get_by_role("img", name="QR code for the authenticator app")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.naturalWidth") > 0
    return dialog.get_by_test_id("totp-secret").inner_text().replace(" ", "")


def test_a_user_turns_it_on_and_logs_in_with_a_code_and_a_recovery_code(
    olga: Visitor, stack: OwnStack, tmp_path: Path
) -> None:
    secret, page = begin(olga), olga.page
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Code").fill(earlier_code(secret))
    dialog.get_by_role("button", name="Turn on").click()
    listed = dialog.get_by_test_id("recovery-codes").get_by_role("listitem")
    expect(listed).to_have_count(10)
    codes = listed.all_inner_texts()
    dialog.get_by_role("button", name="Copy").click()
    expect(dialog.get_by_text("Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()").split() == codes
    with page.expect_download() as download:
        dialog.get_by_role("button", name="Download").click()
    download.value.save_as(tmp_path / "codes")
    assert (tmp_path / "codes").read_text().split() == codes
    dialog.get_by_role("button", name="I have saved them").click()
    expect(page.get_by_text("The second factor is on since")).to_be_visible()
    expect(page.get_by_text("10 recovery codes are left.")).to_be_visible()

    log_out(page)
    log_in(page)
    form = page.get_by_test_id("code-form")
    form.get_by_label("Code").fill("not-a-code")
    form.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("The code is wrong")
    form.get_by_label("Code").fill(code_of(secret))
    form.get_by_role("button", name="Log in").click()
    expect(account(page)).to_be_visible()

    page.goto(f"{stack.url}/settings")
    log_out(page)
    log_in(page)
    form.get_by_role("button", name="Use a recovery code").click()
    form.get_by_label("Recovery code").fill(codes[0].upper())
    form.get_by_role("button", name="Log in").click()
    expect(account(page)).to_be_visible()
    page.goto(f"{stack.url}/settings")
    expect(page.get_by_text("9 recovery codes are left.")).to_be_visible()
    stored = page.evaluate("JSON.stringify([localStorage, sessionStorage])")
    assert not [word for word in (secret, *codes) if word in stored]

    page.get_by_role("button", name="New recovery codes").click()
    dialog.get_by_label("Code").fill(codes[1])
    dialog.get_by_role("button", name="New recovery codes").click()
    expect(dialog.get_by_test_id("recovery-codes").get_by_role("listitem")).to_have_count(10)
    dialog.get_by_role("button", name="I have saved them").click()

    page.get_by_role("button", name="Turn off").click()
    dialog.get_by_label("Password", exact=True).fill(PASSWORD)
    dialog.get_by_role("button", name="Turn off").click()
    expect(page.get_by_text("The second factor is off.")).to_be_visible()
    log_out(page)
    log_in(page)
    expect(account(page)).to_be_visible()


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_the_pages_fit_and_axe_finds_no_serious_fault(
    olga: Visitor, theme: str, tmp_path: Path
) -> None:
    secret, page = begin(olga), olga.page
    olga.page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    faults = look(page, "second-factor-qr", theme, tmp_path)
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Code").fill(code_of(secret))
    dialog.get_by_role("button", name="Turn on").click()
    expect(dialog.get_by_test_id("recovery-codes")).to_be_visible()
    faults += look(page, "second-factor-codes", theme, tmp_path)
    dialog.get_by_role("button", name="I have saved them").click()
    expect(page.get_by_text("10 recovery codes are left.")).to_be_visible()
    faults += look(page, "second-factor-on", theme, tmp_path)
    log_out(page)
    log_in(page)
    expect(page.get_by_test_id("code-form")).to_be_visible()
    faults += look(page, "log-in-code", theme, tmp_path)
    page.get_by_text("简体中文", exact=True).click()
    expect(page.get_by_text("请输入身份验证器应用为 Flotilla 显示的验证码。")).to_be_visible()
    faults += look(page, "log-in-code-zh", theme, tmp_path)
    assert faults == []
