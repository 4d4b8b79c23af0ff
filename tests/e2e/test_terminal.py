"""Terminals in the browser: real shells on this machine, with the real stack."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.agents import agent
from tests.e2e.conftest import Visit
from tests.e2e.own_stack import OwnStack
from tests.e2e.pictures import look
from tests.e2e.visitor import Visitor

SESSION = re.compile(r"[?&]session=([0-9a-f]{32})")
CLIPBOARD = ["clipboard-read", "clipboard-write"]
HOSTILE = (
    r"printf '<img src=x onerror=alert(1)>\033]0;owned\007\033]2;owned\007"
    r"\033]52;c;b3duZWQ=\007\033]8;;javascript:alert(2)\033\\a link\033]8;;\033\\\n'"
)


@pytest.fixture(scope="module")
def servers(stack: OwnStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Ids by name: one server that allows a shell, and one that allows nothing."""
    folder = tmp_path_factory.mktemp("agents")
    with ExitStack() as agents:
        yield {
            name: agents.enter_context(agent(stack, folder / name, name, policy))
            for name, policy in {"fra-web-01": {"shell": "true"}, "ams-mail-01": {}}.items()
        }


@pytest.fixture
def server(servers: dict[str, str], stack: OwnStack) -> Iterator[str]:
    """The server with a shell. Its sessions end with the test."""
    yield servers["fra-web-01"]
    with stack.logged_in() as client:
        sessions = client.get(f"/vps/{servers['fra-web-01']}/shell-sessions").json()["items"]
        for session in sessions:
            if session["ended_at"] is None:
                client.delete(f"/shell-sessions/{session['id']}")


def test_a_terminal_runs_resizes_and_is_the_same_after_a_reload(
    admin: Visitor, server: str
) -> None:
    page = _opened(admin, server)
    session = _session(page)
    _type(page, "stty size")
    expect(_screen(page)).to_contain_text(_size(page))
    wide = _size(page)

    page.set_viewport_size({"width": 900, "height": 700})
    _wait_until(page, lambda: _size(page) != wide)
    _type(page, "clear; stty size")
    expect(_screen(page)).to_contain_text(_size(page))

    _type(page, "top")
    expect(_screen(page)).to_contain_text("load average")
    page.reload()
    _assert_connected(page)
    assert _session(page) == session
    expect(_screen(page)).to_contain_text("load average")
    _assert_moves(page)
    page.keyboard.press("q")
    _expect_prompt(page)
    _type(page, "clear; echo still-$((40 + 2))")
    expect(_screen(page)).to_contain_text("still-42")


def test_another_device_of_the_same_person_takes_over(
    admin: Visitor, server: str, visit: Visit
) -> None:
    page = _opened(admin, server)
    _type(page, "echo from-the-desk")
    with visit(viewport={"width": 360, "height": 780}) as phone:
        phone.open(f"/servers/{server}/terminal")
        phone.page.get_by_role("button", name="Continue").click()
        _assert_connected(phone.page)
        expect(_screen(phone.page)).to_contain_text("from-the-desk")
        expect(page.get_by_text("You are only watching this session.")).to_be_visible()
        # The row of keys that the keyboard of a phone lacks.
        _type(phone.page, "echo begun-$((3 + 4)); cat")
        expect(_screen(phone.page)).to_contain_text("begun-7")
        phone.page.get_by_role("button", name="Ctrl").click()
        phone.page.keyboard.type("c")
        expect(_screen(phone.page)).to_contain_text("^C")
        _expect_prompt(phone.page)
        _type(phone.page, "echo from-the-$((3 - 2))-pocket")
        expect(_screen(page)).to_contain_text("from-the-1-pocket")
    page.get_by_role("button", name="Take control").click()
    expect(page.get_by_text("Watching admin")).to_be_hidden()
    _assert_connected(page)
    _type(page, "echo back-at-$((1 + 1))")
    expect(_screen(page)).to_contain_text("back-at-2")


