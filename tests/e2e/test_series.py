"""Custom series in the history of a server."""

from pathlib import Path

from playwright.sync_api import expect

from tests.e2e.agents import agent
from tests.e2e.own_stack import OwnStack
from tests.e2e.visitor import Visitor

HOSTILE = "<img/src=x>"
PRINT = (
    f"echo 'queue_length 12 queue=mail'; echo \"queue_length 7 'queue={HOSTILE}'\";"
    " echo 'freezer_celsius -18.5'"
)
COLLECTOR = f"[{{command = ['/bin/sh', '-c', '''{PRINT}'''], interval = 1}}]"


def test_what_a_collector_prints_is_drawn_by_name_and_zoomed_with_the_rest(
    admin: Visitor, stack: OwnStack, tmp_path: Path
) -> None:
    with agent(stack, tmp_path / "a", "collecting", {}, {"collector": COLLECTOR}) as vps_id:
        page = admin.open(f"/servers/{vps_id}/history?range=1h")
        section = page.get_by_role("region", name="Custom metrics")
        queues = admin.chart("queue_length")
        queues.scroll_into_view_if_needed(timeout=60_000)

        admin.wait_until_painted("queue_length", "--violet")
        for label in ("queue=mail", f"queue={HOSTILE}"):
            expect(queues.get_by_text(label, exact=True)).to_be_visible()
        admin.chart("freezer_celsius").scroll_into_view_if_needed()
        figures = admin.chart("freezer_celsius").get_by_role("cell")
        expect(figures).to_have_text(["-18.5", "-18.5", "-18.5"])
        expect(section.get_by_test_id("chart")).to_have_count(2)

        box = queues.locator(".u-over").bounding_box()
        assert box is not None
        middle = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + box["width"] * 0.5, middle)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] - 2, middle, steps=5)
        with page.expect_response(lambda answer: "/metrics/historical" in answer.url):
            page.mouse.up()
        expect(page.get_by_role("button", name="Reset")).to_be_visible()


def test_a_server_without_series_is_told_how_to_have_some(admin: Visitor, stack: OwnStack) -> None:
    page = admin.open(f"/servers/{stack.vps_id}/history")
    section = page.get_by_role("region", name="Custom metrics")

    expect(section.get_by_text("This server sends no custom metrics yet.")).to_be_visible()
    section.get_by_role("button", name="How to add a collector").click()
    expect(section.get_by_text("[[collector]]")).to_be_visible()
    expect(section.get_by_test_id("chart")).to_have_count(0)
