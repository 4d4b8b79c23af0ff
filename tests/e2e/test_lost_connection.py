"""An open page while the gateway is away and when it returns."""

import socket

from playwright.sync_api import expect

from tests.e2e.own_stack import OwnStack
from tests.e2e.visitor import Visitor

AWAY = r"ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_SOCKET_NOT_CONNECTED|ERR_EMPTY_RESPONSE"


def test_a_lost_connection_is_said_and_recovers_without_a_reload(
    admin: Visitor, stack: OwnStack
) -> None:
    admin.forgive(AWAY)
    admin.forgive(r"WebSocket connection to ")
    page = admin.open()
    expect(admin.card(socket.gethostname())).to_be_visible()
    page.evaluate("window.loadedOnce = true")
    banner = page.get_by_role("status").filter(has_text="The connection to Flotilla is lost")
    expect(banner).to_have_count(0)

    stack.supervisor("stop", "gateway")
    try:
        expect(banner).to_be_visible()
        expect(admin.card(socket.gethostname())).to_be_visible()
    finally:
        stack.supervisor("start", "gateway")
    expect(banner).to_have_count(0, timeout=40_000)
    admin.wait_for_samples(socket.gethostname())
    assert page.evaluate("window.loadedOnce") is True


def test_a_page_opened_while_the_gateway_is_away_says_so_and_loads_by_itself(
    admin: Visitor, stack: OwnStack
) -> None:
    admin.forgive(AWAY)
    admin.forgive(r"WebSocket connection to ")
    admin.forgive(r"UnreachableError")
    page = admin.open(f"/servers/{stack.vps_id}/history")
    expect(admin.chart("CPU")).to_be_visible()
    stack.supervisor("stop", "gateway")
    try:
        page.get_by_role("link", name="Settings").last.click()
        expect(page.get_by_role("alert")).to_contain_text("Flotilla does not answer")
    finally:
        stack.supervisor("start", "gateway")
    expect(page.get_by_label("Report every")).to_be_visible(timeout=40_000)
