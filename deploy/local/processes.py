"""The stack's processes, under their own supervisord in the state folder."""

from __future__ import annotations

import getpass
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.settings import write_private
from deploy.local.waiting import StackError, see, wait_for

STOP_SECONDS = 30
PROGRAMS = Path(sys.executable).parent


@dataclass(frozen=True, slots=True)
class Program:
    name: str
    command: Sequence[str]
    build: str
    """Digest of the files that the program is built from. If it changes, the program restarts."""
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str = "TERM"


@dataclass(frozen=True, slots=True)
class Supervisor:
    folder: Path
    """Configuration, socket and process id."""
    log: Path

    @property
    def configuration(self) -> Path:
        return self.folder / "supervisord.conf"

    @property
    def pid(self) -> Path:
        return self.folder / "supervisord.pid"


def running(supervisor: Supervisor) -> bool:
    return supervisor.configuration.exists() and _control(supervisor, "pid").returncode == 0


def configure(
    supervisor: Supervisor, programs: Sequence[Program], environment: Mapping[str, str]
) -> None:
    """Configure supervisord with these programs, and start it if necessary.

    Programs that changed are stopped, in reverse order. No program is started.
    """
    supervisor.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    supervisor.log.mkdir(mode=0o700, parents=True, exist_ok=True)
    was_running = running(supervisor)
    write_private(supervisor.configuration, _configuration(supervisor, programs))
    if was_running:
        _must(supervisor, "update")
        return
    subprocess.run(
        [str(PROGRAMS / "supervisord"), "--configuration", str(supervisor.configuration)],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        timeout=30,
        check=True,
    )
    wait_for(
        lambda: running(supervisor),
        seconds=15,
        otherwise="supervisord does not answer.",
        log=supervisor.log / "supervisord.log",
    )


def start(supervisor: Supervisor, *names: str) -> None:
    """Start the programs that are not running, in parallel."""
    known = states(supervisor)
    idle = [name for name in names if known.get(name) not in {"RUNNING", "STARTING"}]
    with ThreadPoolExecutor(len(names)) as threads:
        answers = threads.map(lambda name: _control(supervisor, "start", name), idle)
    for name, answer in zip(idle, answers, strict=True):
        if answer.returncode != 0:
            raise StackError(f"{name} did not start. {see(supervisor.log / f'{name}.log')}")


def stop_program(supervisor: Supervisor, name: str) -> None:
    if states(supervisor).get(name) in {"RUNNING", "STARTING", "BACKOFF"}:
        _must(supervisor, "stop", name)


def states(supervisor: Supervisor) -> dict[str, str]:
    """Return the state of each program, such as RUNNING, STARTING or BACKOFF."""
    lines = (line.split() for line in _control(supervisor, "status").stdout.splitlines())
    return {words[0]: words[1] for words in lines if len(words) > 1}


def status(supervisor: Supervisor) -> str:
    return _control(supervisor, "status").stdout


def stop(supervisor: Supervisor) -> None:
    """Stop all programs and supervisord itself, and wait until it has ended."""
    try:
        pid = int(supervisor.pid.read_text())
    except FileNotFoundError:
        pid = 0
    _must(supervisor, "shutdown")
    wait_for(
        lambda: not running(supervisor) and not Path(f"/proc/{pid}/stat").exists(),
        seconds=STOP_SECONDS + 30,
        otherwise=f"supervisord (process {pid}) is still running.",
        log=supervisor.log / "supervisord.log",
    )


def _control(supervisor: Supervisor, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            str(PROGRAMS / "supervisorctl"),
            "--configuration",
            str(supervisor.configuration),
            *words,
        ],
        env={"PATH": os.environ["PATH"]},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=STOP_SECONDS + 60,
        check=False,
    )


def _must(supervisor: Supervisor, *words: str) -> None:
    done = _control(supervisor, *words)
    if done.returncode != 0:
        raise StackError(f"supervisorctl {words[0]} failed: {done.stdout}{done.stderr}")


def _configuration(supervisor: Supervisor, programs: Sequence[Program]) -> str:
    socket = supervisor.folder / "supervisor.sock"
    lines = [
        "[unix_http_server]",
        f"file={socket}",
        "chmod=0700",
        "[supervisord]",
        f"pidfile={supervisor.pid}",
        f"logfile={supervisor.log / 'supervisord.log'}",
        "logfile_maxbytes=5MB",
        "logfile_backups=1",
        f"childlogdir={supervisor.log}",
        f"directory={supervisor.folder}",
        # Explicit, because supervisord warns when it runs as root without this line.
        f"user={getpass.getuser()}",
        "umask=077",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
        "[supervisorctl]",
        f"serverurl=unix://{socket}",
    ]
    for place, program in enumerate(programs, start=1):
        lines += _section(supervisor, program, place)
    return "\n".join(lines) + "\n"


def _section(supervisor: Supervisor, program: Program, place: int) -> list[str]:
    # If supervisord is killed, its programs end too, so none is left behind on a port.
    command = ["setpriv", "--pdeathsig", program.stop_signal, "--", *program.command]
    variables = {**program.environment, "FLOTILLA_BUILD": program.build}
    pairs = ",".join(f'{name}="{value}"' for name, value in variables.items())
    return [
        f"[program:{program.name}]",
        f"command={shlex.join(command)}".replace("%", "%%"),
        f"environment={pairs}".replace("%", "%%"),
        f"priority={place}",
        "autostart=false",
        "autorestart=true",
        "startsecs=1",
        "startretries=20",  # attempt n follows after n seconds: 3.5 minutes in all
        f"stopsignal={program.stop_signal}",
        f"stopwaitsecs={STOP_SECONDS}",
        "killasgroup=true",
        "redirect_stderr=true",
        f"stdout_logfile={supervisor.log / program.name}.log",
        "stdout_logfile_maxbytes=10MB",
        "stdout_logfile_backups=3",
    ]
