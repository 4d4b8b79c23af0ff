"""Containers in the browser, with a real engine and the real stack."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.agents import agent
from tests.e2e.conftest import Visit
from tests.e2e.own_stack import OwnStack
from tests.e2e.pictures import look
from tests.e2e.visitor import Visitor
from tests.fixtures.docker_engine import IMAGE, Engine, engine

CANARY = "hunter2-canary"
SERVER = "fra-shop-01"
# A container that waits for a file and then prints many lines as fast as it can.
MANY = (
    "trap 'exit 0' TERM; while [ ! -e /go ]; do sleep 0.1; done; "
    "n=0; while [ $n -lt 12000 ]; do echo row-$n of many; n=$((n + 1)); done; "
    "while :; do sleep 0.1; done"
)
TALKS = (
    "trap 'exit 0' TERM; "
    "echo '<img src=x onerror=alert(1)>'; printf 'bell\\007 clear\\033[2J\\n'; "
    "echo 'to the other stream' >&2; "
    "n=0; while :; do echo tick $n; n=$((n + 1)); sleep 0.2; done"
)
TICK = re.compile(r"tick \d+")
IDLE = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with engine(tmp_path_factory.mktemp("c")) as started:
        yield started


@pytest.fixture(scope="module")
def servers(
    stack: OwnStack, docker: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """Ids of servers with different policies, by name."""
    folder = tmp_path_factory.mktemp("agents")
    here = {"docker": "true", "docker_socket": json.dumps(str(docker.socket))}
    nowhere = here | {"docker_socket": json.dumps(str(folder / "nothing.sock"))}
    planned = {
        SERVER: ({"docker": '"actions"', "shell": "true"}, here),
        "read-only": ({"docker": '"read"'}, here),
        "no-engine": ({"docker": '"actions"'}, nowhere),
        "off": ({}, here),
    }
    with ExitStack() as agents:
        yield {
            name: agents.enter_context(agent(stack, folder / name, name, policy, config))
            for name, (policy, config) in planned.items()
        }


@pytest.fixture
def made(docker: Engine) -> Iterator[Engine]:
    """The engine. Its containers are removed after the test."""
    yield docker
    for container in docker.docker("ps", "--all", "--quiet").split():
        docker.docker("rm", "--force", container)


def test_a_container_is_stopped_started_and_removed_and_one_sees_it(
    admin: Visitor, servers: dict[str, str], made: Engine
) -> None:
    _run(made, "web", IDLE)
    page = admin.open(f"/servers/{servers[SERVER]}/docker")
    row = _row(page, "web")
    expect(_state(row)).to_have_text("Running")
    expect(row.get_by_test_id("memory")).to_contain_text(re.compile("KiB|MiB"))

    row.get_by_role("button", name="Stop web").click()
    question = page.get_by_role("dialog", name=f"Stop web on {SERVER}?")
    question.get_by_role("button", name="Cancel").click()
    expect(_state(row)).to_have_text("Running")

    row.get_by_role("button", name="Stop web").click()
    question.get_by_role("button", name="Stop").click()
    expect(_state(row)).to_have_text("Stopped")
    assert _is(made, "web", "exited")

    row.get_by_role("button", name="Start web").click()
    expect(_state(row)).to_have_text("Running")
    assert _is(made, "web", "running")

    row.get_by_role("button", name="More for web").click()
    # With the keyboard: the same key must not press a button of the dialog.
    page.get_by_role("menuitem", name="Remove").press("Enter")
    question = page.get_by_role("dialog", name=f"Remove web from {SERVER}?")
    question.get_by_role("button", name="Remove").click()
    expect(row).to_have_count(0)
    assert made.docker("ps", "--all", "--quiet") == ""


def test_an_action_is_shown_before_it_is_done_and_its_refusal_beside_it(
    admin: Visitor, servers: dict[str, str], made: Engine
) -> None:
    # The container ignores TERM, so it is killed after the timeout.
    _run(made, "deaf", "trap '' TERM; while :; do sleep 0.1; done")
    page = admin.open(f"/servers/{servers[SERVER]}/docker")
    row = _row(page, "deaf")
    expect(_state(row)).to_have_text("Running")
    row.get_by_role("button", name="Stop deaf").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    expect(_state(row)).to_have_text("Stopping…")
    expect(row.get_by_role("button", name="Stop deaf")).to_be_disabled()
    expect(_state(row)).to_have_text("Stopped", timeout=30_000)

    admin.forgive(r"40[49] .*/docker/containers/|ERR_FAILED")
    # The row does not change any more. A list that was on its way before would still change it.
    with page.expect_event("requestfailed", lambda one: one.url.endswith("/docker/containers")):
        page.route("**/docker/containers", lambda route: route.abort())
    made.docker("rm", "--force", "deaf")
    row.get_by_role("button", name="Start deaf").click()
    expect(
        page.get_by_role("alert").filter(has_text="Start: Not found on the server")
    ).to_be_visible()
    page.unroute("**/docker/containers")
    expect(row).to_have_count(0)


def test_a_project_is_stopped_and_started_one_container_after_the_other(
    admin: Visitor, servers: dict[str, str], made: Engine
) -> None:
    for service in ("db", "web"):
        labels = (
            "--label=com.docker.compose.project=shop",
            f"--label=com.docker.compose.service={service}",
        )
        _run(made, f"shop-{service}", IDLE, *labels)
    _run(made, "alone", IDLE)
    page = admin.open(f"/servers/{servers[SERVER]}/docker")
    groups = page.get_by_test_id("container-group")
    expect(groups).to_have_count(2)
    shop = groups.filter(has_text="shop")
    expect(shop.get_by_test_id("container-row")).to_have_count(2)
    expect(groups.last).to_contain_text("No project1 of 1 running")

    shop.get_by_role("button", name="Stop all shop").click()
    question = page.get_by_role("dialog", name=f"Stop shop on {SERVER}?")
    question.get_by_role("button", name="Stop all").click()
    expect(shop).to_contain_text("Stopped 2 of 2")
    assert _is(made, "shop-db", "exited")
    assert _is(made, "shop-web", "exited")
    assert _is(made, "alone", "running")
    shop.get_by_role("button", name="Start all shop").click()
    expect(shop).to_contain_text("Started 2 of 2")
    assert _is(made, "shop-web", "running")

    page.get_by_placeholder("Find by name, image or project").fill("alone")
    expect(page.get_by_test_id("container-row")).to_have_count(1)


def test_logs_are_followed_searched_paused_and_are_text(
    admin: Visitor, servers: dict[str, str], made: Engine, tmp_path: Path
) -> None:
    container = _run(made, "talks", TALKS)
    page = admin.open(f"/servers/{servers[SERVER]}/docker/containers/{container}")
    page.get_by_text("Logs", exact=True).click()
    log = page.get_by_test_id("log")
    expect(log).to_contain_text("<img src=x onerror=alert(1)>")
    expect(log).to_contain_text("bell\u2039BEL\u203a clear\u2039ESC\u203a[2J")
    assert page.locator("img[src=x]").count() == 0
    other = log.locator('[data-stream="stderr"]')
    expect(other).to_have_count(1)
    expect(other).to_contain_text("err")
    expect(other).to_contain_text("to the other stream")
    expect(log).to_contain_text("tick 8")

    page.get_by_role("button", name="Pause").click()
    state = page.get_by_test_id("log-state")
    expect(state).to_have_text(re.compile(r"Paused, [3-9] new"))
    newest = log.inner_text()
    expect(state).to_have_text(re.compile(r"Paused, \d\d new"))
    assert log.inner_text() == newest
    page.get_by_role("button", name="Follow").click()
    expect(state).to_have_text("Following")

    page.get_by_placeholder("Search").fill("OTHER stream")
    expect(page.get_by_test_id("log-matches")).to_have_text("1 of 1")
    expect(log.locator("mark")).to_have_text("other stream")
    page.get_by_text("Only matches").click()
    expect(log.locator("[data-stream]")).to_have_count(1)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    download.value.save_as(tmp_path / "log")
    assert download.value.suggested_filename == "talks.log"
    assert re.fullmatch(r"\d{4}-\S+Z stderr to the other stream\n", (tmp_path / "log").read_text())

    page.get_by_placeholder("Search").fill("")
    page.get_by_role("button", name="Follow").click()
    made.docker("stop", "talks")
    expect(state).to_have_text("The container's log has ended")


def test_twelve_thousand_lines_are_followed_and_few_of_them_are_in_the_page(
    admin: Visitor, servers: dict[str, str], made: Engine
) -> None:
    container = _run(made, "many", MANY)
    page = admin.open(f"/servers/{servers[SERVER]}/docker/containers/{container}?view=logs")
    expect(page.get_by_test_id("log-state")).to_have_text("Following")
    made.docker("exec", "many", "sh", "-c", ": > /go")
    expect(page.get_by_text("12,000 lines")).to_be_visible(timeout=60_000)
    log = page.get_by_test_id("log")
    expect(log).to_contain_text("row-11999 of many")
    assert log.locator("[data-stream]").count() < 200

    log.hover()
    page.mouse.wheel(0, -900)
    expect(page.get_by_test_id("log-state")).to_have_text("Paused, 0 new")
    expect(log).not_to_contain_text("row-11999 of many")
    page.mouse.wheel(0, 1800)
    expect(page.get_by_test_id("log-state")).to_have_text("Following")

    page.get_by_placeholder("Search").fill("row-42 ")
    expect(page.get_by_test_id("log-matches")).to_have_text("1 of 1")
    expect(log.locator("mark")).to_have_text("row-42 ")
    assert log.locator("[data-stream]").count() < 200


def test_a_lost_connection_to_a_log_comes_back_without_a_line_twice(
    admin: Visitor, servers: dict[str, str], made: Engine, stack: OwnStack
) -> None:
    admin.forgive(r"ERR_CONNECTION_REFUSED|WebSocket connection|50[234] |409 ")
    container = _run(made, "ticks", TALKS)
    page = admin.open(f"/servers/{servers[SERVER]}/docker/containers/{container}?view=logs")
    log = page.get_by_test_id("log")
    expect(log).to_contain_text("tick 5")
    stack.supervisor("stop", "gateway")
    state = page.get_by_test_id("log-state")
    expect(state).not_to_have_text("Following")
    stack.supervisor("start", "gateway")
    expect(state).to_have_text("Following", timeout=60_000)
    expect(log).to_contain_text("tick 60", timeout=60_000)
    told = [int(line.removeprefix("tick ")) for line in TICK.findall(_whole(page))]
    assert told == list(range(told[0], told[-1] + 1))


def test_inspect_shows_what_it_is_without_its_secrets(
    admin: Visitor, servers: dict[str, str], made: Engine
) -> None:
    settings = (
        *("--env", f"DATABASE_PASSWORD={CANARY}", "--env", "MODE=production"),
        *("--env", f"ADDRESS=postgres://shop:{CANARY}@db/shop"),
        *("--restart", "on-failure:3", "--memory", "64m"),
    )
    container = _run(made, "secretive", IDLE, *settings)
    page = admin.page
    with page.expect_response(re.compile(f"/docker/containers/{container}$")) as answered:
        admin.open(f"/servers/{servers[SERVER]}/docker/containers/{container}")
    environment = page.get_by_test_id("environment")
    expect(environment.locator("div", has_text="DATABASE_PASSWORD")).to_contain_text("•••")
    expect(environment.locator("div", has_text="MODE")).to_contain_text("production")
    expect(page.get_by_text("on-failure:3, 0 so far")).to_be_visible()
    expect(page.get_by_text("memory 64 MiB, CPU unlimited")).to_be_visible()
    assert CANARY not in page.content()
    assert CANARY not in answered.value.text()


def test_charts_draw_what_was_measured_over_the_chosen_time(
    admin: Visitor, servers: dict[str, str], made: Engine
) -> None:
    container = _run(made, "busy", "trap 'exit 0' TERM; while :; do :; done", "--cpus=0.2")
    page = admin.open(f"/servers/{servers[SERVER]}/docker/containers/{container}")
    page.set_default_timeout(60_000)  # metrics are collected every ten seconds
    admin.wait_until_painted("Memory", "--ok")
    for title in ("CPU", "Network", "Disk I/O"):
        expect(admin.chart(title).locator("canvas")).to_be_visible()
    for label in ("6 h", "24 h", "48 h"):
        with page.expect_response(re.compile("/stats")) as answered:
            page.get_by_role("radiogroup", name="Time range").get_by_text(label).click()
        assert answered.value.ok


def test_a_shell_in_a_container_is_offered_where_it_is_allowed(
    admin: Visitor, servers: dict[str, str], made: Engine
) -> None:
    container = _run(made, "boxed", IDLE)
    page = admin.open(f"/servers/{servers[SERVER]}/docker/containers/{container}")
    page.get_by_role("button", name="Shell").click()
    expect(page.get_by_role("button", name=container[:12], exact=True)).to_be_visible()
    expect(page.get_by_text("Connected")).to_be_visible()
    screen = page.get_by_test_id("terminal").locator("visible=true")
    screen.locator("textarea").focus()
    page.keyboard.type("cat /etc/hostname; echo here-$((40 + 2))\n")
    expect(screen.locator(".xterm-rows")).to_contain_text("here-42")
    expect(screen.locator(".xterm-rows")).to_contain_text(container[:12])

    admin.open(f"/servers/{servers['read-only']}/docker/containers/{container}")
    expect(page.get_by_role("button", name="Shell")).to_be_disabled()


def test_images_are_listed_pulled_removed_and_pruned(
    admin: Visitor, servers: dict[str, str], made: Engine
) -> None:
    _run(made, "user", IDLE)
    made.docker("tag", IMAGE, "spare:1")
    made.docker("import", "-", content=b"\0" * 10_240)
    page = admin.open(f"/servers/{servers[SERVER]}/docker/images")
    named = page.get_by_test_id("image-row").filter(has_text=IMAGE)
    expect(named).to_contain_text("by 1 container")
    expect(named.get_by_role("button", name="Remove")).to_be_disabled()
    expect(page.get_by_text("untagged")).to_have_count(1)

    page.get_by_role("button", name="Remove unused").click()
    question = page.get_by_role("dialog", name=f"Remove unused images from {SERVER}?")
    expect(question).to_contain_text("1 image, up to")
    question.get_by_role("button", name="Remove unused").click()
    expect(question).to_contain_text("removed")
    question.get_by_role("button", name="Close").last.click()
    expect(page.get_by_text("untagged")).to_have_count(0)

    page.get_by_role("button", name="Pull").click()
    admin.forgive(r"503 .*/docker/images/pull")
    page.get_by_label("Image", exact=True).fill("127.0.0.1:1/nothing:1")
    page.get_by_role("dialog").get_by_role("button", name="Pull").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("connection refused")


def test_where_only_looking_is_allowed_nothing_can_be_done(
    admin: Visitor, servers: dict[str, str], made: Engine
) -> None:
    container = _run(made, "looked-at", IDLE)
    page = admin.open(f"/servers/{servers['read-only']}/docker")
    expect(_row(page, "looked-at")).to_be_visible()
    expect(page.get_by_text("Read only: the policy on this server")).to_be_visible()
    buttons = re.compile("Stop|Start|Remove|More for")
    expect(page.get_by_role("button", name=buttons)).to_have_count(0)
    admin.open(f"/servers/{servers['read-only']}/docker/containers/{container}")
    expect(page.get_by_role("heading", name="looked-at")).to_be_visible()
    expect(page.get_by_role("button", name=buttons)).to_have_count(0)
    admin.open(f"/servers/{servers['read-only']}/docker/images")
    expect(page.get_by_test_id("image-row").first).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("Pull|Prune|Remove"))).to_have_count(0)


def test_what_is_off_or_not_there_says_how_it_would_be(
    admin: Visitor, servers: dict[str, str]
) -> None:
    page = admin.open(f"/servers/{servers['off']}/docker")
    expect(page.get_by_text("Docker is not allowed on this server")).to_be_visible()
    expect(page.get_by_text('docker = "actions"')).to_be_visible()
    admin.forgive(r"503 .*/docker/containers")
    admin.open(f"/servers/{servers['no-engine']}/docker")
    expect(page.get_by_role("heading", name="The Docker engine does not answer")).to_be_visible()


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_docker_fits_and_axe_finds_no_serious_fault(
    theme: str, visit: Visit, servers: dict[str, str], made: Engine, tmp_path: Path
) -> None:
    labels = ("--label=com.docker.compose.project=shop", "--label=com.docker.compose.service=web")
    settings = (*labels, "--env", "API_TOKEN=abc", "--env", "MODE=production")
    container = _run(made, "shop-web-with-quite-a-long-name-1", TALKS, *settings)
    _run(made, "idle", IDLE)
    made.docker("stop", "idle")
    home = f"/servers/{servers[SERVER]}/docker"
    faults: list[str] = []
    with visit(color_scheme=theme) as visitor:
        page = visitor.open(home)
        page.get_by_test_id("container-row").nth(1).wait_for()
        faults += look(page, "docker", theme, tmp_path)
        page.get_by_role("button", name="Stop shop-web").click()
        page.get_by_role("dialog").wait_for()
        faults += look(page, "docker-question", theme, tmp_path)
        visitor.open(f"{home}/containers/{container}")
        page.get_by_test_id("environment").wait_for()
        faults += look(page, "container", theme, tmp_path)
        page.get_by_text("Logs", exact=True).click()
        page.get_by_test_id("log").get_by_text(TICK).first.wait_for()
        page.get_by_placeholder("Search").fill("tick")
        page.locator("mark").first.wait_for()
        faults += look(page, "container-logs", theme, tmp_path)
        visitor.open(f"{home}/images")
        page.get_by_test_id("image-row").first.wait_for()
        faults += look(page, "images", theme, tmp_path)
        visitor.open(f"/servers/{servers['off']}/docker")
        page.get_by_text("not allowed").wait_for()
        faults += look(page, "docker-off", theme, tmp_path)
    assert not faults, "\n".join(faults)


def _run(docker: Engine, name: str, script: str, *options: str) -> str:
    """Return the id of the new container."""
    words = ("run", "--detach", "--name", name, "--network", "none", *options, IMAGE)
    return docker.docker(*words, "/bin/sh", "-c", script)


def _is(docker: Engine, name: str, state: str) -> bool:
    return docker.docker("inspect", "--format", "{{.State.Status}}", name) == state


def _row(page: Page, name: str) -> Locator:
    return page.locator(f'[data-testid="container-row"][data-name="{name}"]')


def _state(row: Locator) -> Locator:
    return row.get_by_test_id("state")


def _whole(page: Page) -> str:
    """Return all lines of the downloaded log."""
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    return Path(download.value.path()).read_text()
