"""More agents on this machine, enrolled with the install line of the console."""

import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from deploy.local.waiting import wait_for
from tests.e2e.own_stack import BINARIES, OwnStack

AGENT = str(BINARIES / "flotilla-agent")
END = 20  # seconds


@contextmanager
def agent(
    stack: OwnStack,
    folder: Path,
    name: str,
    policy: Mapping[str, Any],
    config: Mapping[str, Any] | None = None,
    *,
    obeys: str | None = None,
) -> Iterator[str]:
    """Run an agent with a policy, given as values of TOML; yield the id of its server.

    It obeys the command key of the install line, or another in hexadecimal.
    """
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(_toml(config or {}))
    (folder / "policy.toml").write_text(_toml(policy))
    with stack.logged_in() as client:
        made = client.post("/vps", json={"name": name}).raise_for_status().json()
        _enrol(folder, made["enrolment"], obeys)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", "--", AGENT, *_folders(folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=_environment(),
            )
        try:
            wait_for(
                lambda: _has_come(client, made["id"]), seconds=30, otherwise=f"{name} does not come"
            )
            yield made["id"]
        finally:
            process.terminate()
            process.wait(END)
            client.delete(f"/vps/{made['id']}")


def _toml(values: Mapping[str, Any]) -> str:
    return "".join(f"{name} = {value}\n" for name, value in values.items())


def _enrol(folder: Path, enrolment: Mapping[str, str], obeys: str | None) -> None:
    _, _, arguments = enrolment["install_command"].partition(" -s -- ")
    console, authority, key, *_powers = shlex.split(arguments)
    done = subprocess.run(
        [
            *(AGENT, "enrol", "--console", console, "--ca-sha256", authority),
            *("--command-key", obeys or key, "--state", str(folder / "state")),
        ],
        env=_environment() | {"FLOTILLA_ENROLMENT_TOKEN": enrolment["token"]},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _folders(folder: Path) -> list[str]:
    return [
        *("--state", str(folder / "state"), "--config", str(folder / "config.toml")),
        *("--policy", str(folder / "policy.toml")),
    ]


def _environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": "/root"}


def _has_come(client: httpx.Client, vps_id: str) -> bool:
    vps = client.get(f"/vps/{vps_id}").raise_for_status().json()
    return vps["status"] == "online" and vps["powers"] is not None