def test_several_lines_are_pasted_only_after_a_look(visit: Visit, server: str) -> None:
    with visit(permissions=CLIPBOARD) as visitor:
        page = _opened(visitor, server)
        _type(page, "cat -v")
        _copy(page, "one line")
        page.keyboard.press("Control+Shift+V")
        expect(_screen(page)).to_contain_text("one line")

        _copy(page, "first line\nrm -rf \u001b[201~everything\u0003\n")
        page.keyboard.press("Control+Shift+V")
        dialog = page.get_by_role("dialog", name="Paste 2 lines?")
        expect(dialog.get_by_test_id("pasted")).to_have_text(
            "first line\nrm -rf [201~everything\n", use_inner_text=False
        )
        expect(dialog.get_by_text("2 control characters were removed")).to_be_visible()
        dialog.get_by_role("button", name="Cancel").click()
        expect(dialog).to_be_hidden()
        expect(page.get_by_test_id("terminal").locator("textarea")).to_be_focused()
        page.keyboard.press("Control+Shift+V")
        expect(dialog).to_be_visible()
        assert "first line" not in _screen(page).inner_text()
        dialog.get_by_role("button", name="Paste").click()
        expect(_screen(page)).to_contain_text("rm -rf [201~everything")
        assert "^C" not in _screen(page).inner_text()
        # The terminal has the focus again.
        expect(dialog).to_be_hidden()
        expect(page.get_by_test_id("terminal").locator("textarea")).to_be_focused()
        page.keyboard.type("typed on")
        expect(_screen(page)).to_contain_text("typed on")


def test_what_is_selected_is_copied_and_found(visit: Visit, server: str) -> None:
    with visit(permissions=CLIPBOARD) as visitor:
        page = _opened(visitor, server)
        _type(page, "clear; for n in 1 2 3; do echo needle-$n; done")
        row = _screen(page).locator("> div", has_text="needle-3")
        expect(row).to_be_visible()
        page.mouse.dblclick(*_within(row))
        _wait_until(page, lambda: "needle" in _copied(page))

        page.keyboard.press("Control+Shift+F")
        page.get_by_role("textbox", name="Find in the terminal").fill("needle-")
        expect(page.get_by_role("search").get_by_role("status")).to_contain_text("/ 3")
        page.keyboard.press("Escape")
        # Ctrl+K belongs to the shell and opens nothing in the console.
        page.keyboard.press("Control+k")
        expect(page.get_by_role("combobox")).to_have_count(0)


def test_output_is_text_and_changes_neither_title_nor_clipboard(visit: Visit, server: str) -> None:
    with visit(permissions=CLIPBOARD) as visitor:
        page = _opened(visitor, server)
        _copy(page, "mine")
        _type(page, f"clear; {HOSTILE}; echo done-$((1 + 1))")
        expect(_screen(page)).to_contain_text("done-2")
        expect(_screen(page)).to_contain_text("<img src=x onerror=alert(1)>")
        assert page.locator("img[src=x]").count() == 0
        assert re.fullmatch(r"(\(\d+\) )?Terminal · fra-web-01 · Flotilla", page.title())
        assert _copied(page) == "mine"
        # Only links to web addresses can be opened.
        link = _screen(page).get_by_text("a link", exact=False).last
        page.keyboard.down("Control")
        page.mouse.click(*_within(link))
        page.keyboard.up("Control")
        assert len(visitor.context.pages) == 1


def test_a_flood_is_interrupted_and_the_page_goes_on(admin: Visitor, server: str) -> None:
    page = _opened(admin, server)
    _type(page, "yes flood")
    expect(_screen(page)).to_contain_text("flood")
    page.keyboard.press("Control+c")
    _expect_prompt(page)
    _type(page, "clear; echo stopped-$((1 + 1))")
    expect(_screen(page)).to_contain_text("stopped-2")


