"""The page of a server: live charts, history, settings."""

import re
import socket
from datetime import datetime
from functools import partial
from itertools import pairwise
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import Response, expect
from websockets.sync.client import ClientConnection, connect

from deploy.local.waiting import wait_for
from tests.e2e.conftest import Visit
from tests.e2e.own_stack import OwnStack, lines_of_json
from tests.e2e.visitor import Visitor

HOUR = 3600
RANGES = {"1 h": HOUR, "24 h": 24 * HOUR, "7 d": 7 * 24 * HOUR, "30 d": 30 * 24 * HOUR}
# The newest sample, repeated over the last 50 minutes.
EARLIER = """
INSERT INTO performance_metrics
SELECT (jsonb_populate_record(sample, jsonb_build_object('time', earlier))).*
FROM (
    SELECT sample FROM performance_metrics sample
    WHERE vps_id = '{vps_id}' ORDER BY time DESC LIMIT 1
) newest,
    generate_series(now() - interval '50 min', now() - interval '1 min', interval '30 s') earlier
"""
PICTURE = "figure => figure.querySelector('canvas').toDataURL()"


@pytest.fixture(scope="module")
def history(stack: OwnStack) -> None:
    """The machine has samples of an hour, so that the chart of an hour has a line to look for."""
    with stack.logged_in() as client:
        path = f"/vps/{stack.vps_id}/metrics/historical"
        wait_for(
            lambda: bool(client.get(path).json()["time"]), seconds=30, otherwise="No sample came."
        )
    stack.psql(EARLIER.format(vps_id=stack.vps_id))


def test_live_charts_draw_and_move(admin: Visitor, stack: OwnStack) -> None:
    page = admin.open(f"/servers/{stack.vps_id}")
    for title, colour in (("CPU", "--accent"), ("Memory", "--ok")):
        admin.wait_until_painted(title, colour)
    figure = admin.chart("CPU").element_handle()
    before = figure.evaluate(PICTURE)
    page.wait_for_function(f"([f, before]) => ({PICTURE})(f) !== before", arg=[figure, before])
    for title in ("Network", "Disk I/O", "Load", "Connections", "Processes"):
        expect(admin.chart(title).locator("canvas")).to_be_visible()
    for title in ("Cores", "Disks", "Network interfaces"):
        expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible()


@pytest.mark.usefixtures("history")
def test_history_asks_for_each_range_and_draws_it(admin: Visitor, stack: OwnStack) -> None:
    page = admin.open(f"/servers/{stack.vps_id}")
    page.get_by_role("link", name="History").click()
    ranges = page.get_by_role("radiogroup", name="Time range")
    for label, seconds in RANGES.items():
        with page.expect_response(partial(_asks_for, seconds)) as answered:
            ranges.get_by_text(label, exact=True).click()
        assert answered.value.status == httpx.codes.OK
        expect(page.locator("[aria-busy=true]")).to_have_count(0)
    ranges.get_by_text("1 h", exact=True).click()
    admin.wait_until_painted("Memory", "--ok")


@pytest.mark.usefixtures("history")
def test_a_brush_zooms_history_and_reset_leads_back(admin: Visitor, stack: OwnStack) -> None:
    page = admin.open(f"/servers/{stack.vps_id}/history?range=1h")
    admin.wait_until_painted("CPU", "--accent")
    over = admin.chart("CPU").locator(".u-over")
    box = over.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.5, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, middle, steps=5)
    with page.expect_response(lambda answer: "/metrics/historical" in answer.url) as answered:
        page.mouse.up()
    assert _span(answered.value) == pytest.approx(HOUR / 4, rel=0.1)
    query = parse_qs(urlsplit(page.url).query)
    assert set(query) == {"from", "to"}

    page.reload()
    expect(page.get_by_role("button", name="Reset")).to_be_visible()
    page.get_by_role("button", name="Reset").click()
    admin.wait_until_painted("CPU", "--accent")
    assert "range" in parse_qs(urlsplit(page.url).query)


