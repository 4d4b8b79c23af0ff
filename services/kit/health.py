"""Health checks and metrics of services.

Over HTTP: `/healthz` (the process runs), `/readyz` (503 while a check fails) and `/metrics`
(Prometheus). The same checks are sent over the bus for `flotilla status`.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from secrets import token_hex

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from flotilla.v1 import bus_pb2

Check = Callable[[], tuple[bool, str]]


@dataclass(slots=True)
class Health:
    service: str
    instance: str = field(default_factory=lambda: token_hex(4))
    started_at_unix_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    checks: dict[str, Check] = field(default_factory=dict)

    def status(self) -> bus_pb2.ServiceStatus:
        status = bus_pb2.ServiceStatus(
            service=self.service,
            instance=self.instance,
            started_at_unix_ms=self.started_at_unix_ms,
        )
        for name, check in self.checks.items():
            ready, detail = check()
            status.checks.add(name=name, ready=ready, detail=detail)
        return status


def is_ready(status: bus_pb2.ServiceStatus) -> bool:
    return bool(status.checks) and all(check.ready for check in status.checks)


def report(services: Sequence[Health]) -> tuple[bool, dict[str, object]]:
    """Return readiness and the body of `/readyz`; a service without checks has not started yet."""
    statuses = [health.status() for health in services]
    body: dict[str, object] = {
        status.service: {c.name: {"ready": c.ready, "detail": c.detail} for c in status.checks}
        for status in statuses
    }
    ready = all(is_ready(status) for status in statuses)
    return ready, {"ready": ready, "services": body}


@contextmanager
def serve_http(services: Sequence[Health], port: int) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 5  # seconds

        def do_GET(self) -> None:
            if self.path == "/healthz":
                self._answer(HTTPStatus.OK, "text/plain", b"ok\n")
            elif self.path == "/readyz":
                ready, body = report(services)
                status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
                self._answer(status, "application/json", json.dumps(body).encode())
            elif self.path == "/metrics":
                self._answer(HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest())
            else:
                self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"not found\n")

        def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Log nothing: probes arrive every few seconds."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, name="health", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
