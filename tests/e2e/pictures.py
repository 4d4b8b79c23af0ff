"""Pictures of a page in both widths, and its faults."""

import json
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, ViewportSize

from deploy.local.settings import REPOSITORY
from tests.e2e.visitor import PHONE, WIDE

AXE = REPOSITORY / "web/node_modules/axe-core/axe.min.js"
GRAVE = {"serious", "critical"}
SIZES = {"wide": WIDE, "phone": PHONE}
# The width by which content is wider than the page.
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def look(page: Page, name: str, theme: str, pictures: Path, *, ours: bool = True) -> list[str]:
    """Take pictures of a page; return its faults. A page that is not `ours` is checked for its width only."""
    faults = []
    for size, viewport in SIZES.items():
        page.set_viewport_size(ViewportSize(width=viewport["width"], height=viewport["height"]))
        page.screenshot(path=pictures / f"{name}-{theme}-{size}.png", animations="disabled")
        where = f"{name} ({theme}, {size})"
        if over := page.evaluate(OVERFLOW):
            faults.append(f"{where}: {over} px wider than the window")
        if ours:
            faults += [f"{where}: {fault}" for fault in _axe(page)]
    page.set_viewport_size(ViewportSize(width=WIDE["width"], height=WIDE["height"]))
    return faults


def _axe(page: Page) -> list[str]:
    if page.evaluate("typeof axe") == "undefined":
        page.evaluate(AXE.read_text())
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{fault['id']}: {node['target']} {json.dumps(node['failureSummary'])}"
        for fault in found["violations"]
        if fault["impact"] in GRAVE
        for node in fault["nodes"]
    ]