@pytest.mark.usefixtures("history")
def test_charts_share_a_cursor_and_hide_lines(admin: Visitor, stack: OwnStack) -> None:
    page = admin.open(f"/servers/{stack.vps_id}/history?range=1h")
    admin.wait_until_painted("CPU", "--accent")
    cpu, memory = admin.chart("CPU"), admin.chart("Memory")
    box = cpu.locator(".u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 40)
    tip = cpu.get_by_test_id("chart-tip")
    expect(tip.get_by_role("listitem", include_hidden=True)).to_have_count(3)
    expect(memory.get_by_test_id("chart-tip").locator("time")).to_have_text(
        tip.locator("time").inner_text()
    )

    total = cpu.get_by_role("button", name="total")
    expect(total).to_have_attribute("aria-pressed", "true")
    total.click()
    expect(total).to_have_attribute("aria-pressed", "false")
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 40)
    expect(tip.get_by_role("listitem", include_hidden=True)).to_have_count(2)
    assert admin.painted("CPU", "--accent") == 0
    total.click()
    admin.wait_until_painted("CPU", "--accent")


@pytest.mark.usefixtures("history")
def test_the_keyboard_and_a_finger_choose_a_time(visit: Visit, stack: OwnStack) -> None:
    with visit(has_touch=True) as visitor:
        page = visitor.open(f"/servers/{stack.vps_id}/history?range=1h")
        visitor.wait_until_painted("CPU", "--accent")
        cpu, memory = visitor.chart("CPU"), visitor.chart("Memory")
        slider = cpu.get_by_role("slider", name="CPU: choose a time")
        slider.focus()
        slider.press("Home")
        expect(slider).to_have_attribute("aria-valuetext", re.compile(r": total [\d.]+ %, iowait"))
        expect(memory.get_by_test_id("chart-tip")).to_be_visible()
        slider.press("Escape")
        expect(memory.get_by_test_id("chart-tip")).to_have_count(0)

        box = cpu.locator(".u-over").bounding_box()
        assert box is not None
        page.touchscreen.tap(box["x"] + box["width"] * 0.5, box["y"] + 40)
        expect(memory.get_by_test_id("chart-tip")).to_be_visible()


def test_a_server_is_renamed_and_the_fleet_knows_at_once(admin: Visitor, stack: OwnStack) -> None:
    page = admin.open(f"/servers/{stack.vps_id}/settings")
    for name in ("测试 server", socket.gethostname()):
        form = page.locator("form").filter(has=page.get_by_label("Name"))
        form.get_by_label("Name").fill(name)
        form.get_by_role("button", name="Save").click()
        expect(form.get_by_role("status")).to_have_text("Saved")
        expect(page.get_by_role("heading", level=1)).to_contain_text(name)
        page.get_by_role("link", name="Fleet").first.click()
        expect(admin.card(name)).to_be_visible()
        page.go_back()


def test_a_report_interval_of_a_second_is_applied_without_a_restart(
    admin: Visitor, stack: OwnStack
) -> None:
    with stack.logged_in() as client:
        address = stack.live_address(client, f"vps/{stack.vps_id}/metrics/realtime")
        with connect(address, proxy=None) as samples:
            _choose_interval(admin, stack, "1 s")
            _wait_for_pace(samples, 1.0)
            _choose_interval(admin, stack, "As configured on the server")
            _wait_for_pace(samples, 2.0)
        config = client.get(f"/vps/{stack.vps_id}").json()["agent_config"]
    assert config["report_interval_seconds"] is None


def _choose_interval(admin: Visitor, stack: OwnStack, label: str) -> None:
    page = admin.open(f"/servers/{stack.vps_id}/settings")
    form = page.locator("form").filter(has_text="Report every")
    form.get_by_label("Report every").click()
    page.locator(".ant-select-item-option").get_by_text(label, exact=True).first.click()
    form.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved and sent to the agent.")).to_be_visible()


def _wait_for_pace(samples: ClientConnection, seconds: float) -> None:
    """Find three consecutive samples with this interval among the next ten."""
    times: list[datetime] = []
    for _ in range(10):
        event = lines_of_json(str(samples.recv(timeout=10)))[0]
        if event["event"] == "sample":
            times.append(datetime.fromisoformat(event["time"]))
        gaps = [(b - a).total_seconds() for a, b in pairwise(times)]
        if len(gaps) >= 3 and all(abs(gap - seconds) < 0.25 for gap in gaps[-3:]):
            return
    raise AssertionError(f"not every {seconds} s: {times}")


def _asks_for(seconds: float, answer: Response) -> bool:
    return "/metrics/historical" in answer.url and abs(_span(answer) - seconds) <= 2


def _span(answer: Response) -> float:
    query = parse_qs(urlsplit(answer.url).query)
    start, end = (datetime.fromisoformat(query[name][0]) for name in ("start", "end"))
    return (end - start).total_seconds()
