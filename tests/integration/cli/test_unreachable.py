"""Commands without NATS or the database: one plain line, within seconds."""

import os
import pty
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("flotilla")


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Yield a port on which nothing listens while the test runs."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def environment(port: int) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "FLOTILLA_STATE": "/nonexistent",
        "FLOTILLA_NATS_URL": f"nats://127.0.0.1:{port}",
        "DATABASE_URL": f"postgresql://flotilla:x@127.0.0.1:{port}/flotilla",
        **{
            f"FLOTILLA_NATS_{user}_PASSWORD": secrets.token_urlsafe(32)
            for user in ("PROVISION", "OPERATOR", "REPAIR")
        },
    }


def run(port: int, *arguments: str, words: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments],
        env=environment(port),
        input=words,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    "line", ["status", "status --json", "provision", "tail x.>", "dlq list", "dlq drop --all"]
)
def test_without_nats_a_command_says_so_in_one_line(closed_port: int, line: str) -> None:
    done = run(closed_port, *line.split())

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"flotilla: NATS does not answer at 127.0.0.1:{closed_port}. Is it running?"
        " FLOTILLA_NATS_URL sets the address.\n"
    )


@pytest.mark.parametrize("line", ["migrate", "user add alice"])
def test_without_the_database_a_command_says_so_in_one_line(closed_port: int, line: str) -> None:
    done = run(closed_port, *line.split(), words="a long enough password\n")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"flotilla: The database does not answer at 127.0.0.1:{closed_port}. Is it running?"
        " DATABASE_URL sets the address.\n"
    )


def test_a_password_is_not_asked_for_if_the_user_cannot_be_stored(closed_port: int) -> None:
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [COMMAND, "user", "add", "alice"],
            env=environment(closed_port),
            stdin=theirs,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    finally:
        os.close(ours)
        os.close(theirs)

    assert done.returncode == 1
    assert "The database does not answer" in done.stderr
    assert "Password" not in done.stderr