def test_who_watches_cannot_type(admin: Visitor, server: str, visit: Visit) -> None:
    page = _opened(admin, server)
    _type(page, "cat")
    with visit() as watcher:
        watcher.open(f"/servers/{server}/terminal")
        watcher.page.get_by_role("button", name="Watch").click()
        _assert_connected(watcher.page)
        expect(watcher.page.get_by_text("Watching admin")).to_be_visible()
        expect(page.get_by_test_id("viewers")).to_have_text(re.compile("2 viewers"))
        watcher.page.get_by_test_id("terminal").click()
        watcher.page.keyboard.type("nobody hears this\n")
        page.get_by_test_id("terminal").click()
        page.keyboard.type("but this\n")
        expect(_screen(watcher.page)).to_contain_text("but this")
        assert "nobody hears" not in _screen(page).inner_text()
    expect(page.get_by_test_id("viewers")).to_have_count(0)


def test_a_restarted_gateway_brings_back_the_same_session(
    admin: Visitor, server: str, stack: OwnStack
) -> None:
    admin.forgive(r"ERR_CONNECTION_REFUSED|WebSocket connection|50[234] ")
    page = _opened(admin, server)
    session = _session(page)
    _type(page, "echo before-$((1 + 1))")
    expect(_screen(page)).to_contain_text("before-2")
    stack.supervisor("stop", "gateway")
    expect(page.get_by_test_id("phase")).not_to_have_text("Connected")
    stack.supervisor("start", "gateway")
    expect(page.get_by_test_id("phase")).to_have_text("Connected", timeout=60_000)
    assert _session(page) == session
    expect(_screen(page)).to_contain_text("before-2")
    _type(page, "echo after-$((1 + 2))")
    expect(_screen(page)).to_contain_text("after-3")


def test_a_session_that_ended_says_how_and_its_recording_plays(
    admin: Visitor, server: str, tmp_path: Path
) -> None:
    page = _opened(admin, server)
    _type(page, "echo shown-$((6 * 7))")
    expect(_screen(page)).to_contain_text("shown-42")
    _type(page, "exit 3")
    expect(page.get_by_test_id("ended")).to_contain_text("exit code 3")

    _view(page, "Sessions")
    newest = page.get_by_test_id("sessions").locator("tbody tr").first
    expect(newest).to_contain_text("exit code 3")
    expect(newest).to_contain_text("admin")
    newest.get_by_role("button", name="Play the session").click()
    playback = page.get_by_test_id("playback")
    expect(playback).to_contain_text("shown-42", timeout=30_000)
    position = page.get_by_role("slider", name="Position")
    page.keyboard.press("End")
    _wait_until(page, lambda: position.input_value() == position.get_attribute("max"))
    page.keyboard.press("Home")
    expect(playback).not_to_contain_text("shown-42")
    page.get_by_role("radiogroup", name="Speed").locator("label").last.click()
    page.get_by_role("button", name="Play", exact=True).click()
    expect(playback).to_contain_text("shown-42")
    page.keyboard.press("Escape")

    with page.expect_download() as download:
        newest.get_by_role("button", name="Download").click()
    download.value.save_as(tmp_path / "session.cast")
    lines = (tmp_path / "session.cast").read_text().splitlines()
    assert json.loads(lines[0])["version"] == 2
    assert "shown-42" in "".join(json.loads(line)[2] for line in lines[1:])

    _view(page, "Terminal")
    page.get_by_role("button", name="Open another").click()
    _assert_connected(page)


