"""The weight of a first visit: bytes over the wire and requests, until the fleet is on screen."""

import socket

from tests.e2e.conftest import Visit
from tests.e2e.visitor import Visitor

MAX_BYTES = 300_000
MAX_REQUESTS = 25


def test_a_first_visit_is_light(visit: Visit) -> None:
    with visit() as visitor:
        received, requests = _weigh(visitor)
    assert requests < MAX_REQUESTS
    assert received < MAX_BYTES


def _weigh(visitor: Visitor) -> tuple[int, int]:
    """Open the fleet with an empty cache; return bytes received, with headers, and requests."""
    sizes: list[float] = []
    requests: list[str] = []
    session = visitor.context.new_cdp_session(visitor.page)
    session.send("Network.enable")
    session.on("Network.requestWillBeSent", lambda event: requests.append(event["request"]["url"]))
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    visitor.open()
    visitor.wait_for_samples(socket.gethostname())
    visitor.page.wait_for_load_state("networkidle")
    return round(sum(sizes)), len(requests)
