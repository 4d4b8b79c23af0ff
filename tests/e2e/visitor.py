"""A browser that records its requests and its errors."""

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
PATIENCE = 30_000.0  # ms

# Without a login session, the console's first request is refused, and Chromium logs that.
NO_SESSION = r"401 .* /api/v1/auth/refresh$"
# An interface of this machine appeared or vanished, for example for a container. The page retries.
OTHER_NETWORK = r"net::ERR_NETWORK_CHANGED"

# Pixels of a plot that have the colour of a line. Axes and grid have other colours.
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
        """Wait until a new sample moved the line of the card."""
        card = self.card(name).element_handle()
        line = "card => card.querySelector('polyline').getAttribute('points')"
        before = card.evaluate(line)
        self.page.wait_for_function(
            f"([card, before]) => ({line})(card) !== before", arg=[card, before]
        )

    def chart(self, title: str) -> Locator:
        heading = self.page.get_by_role("heading", name=title, exact=True)
        return self.page.get_by_test_id("chart").filter(has=heading)

    def painted(self, title: str, colour: str) -> int:
        """Return the number of pixels of a chart that have the colour."""
        return int(self.chart(title).evaluate(PAINTED, colour))

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
    """Fail the test if the page sent requests to other hosts or logged errors."""
    settings = {
        "viewport": WIDE,
        "locale": "en-GB",
        "color_scheme": "dark",
        # On a busy machine, a click during the animation of a dialog would miss its button.
        "reduced_motion": "reduce",
    } | options
    context = browser.new_context(**settings)
    visitor = Visitor(stack, context)
    try:
        yield visitor
        assert not visitor.foreign, visitor.foreign
        assert not visitor.unforgiven(), visitor.unforgiven()
    except BaseException as error:
        for page in context.pages:
            page.screenshot(path=state_folder() / f"reports/e2e-failed-{id(page)}.png")
            error.add_note(f"{page.url} showed:\n{page.locator('body').aria_snapshot()}")
        error.add_note(f"The page logged: {visitor.complaints}")
        raise
    finally:
        context.close()
