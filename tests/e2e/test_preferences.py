"""Preferences of a user: units, clock and time zone, on every page and in every browser."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Visit
from tests.e2e.own_stack import OwnStack
from tests.e2e.visitor import PHONE, Visitor

# Nepal is 5:45 ahead of UTC, so that no other time zone is mistaken for it.
ZONE, OFFSET = "Asia/Kathmandu", "GMT+5:45"
INSTANT = re.compile(rf"\d\d? [A-Z]\w+ \d{{4}}, \d\d?:\d\d:\d\d [ap]m {re.escape(OFFSET)}")


pytestmark = pytest.mark.usefixtures("defaults_afterwards")


def test_units_clock_and_zone_apply_everywhere_and_follow_the_user(
    admin: Visitor, visit: Visit, stack: OwnStack
) -> None:
    page = admin.open("/settings")
    _choose(page, "Bytes per second")
    _choose(page, "AM/PM")
    page.get_by_role("combobox", name="Time zone").fill("kathm")
    with page.expect_response("**/auth/me/preferences"):
        page.get_by_title(ZONE).click()
    expect(page.get_by_text("Saved for your account.").first).to_be_visible()
    _shows_choices(page)

    page.reload()
    _shows_choices(page)
    _charts_and_tables_follow(admin, stack)

    # Another browser knows nothing of the first one, and is in another time zone.
    with visit(locale="en-US", timezone_id="America/New_York", viewport=PHONE) as other:
        _shows_choices(other.open("/settings"))
        expect(other.page.get_by_role("radio", name="Sunday")).to_be_checked()
        # Both browsers save what they change, and leave the rest as it is.
        _choose(other.page, "Decimal (kB, MB)")
    page.goto(f"{stack.url}/settings")
    expect(page.get_by_role("radio", name="Decimal (kB, MB)")).to_be_checked()
    _shows_choices(page)

    with page.expect_response("**/auth/me/preferences"):
        page.get_by_role("button", name="Use the defaults of the browser").click()
    expect(page.get_by_role("radio", name="Bits per second")).to_be_checked()
    expect(page.get_by_role("radio", name="24 h")).to_be_checked()


def test_the_page_fits_a_phone_and_is_found_by_palette_and_menu(
    visit: Visit, stack: OwnStack
) -> None:
    for locale in ("en-GB", "zh-CN"):
        with visit(locale=locale, viewport=PHONE) as visitor:
            page = visitor.open("/settings#units")
            expect(page.get_by_test_id("units-example")).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    with visit() as visitor:
        page = visitor.open()
        page.get_by_role("heading", name="Fleet").wait_for()
        page.keyboard.press("Control+k")
        page.get_by_role("combobox", name="Find a server or an action").fill("time zone")
        page.keyboard.press("Enter")
        expect(page).to_have_url(f"{stack.url}/settings#units")
        page.goto(stack.url)
        page.get_by_role("button", name="Account of admin").click()
        page.get_by_role("menuitem", name="Settings").click()
        expect(page.get_by_role("heading", name="Units and times")).to_be_visible()


def test_a_choice_that_cannot_be_saved_says_so_and_is_saved_later(admin: Visitor) -> None:
    page = admin.open("/settings")
    admin.forgive(r"/auth/me/preferences$")
    page.route("**/auth/me/preferences", lambda route: route.abort())
    page.get_by_text("Bytes per second", exact=True).click()
    expect(page.get_by_text("Not saved yet.")).to_be_visible()
    expect(page.get_by_test_id("units-example")).to_contain_text("iB/s")

    page.unroute("**/auth/me/preferences")
    with page.expect_response("**/auth/me/preferences") as answered:
        page.get_by_role("button", name="Try again").click()
    assert answered.value.json()["rate_unit"] == "bytes"
    expect(page.get_by_text("Not saved yet.")).to_have_count(0)


def _choose(page: Page, name: str) -> None:
    with page.expect_response("**/auth/me/preferences"):
        page.get_by_text(name, exact=True).click()


def _shows_choices(page: Page) -> None:
    for name in ("Bytes per second", "AM/PM"):
        expect(page.get_by_role("radio", name=name)).to_be_checked()
    example = page.get_by_test_id("units-example")
    expect(example).to_contain_text(OFFSET)
    expect(example).to_contain_text(re.compile(r"\d [ap]m", re.IGNORECASE))


def _charts_and_tables_follow(admin: Visitor, stack: OwnStack) -> None:
    page = admin.open(f"/servers/{stack.vps_id}")
    admin.wait_until_painted("Memory", "--ok")
    over = admin.chart("Network").locator(".u-over")
    box = over.bounding_box()
    assert box is not None
    # A new server has samples at the right end only.
    over.hover(position={"x": box["width"] - 8, "y": box["height"] / 2})
    tip = page.get_by_test_id("chart-tip").first
    expect(tip.locator("time")).to_have_text(INSTANT)
    expect(admin.chart("Network").get_by_test_id("chart-tip")).to_contain_text("iB/s")
    expect(admin.chart("Network").get_by_role("cell").first).to_contain_text("iB/s")
    interfaces = page.get_by_role("table").filter(has_text="Received")
    expect(interfaces.get_by_role("cell").first).to_contain_text("iB/s")

    page.get_by_role("link", name="History").click()
    picker = page.locator(".ant-picker-range input").first
    expect(picker).to_have_value(re.compile(r"\d\d/\d\d/\d{4} \d\d:\d\d [AP]M", re.IGNORECASE))

    page.goto(stack.url)
    page.get_by_text("Table", exact=True).click()
    expect(page.get_by_test_id("server-row").first).to_contain_text("iB/s")
    page.get_by_text("Cards", exact=True).click()
