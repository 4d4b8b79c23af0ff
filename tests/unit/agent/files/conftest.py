from pathlib import Path

import pytest

from tests.fixtures.agent.file_actions import Sandbox, make_sandbox


@pytest.fixture
def box(tmp_path: Path) -> Sandbox:
    return make_sandbox(tmp_path)


@pytest.fixture
def whole(tmp_path: Path) -> Sandbox:
    """Return a sandbox whose policy allows the whole host."""
    return make_sandbox(tmp_path, file_roots=(Path("/"),))
