import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, StorageState, sync_playwright

from deploy.local.settings import STATE_PATH_BYTES, state_folder
from tests.e2e.own_stack import OwnStack, plan
from tests.e2e.visitor import Visitor, visiting

QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
FOLDER = Path(__file__).parent

Visit = Callable[..., AbstractContextManager[Visitor]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(FOLDER):
            item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(scope="session")
def stack() -> Iterator[OwnStack]:
    state = Path(tempfile.mkdtemp(prefix="flotilla-e2e-", dir="/tmp"))
    assert len(str(state).encode()) <= STATE_PATH_BYTES
    stack = plan(state)
    try:
        done = stack.make("up", seconds=240)
        assert done.returncode == 0, done.stdout + done.stderr
        yield stack
    finally:
        before = stack.processes()
        down = stack.make("down")
        left = [*stack.processes(), *(process for process in before if process.is_running())]
        told = [f"{process.pid} {process.name()}" for process in left]
        for process in left:
            process.kill()
        psutil.wait_procs(left, timeout=10)
        worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
        logs = state_folder() / "reports/e2e-logs" / worker
        shutil.rmtree(logs, ignore_errors=True)
        shutil.copytree(state / "log", logs)
        shutil.rmtree(state)
    assert down.returncode == 0, down.stdout + down.stderr
    assert told == []


# For a module, not the session: Playwright keeps an event loop running in this thread, which
# other folders' asynchronous tests could not bear.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_chromium(), args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def session() -> dict[str, StorageState]:
    """The log-in that tests share, once one of them has made it."""
    return {}


@pytest.fixture
def stranger(browser: Browser, stack: OwnStack) -> Iterator[Visitor]:
    """Somebody who is not logged in."""
    with visiting(browser, stack) as visitor:
        yield visitor


@pytest.fixture
def visit(browser: Browser, stack: OwnStack, session: dict[str, StorageState]) -> Visit:
    """Opens a browser that is logged in; with what `new_context` takes."""
    if not session:
        with visiting(browser, stack) as visitor:
            visitor.open("/login")
            visitor.log_in()
            visitor.page.get_by_test_id("server-card").first.wait_for()
            session["admin"] = visitor.context.storage_state()
    return partial(visiting, browser, stack, storage_state=session["admin"])


@pytest.fixture
def admin(visit: Visit) -> Iterator[Visitor]:
    with visit() as visitor:
        yield visitor


def _chromium() -> str:
    found = shutil.which("chromium")
    assert found, "Chromium is not installed; `make test-e2e` installs it"
    return found
