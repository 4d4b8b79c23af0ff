from pathlib import Path

import pytest

from tests.fixtures.agent.fake_host import Host
from tests.fixtures.agent.logs import captured_agent_logs

agent_logs = pytest.fixture(autouse=True)(captured_agent_logs)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)
