"""The fleet page, with live values of this machine."""

import re
import socket

from playwright.sync_api import Locator, expect

from deploy.local.waiting import wait_for
from tests.e2e.own_stack import OwnStack
from tests.e2e.visitor import Visitor

NUMBER = re.compile(r"^\d+%$")


def test_this_machine_is_online_and_its_cpu_moves_by_itself(admin: Visitor) -> None:
    admin.open()
    card = admin.card(socket.gethostname())
    expect(card).to_have_attribute("data-status", "online")
    _figure(card)
    # A fully loaded machine may show the same figure for a long time, but its line still moves.
    admin.wait_for_samples(socket.gethostname())


def test_the_card_shows_the_cpu_use_that_the_agent_measured(
    admin: Visitor, stack: OwnStack
) -> None:
    admin.open()
    card = admin.card(socket.gethostname())

    def is_measured() -> bool:
        found = stack.psql(
            "SELECT round(cpu_usage) FROM performance_metrics"
            " WHERE time > now() - interval '1 minute'"
        )
        return str(_figure(card)) in found.split()

    wait_for(is_measured, seconds=30, otherwise="the card shows another figure than the samples")


def test_the_strip_filters_the_search_finds_and_the_table_is_remembered(
    admin: Visitor, stack: OwnStack
) -> None:
    name = socket.gethostname()
    page = admin.open()
    expect(admin.card(name)).to_be_visible()
    strip = page.get_by_role("region", name="Summary of the fleet")
    strip.get_by_role("button", name="Offline").click()
    expect(page).to_have_url(f"{stack.url}/?show=offline")
    expect(page.get_by_text("No server matches")).to_be_visible()
    page.get_by_role("button", name="Show all servers").click()
    page.get_by_role("searchbox", name="Find a server").fill("no such name")
    expect(page.get_by_text("No server matches")).to_be_visible()
    page.get_by_role("searchbox", name="Find a server").fill(name.upper())
    expect(admin.card(name)).to_be_visible()

    page.get_by_text("Table", exact=True).click()
    page.reload()
    row = page.get_by_test_id("server-row").filter(has_text=name)
    expect(row).to_have_attribute("data-status", "online")
    page.get_by_text("Cards", exact=True).click()
    expect(admin.card(name)).to_be_visible()


def test_search_and_order_are_in_the_address_and_survive_the_way_back(
    admin: Visitor, stack: OwnStack
) -> None:
    name = socket.gethostname()
    page = admin.open("/?sort=cpu")
    expect(page).to_have_title(re.compile(r"^(\(\d+\) )?Fleet · Flotilla$"))
    page.get_by_role("searchbox", name="Find a server").fill(name)
    expect(page).to_have_url(f"{stack.url}/?sort=cpu&search={name}")
    expect(page.get_by_role("combobox", name="Sort the servers by")).to_have_value("cpu")

    page.get_by_text("Table", exact=True).click()
    header = page.get_by_role("columnheader", name="Memory")
    header.get_by_role("button").click()
    expect(header).to_have_attribute("aria-sort", "descending")
    header.get_by_role("button").click()
    expect(header).to_have_attribute("aria-sort", "ascending")
    expect(page).to_have_url(f"{stack.url}/?sort=memory&search={name}&order=asc")

    page.get_by_test_id("server-row").get_by_role("link", name=name).click()
    expect(page).to_have_title(re.compile(rf"^(\(\d+\) )?{name} · Flotilla$"))
    page.get_by_role("link", name="History").click()
    expect(page).to_have_title(re.compile(rf"^(\(\d+\) )?History · {name} · Flotilla$"))
    page.go_back()
    page.go_back()
    expect(page.get_by_role("searchbox", name="Find a server")).to_have_value(name)
    expect(header).to_have_attribute("aria-sort", "ascending")
    page.get_by_text("Cards", exact=True).click()


def test_the_keyboard_alone_opens_a_server(admin: Visitor, stack: OwnStack) -> None:
    page = admin.open()
    expect(admin.card(socket.gethostname())).to_be_visible()
    page.keyboard.press("Control+k")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.type(socket.gethostname())
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{stack.url}/servers/{stack.vps_id}")
    expect(page.get_by_role("dialog")).to_have_count(0)


def _figure(card: Locator) -> int:
    figure = card.get_by_test_id("cpu")
    expect(figure).to_have_text(NUMBER)
    return int(figure.inner_text().removesuffix("%"))
