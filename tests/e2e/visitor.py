"""A person's browser, with a record of all it asked for and all it complained of."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page

from deploy.local.settings import state_folder
from tests.e2e.own_stack import OwnStack

WIDE = {"width": 1440, "height": 900}
PHONE = {"width": 360, "height": 780}
PATIENCE = 15_000.0  # ms

# Without a session the first thing the console asks for is refused, and Chromium says so.
NO_SESSION = r"401 .* /api/v1/auth/refresh$"
# An interface of this machine came or went, as container engines have it; the page asks again.
OTHER_NETWORK = r"net::ERR_NETWORK_CHANGED"

# Pixels of a plot in the colour of a line, which axes and grid do not have.
PAINTED = """(figure, variable) => {
  const canvas = figure.querySelector("canvas");
  if (!canvas) return 0;
  const probe = document.createElement("canvas").getContext("2d");
  probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(variable).trim();
  probe.fillRect(0, 0, 1, 1);
  const [r, g, b] = probe.getImageData(0, 0, 1, 1).data;
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let found = 0;
  for (let at = 0; at < data.length; at += 4) {
    const far = Math.abs(data[at] - r) + Math.abs(data[at + 1] - g) + Math.abs(data[at + 2] - b);
    if (data[at + 3] > 128 && far < 60) found += 1;
  }
  return found;
}"""


class Visitor:
    def __init__(self, stack: OwnStack, context: BrowserContext) -> None:
        self.stack = stack
        self.context = context
        self.complaints: list[str] = []
        self.foreign: list[str] = []
        self.forgiven = [NO_SESSION, OTHER_NETWORK]
        context.on("request", lambda request: self._note_address(request.url))
        context.on("console", self._note_message)
        context.on("weberror", lambda error: self.complaints.append(f"thrown: {error.error}"))
        self.page = context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.page.on("websocket", lambda socket: self._note_address(socket.url))

    def open(self, path: str = "/") -> Page:
        self.page.goto(self.stack.url + path)
        return self.page

    def log_in(self, password: str | None = None) -> None:
        self.page.get_by_label("Username").fill("admin")
        self.page.get_by_label("Password", exact=True).fill(password or self.stack.password)
        self.page.get_by_role("button", name="Log in").click()

    def card(self, name: str) -> Locator:
        return self.page.locator(f'[data-testid="server-card"][data-name="{name}"]')

    def wait_for_samples(self, name: str) -> None:
        """Until the card's line has moved, by a sample that came just now."""
        card = self.card(name).element_handle()
        line = "card => card.querySelector('polyline').getAttribute('points')"
        before = card.evaluate(line)
        self.page.wait_for_function(
            f"([card, before]) => ({line})(card) !== before", arg=[card, before], timeout=10_000
        )

    def chart(self, title: str) -> Locator:
        heading = self.page.get_by_role("heading", name=title, exact=True)
        return self.page.get_by_test_id("chart").filter(has=heading)

    def wait_until_painted(self, title: str, colour: str) -> None:
        figure = self.chart(title).element_handle()
        self.page.wait_for_function(
            f"([figure, colour]) => ({PAINTED})(figure, colour) > 5", arg=[figure, colour]
        )

    def forgive(self, pattern: str) -> None:
        self.forgiven.append(pattern)

    def unforgiven(self) -> list[str]:
        return [
            said
            for said in self.complaints
            if not any(re.search(pattern, said) for pattern in self.forgiven)
        ]

    def _note_address(self, address: str) -> None:
        parts = urlsplit(address)
        if parts.scheme not in {"data", "blob"} and parts.netloc != urlsplit(self.stack.url).netloc:
            self.foreign.append(address)

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            path = urlsplit(message.location["url"]).path
            self.complaints.append(f"{message.text} {path}")


@contextmanager
def visiting(browser: Browser, stack: OwnStack, **options: Any) -> Iterator[Visitor]:
    """What the page asked of other hosts or complained of fails the test."""
    settings = {"viewport": WIDE, "locale": "en-GB", "color_scheme": "dark"} | options
    context = browser.new_context(**settings)
    try:
        visitor = Visitor(stack, context)
        yield visitor
        assert not visitor.foreign, visitor.foreign
        assert not visitor.unforgiven(), visitor.unforgiven()
    except BaseException:
        for page in context.pages:
            page.screenshot(path=state_folder() / f"reports/e2e-failed-{id(page)}.png")
        raise
    finally:
        context.close()
