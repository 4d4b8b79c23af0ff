"""The fleet page: this machine's card lives."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from playwright.sync_api import Locator, expect

from tests.e2e.own_stack import OwnStack
from tests.e2e.visitor import Visitor

BUSY = 90  # per cent
NUMBER = re.compile(r"^\d+%$")


def test_this_machine_is_online_and_its_cpu_moves_by_itself(admin: Visitor) -> None:
    admin.open()
    card = admin.card(socket.gethostname())
    expect(card).to_have_attribute("data-status", "online")
    _figure(card)
    # A machine that is wholly busy shows the same figure for long; its line moves all the same.
    admin.wait_for_samples(socket.gethostname())


def test_a_busy_loop_on_this_machine_raises_the_card(admin: Visitor) -> None:
    page = admin.open()
    card = admin.card(socket.gethostname())
    _figure(card)
    cpu = card.get_by_test_id("cpu").element_handle()
    page.wait_for_function(f"cpu => parseInt(cpu.textContent) < {BUSY}", arg=cpu, timeout=60_000)
    with _busy():
        page.wait_for_function(f"cpu => parseInt(cpu.textContent) >= {BUSY}", arg=cpu)


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


@contextmanager
def _busy() -> Iterator[None]:
    """Every core of this machine."""
    with ExitStack() as loops:
        for _ in range(os.cpu_count() or 1):
            # Nice, so that the stack and the browser can still say so.
            command = ["nice", "-n", "10", sys.executable, "-c", "while True: pass"]
            loops.callback(_end, subprocess.Popen(command))
        yield


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(10)
