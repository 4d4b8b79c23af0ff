"""The console's first load over a slow line: bytes, requests, and the time until it is usable.

Chromium has an empty cache and adds the line's latency to each request. A page is usable when the
first card of the fleet, or the form of the log-in, is on screen.
"""

from __future__ import annotations

import shutil
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from deploy.local.machine import gateway_url
from deploy.local.settings import Settings
from tests.bench.tables import Table

RUNS = 7
LATENCY_MS = 200
BITS_PER_SECOND = 4_000_000
CARD = '[data-testid="server-card"]'
FORM = 'input[autocomplete="username"]'
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")

# Note when an element is there and painted, in ms since the navigation began.
WATCH = """(selector) => {
  const look = () => {
    if (!document.querySelector(selector)) return requestAnimationFrame(look);
    requestAnimationFrame(() => setTimeout(() => { window.benchUsable = performance.now(); }));
  };
  look();
}"""
# When the last of the code and of the servers had arrived: the line's part of the time.
ARRIVED = """() => Math.max(...performance.getEntriesByType("resource")
  .filter(({ name, startTime }) => /\\.js$|\\/vps\\?/.test(name) && startTime < window.benchUsable)
  .map(({ responseEnd }) => responseEnd).filter((end) => end < window.benchUsable))"""
FIRST_PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"


@dataclass(frozen=True, slots=True)
class Load:
    """One page: medians of several loads."""

    page: str
    received: int
    """Bytes over the wire, with headers, until the page was quiet."""
    requests: int
    first_paint_ms: float
    arrived_ms: float
    """When the last of the code and of the servers had arrived."""
    usable_ms: float
    fastest_ms: float
    slowest_ms: float


def measure(settings: Settings) -> list[Load]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_chromium(), args=QUIET)
        try:
            context = browser.new_context()
            _log_in(context, settings)
            state = context.storage_state()
            context.close()
            url = gateway_url(settings)
            return [
                _load(browser, url, "fleet, with a login session", CARD, state),
                _load(browser, url, "log-in", FORM, None),
            ]
        finally:
            browser.close()


def _load(browser: Browser, url: str, name: str, selector: str, state: object) -> Load:
    seen = [_once(browser, url, selector, state) for _ in range(RUNS)]
    received, requests, paint, arrived, usable = zip(*seen, strict=True)
    return Load(
        name,
        round(statistics.median(received)),
        round(statistics.median(requests)),
        round(statistics.median(paint)),
        round(statistics.median(arrived)),
        round(statistics.median(usable)),
        round(min(usable)),
        round(max(usable)),
    )


def _once(
    browser: Browser, url: str, selector: str, state: object
) -> tuple[int, int, float, float, float]:
    context = browser.new_context(storage_state=state, viewport={"width": 1440, "height": 900})  # type: ignore[arg-type]
    try:
        page = context.new_page()
        sizes: list[float] = []
        addresses: list[str] = []
        _slow_down(context, page, sizes, addresses)
        page.add_init_script(f"({WATCH})({selector!r})")
        page.goto(url, wait_until="commit")
        page.wait_for_function("() => window.benchUsable", timeout=60_000)
        page.wait_for_load_state("networkidle")
        usable: float = page.evaluate("() => window.benchUsable")
        paint: float = page.evaluate(FIRST_PAINT)
        arrived: float = page.evaluate(ARRIVED)
        return round(sum(sizes)), len(addresses), paint, arrived, usable
    finally:
        context.close()


def _slow_down(
    context: BrowserContext, page: Page, sizes: list[float], addresses: list[str]
) -> None:
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    session.on("Network.requestWillBeSent", lambda event: addresses.append(event["request"]["url"]))
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    session.send(
        "Network.emulateNetworkConditions",
        {
            "offline": False,
            "latency": LATENCY_MS,
            "downloadThroughput": BITS_PER_SECOND / 8,
            "uploadThroughput": BITS_PER_SECOND / 8,
        },
    )


def _log_in(context: BrowserContext, settings: Settings) -> None:
    page = context.new_page()
    page.goto(gateway_url(settings))
    page.get_by_label("Username").fill("admin")
    password = settings.admin_password.read_text().strip()
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Log in").click()
    page.locator(CARD).first.wait_for(timeout=60_000)


def _chromium() -> str:
    found = shutil.which("chromium")
    if found is None:
        sys.exit("Chromium is not installed. Run `make chromium`.")
    return found


def table(loads: Sequence[Load]) -> Table:
    cells = [
        (
            *(load.page, f"{load.received / 1e3:.0f} kB", str(load.requests)),
            *(f"{ms:.0f} ms" for ms in (load.first_paint_ms, load.arrived_ms, load.usable_ms)),
            f"{load.fastest_ms:.0f} to {load.slowest_ms:.0f} ms",
        )
        for load in loads
    ]
    title = (
        f"First load of the console at {BITS_PER_SECOND / 1e6:g} Mbit/s and"
        f" {LATENCY_MS} ms, median of {RUNS}"
    )
    head = ("page", "received", "requests", "first paint", "arrived", "usable", "range")
    return Table(title, head, cells)
