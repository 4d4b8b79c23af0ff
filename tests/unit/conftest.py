from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_socket import disable_socket, enable_socket

# It talks to an edge of its own on the loopback.
AGENT = Path(__file__).parent / "agent"


@pytest.fixture(autouse=True)
def _no_network(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.path.is_relative_to(AGENT):
        yield
        return
    disable_socket(allow_unix_socket=True)
    yield
    enable_socket()