def test_a_server_that_allows_no_shell_says_how_its_owner_would(
    admin: Visitor, servers: dict[str, str]
) -> None:
    page = admin.open(f"/servers/{servers['ams-mail-01']}/terminal")
    expect(page.get_by_text("Terminals are not allowed on this server")).to_be_visible()
    expect(page.get_by_text("shell = true")).to_be_visible()
    expect(page.get_by_role("button", name="Open a terminal")).to_have_count(0)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_terminals_fit_and_axe_finds_no_serious_fault(
    theme: str, visit: Visit, server: str, tmp_path: Path
) -> None:
    faults: list[str] = []
    with visit(color_scheme=theme) as visitor:
        page = visitor.open(f"/servers/{server}/terminal")
        page.get_by_role("button", name="Open a terminal").wait_for()
        faults += look(page, "terminal-start", theme, tmp_path)
        page.get_by_role("button", name="Open a terminal").click()
        _assert_connected(page)
        _type(page, "ls -la --color=always /")
        faults += look(page, "terminal", theme, tmp_path)
        page.keyboard.press("Control+Shift+F")
        faults += look(page, "terminal-search", theme, tmp_path)
        page.keyboard.press("Escape")
        _type(page, "exit")
        page.get_by_test_id("ended").wait_for()
        faults += look(page, "terminal-ended", theme, tmp_path)
        _view(page, "Sessions")
        page.get_by_test_id("sessions").wait_for()
        faults += look(page, "sessions", theme, tmp_path)
        page.get_by_role("button", name="Play the session").first.click()
        page.get_by_test_id("playback").wait_for()
        faults += look(page, "playback", theme, tmp_path)
    assert not faults, "\n".join(faults)


def _opened(visitor: Visitor, server: str) -> Page:
    page = visitor.open(f"/servers/{server}/terminal")
    page.get_by_role("button", name="Open a terminal").click()
    _assert_connected(page)
    return page


def _assert_connected(page: Page) -> None:
    expect(page.get_by_test_id("phase")).to_have_text("Connected")
    expect(_screen(page)).to_contain_text(re.compile(r"\S"))


def _expect_prompt(page: Page) -> None:
    """Wait for the prompt: a program that ends may discard input."""
    expect(_screen(page)).to_contain_text(re.compile(r"[#$]\s*$"))


def _view(page: Page, name: str) -> None:
    page.get_by_role("radiogroup", name="Terminals, sessions or runs").get_by_text(name).click()


def _screen(page: Page) -> Locator:
    return page.get_by_test_id("terminal").locator("visible=true").locator(".xterm-rows")


def _type(page: Page, line: str) -> None:
    page.get_by_test_id("terminal").locator("visible=true").locator("textarea").focus()
    page.keyboard.type(f"{line}\n")


def _size(page: Page) -> str:
    """Return rows and columns, as `stty size` writes them."""
    rows = _screen(page).locator("> div").count()
    # The width of a line that the terminal itself computed as the maximum.
    columns = page.evaluate(
        """() => {
          const rows = document.querySelector(".xterm-rows");
          const letter = document.querySelector(".xterm-char-measure-element") ?? rows;
          const width = letter.getBoundingClientRect().width / (letter.textContent.length || 1);
          return Math.round(rows.getBoundingClientRect().width / width);
        }"""
    )
    return f"{rows} {columns}"


def _session(page: Page) -> str:
    page.wait_for_url(SESSION)
    found = SESSION.search(page.url)
    assert found
    return found[1]


def _assert_moves(page: Page) -> None:
    """Wait for the next time that a running `top` shows."""
    before = _screen(page).locator("> div").first.inner_text()
    _wait_until(page, lambda: _screen(page).locator("> div").first.inner_text() != before)


def _within(text: Locator) -> tuple[float, float]:
    """Return a point of a row, because the terminal handles the mouse in a layer above its rows."""
    box = text.bounding_box()
    assert box
    return box["x"] + 20, box["y"] + box["height"] / 2


def _copy(page: Page, text: str) -> None:
    page.evaluate("text => navigator.clipboard.writeText(text)", text)


def _copied(page: Page) -> str:
    text: str = page.evaluate("navigator.clipboard.readText()")
    return text


def _wait_until(page: Page, holds: Callable[[], bool], seconds: int = 15) -> None:
    for _ in range(seconds * 10):
        if holds():
            return
        page.wait_for_timeout(100)
    raise AssertionError("it did not come true")
