"""The local stack as `make up` starts it, with its own state folder and ports."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from deploy.local.settings import PORTS, REPOSITORY
from tests.fixtures.claims import free_port

BINARIES = Path(sys.executable).parent
Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True, slots=True)
class OwnStack:
    state: Path
    environment: Mapping[str, str]
    url: str

    @property
    def password(self) -> str:
        return (self.state / "admin-password").read_text().strip()

    @property
    def vps_id(self) -> str:
        """The id of the server that is this machine."""
        return (self.state / "vps-id").read_text().strip()

    def make(self, *words: str, seconds: float = 120) -> Done:
        """Run `stack.py`, which `make up` and similar targets call."""
        program = [sys.executable, str(REPOSITORY / "deploy/local/stack.py")]
        return self._run([*program, *words], seconds)

    def flotilla(self, *words: str, seconds: float = 30) -> Done:
        return self._run([str(BINARIES / "flotilla"), *words], seconds)

    def supervisor(self, *words: str) -> str:
        configuration = str(self.state / "run/supervisord.conf")
        program = [str(BINARIES / "supervisorctl"), "--configuration", configuration]
        done = self._run([*program, *words], 60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def programs(self) -> dict[str, str]:
        """Return the process ids of the running programs by name."""
        lines = (line.split() for line in self.supervisor("status").splitlines())
        return {words[0]: words[3].rstrip(",") for words in lines if words[1] == "RUNNING"}

    def pid(self, name: str) -> int:
        return int(self.programs()[name])

    def psql(self, statement: str) -> str:
        done = self.make("psql", "-At", "-c", statement)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    @contextmanager
    def logged_in(self) -> Iterator[httpx.Client]:
        with httpx.Client(base_url=f"{self.url}/api/v1", trust_env=False) as client:
            word = {"username": "admin", "password": self.password}
            answer = client.post("/auth/login", json=word).raise_for_status()
            client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
            yield client

    def keep_this_machine_only(self) -> None:
        with self.logged_in() as client:
            for vps in client.get("/vps").raise_for_status().json()["items"]:
                if vps["id"] != self.vps_id:
                    client.delete(f"/vps/{vps['id']}").raise_for_status()

    def live_address(self, client: httpx.Client, resource: str) -> str:
        """Return the address of a WebSocket, with a ticket for one connection."""
        ticket = client.post("/ws-tickets", json={"resource": resource}).raise_for_status()
        host = self.url.removeprefix("http://")
        return f"ws://{host}/api/v1/{resource}?ticket={ticket.json()['ticket']}"

    def processes(self) -> list[psutil.Process]:
        """Return the processes whose arguments or environment name the state folder, and their children."""
        named = [process for process in psutil.process_iter() if self._is_named_by(process)]
        family = {*named}
        for process in named:
            try:
                family.update(process.children(recursive=True))
            except psutil.NoSuchProcess:
                continue
        return [process for process in family if process.is_running()]

    def _is_named_by(self, process: psutil.Process) -> bool:
        try:
            words = [*process.cmdline(), *process.environ().values()]
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False
        return any(str(self.state) in word for word in words)

    def _run(self, command: list[str], seconds: float) -> Done:
        return subprocess.run(
            command,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )


def plan(state: Path) -> OwnStack:
    """Describe a stack that ignores the settings of another stack on this machine."""
    others = {
        name: value
        for name, value in os.environ.items()
        if name == "FLOTILLA_CACHE" or not name.startswith(("FLOTILLA_", "DATABASE_URL", "OTEL_"))
    }
    ports = {name: free_port() for name in PORTS}
    environment = {
        **others,
        **{name: str(port) for name, port in ports.items()},
        "FLOTILLA_STATE": str(state),
        "PYTHONUNBUFFERED": "1",
    }
    return OwnStack(state, environment, f"http://127.0.0.1:{ports['FLOTILLA_HTTP_PORT']}")


def lines_of_json(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]
