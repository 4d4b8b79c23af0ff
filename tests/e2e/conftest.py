import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from deploy.local.settings import STATE_PATH_BYTES, state_folder
from tests.e2e.own_stack import OwnStack, plan
from tests.e2e.visitor import PATIENCE, Visitor, visiting

QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
FOLDER = Path(__file__).parent

expect.set_options(timeout=PATIENCE)

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


@pytest.fixture
def stranger(browser: Browser, stack: OwnStack) -> Iterator[Visitor]:
    """A browser that is not logged in."""
    with visiting(browser, stack) as visitor:
        yield visitor


@pytest.fixture
def visit(browser: Browser, stack: OwnStack) -> Visit:
    """A function that opens a browser that is logged in; it takes the arguments of `new_context`."""
    return partial(_logged_in, browser, stack)


@pytest.fixture
def admin(visit: Visit) -> Iterator[Visitor]:
    with visit() as visitor:
        yield visitor


@pytest.fixture
def defaults_afterwards(stack: OwnStack) -> Iterator[None]:
    """Remove the preferences that a test saves: the tests share a user, and expect defaults."""
    yield
    stack.psql("UPDATE users SET preferences = '{}'")


@contextmanager
def _logged_in(browser: Browser, stack: OwnStack, **options: Any) -> Iterator[Visitor]:
    """Log in with a session of its own: the cookie of a session is good for one browser."""
    with visiting(browser, stack, **options) as visitor:
        word = {"username": "admin", "password": stack.password}
        answer = visitor.context.request.post(f"{stack.url}/api/v1/auth/login", data=word)
        assert answer.ok, answer.text()
        yield visitor


def _chromium() -> str:
    found = shutil.which("chromium")
    assert found, "Chromium is not installed; `make test-e2e` installs it"
    return found
