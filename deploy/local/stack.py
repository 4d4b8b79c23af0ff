"""Flotilla on one machine: `stack.py up`, `down`, `status`, `logs`, `psql`, `prepare`.

All its files are in $FLOTILLA_STATE (default .local), except TimescaleDB's programs, which several
checkouts share in $FLOTILLA_CACHE (default /var/cache/flotilla).
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import httpx
import psycopg.conninfo

from deploy.local import certificates, machine, policy, ports, processes, timescaledb
from deploy.local.processes import Program, Supervisor
from deploy.local.settings import (
    NATS_PASSWORDS,
    REPOSITORY,
    Settings,
    load,
    password,
    save,
    save_for,
    state_folder,
    write_private,
)
from deploy.local.waiting import StackError, alone
from services.kit.services import SERVICES

BINARIES = Path(sys.executable).parent
NATS_CONFIGURATION = REPOSITORY / "deploy/nats.conf"
OTHER_RUN_SECONDS = 300
STARTED = time.monotonic()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    starting = commands.add_parser(
        "up", help="start everything, and wait for the first sample of this machine"
    )
    starting.add_argument(
        "--powers",
        metavar="WORDS",
        help=f"what the console may do on this machine: {', '.join(policy.LINES)}, or none;"
        " without this option, the policy stays as it is (at first none)",
    )
    commands.add_parser("down", help="stop everything, keep the data")
    commands.add_parser("status", help="show what is running")
    logs = commands.add_parser(
        "logs", help="print the last lines of the logs, and follow them on a terminal"
    )
    logs.add_argument("names", nargs="*")
    commands.add_parser("psql", help="open a database prompt; takes the options of psql")
    commands.add_parser("prepare", help="only install TimescaleDB's programs")
    given, options = parser.parse_known_args()
    if options and given.command != "psql":
        parser.error(f"unknown arguments: {' '.join(options)}")
    try:
        if given.command == "up":
            with alone(state_folder() / "lock", seconds=OTHER_RUN_SECONDS):
                up(given.powers)
        elif given.command == "down":
            with alone(state_folder() / "lock", seconds=OTHER_RUN_SECONDS):
                down()
        elif given.command == "status":
            return status()
        elif given.command == "logs":
            logs_of(given.names)
        elif given.command == "psql":
            become_psql(options)
        else:
            timescaledb.find_installation()
    except (StackError, httpx.HTTPError, subprocess.SubprocessError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def up(words: str | None) -> None:
    allowed = None if words is None else policy.parse(words)
    settings = load(os.environ)
    supervisor = _supervisor(settings.state)
    if not processes.running(supervisor):
        ports.refuse_busy(settings)
    save(settings)
    certificates.issue(settings.state / "tls", _names(settings))
    if allowed is not None:
        policy.write(settings, allowed)
        say(f"the console may use on this machine: {', '.join(allowed) or 'nothing'}")
    say("settings, secrets and certificates are ready")

    programs = [_nats(settings), *_services(settings), _agent(settings)]
    if settings.own_database:
        programs.insert(0, _postgres(settings))
    processes.configure(supervisor, programs, {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"})
    if settings.own_database:
        processes.start(supervisor, "postgres")
    processes.start(supervisor, "nats")
    timescaledb.wait_until_ready(settings.values["DATABASE_URL"], settings.log / "postgres.log")
    if settings.own_database:
        _let_owner_create_roles(settings, supervisor)
    say("database and NATS are running")

    _flotilla(settings, "migrate")
    _flotilla(settings, "provision")
    add_first_user(settings)
    say("schema, streams and the first user are ready")

    processes.start(supervisor, *SERVICES)
    machine.wait_until_gateway_ready(settings)
    machine.wait_until_edge_listens(settings)
    say("services are running")

    with machine.logged_in(settings) as client:
        vps_id, changed = machine.enrol(settings, client)
        if changed:
            processes.stop_program(supervisor, "agent")
        processes.start(supervisor, "agent")
        vps = machine.wait_until_live(settings, client, vps_id)
    say(f"{vps['name']} is {vps['status']}, CPU {vps['latest']['cpu_usage']} %")
    print(
        f"\n  address   {settings.values['FLOTILLA_PUBLIC_URL']}"
        f"\n  user      admin"
        f"\n  password  in {settings.admin_password}\n"
    )


def add_first_user(settings: Settings) -> None:
    """Add the administrator `admin`, unless it exists; its password is in the stack's folder."""
    if not settings.admin_password.exists():
        write_private(settings.admin_password, f"{password()[:24]}\n")
    _flotilla(
        settings,
        "user",
        "add",
        "admin",
        "--role=admin",
        f"--password-file={settings.admin_password}",
        "--if-missing",
    )


def down() -> None:
    supervisor = _supervisor(state_folder())
    if processes.running(supervisor):
        processes.stop(supervisor)
        say("stopped; the data is kept")
    else:
        print("Nothing is running.")


def status() -> int:
    supervisor = _supervisor(state_folder())
    if not processes.running(supervisor):
        print("Nothing is running. Start it with `make up`.")
        return 0
    settings = load(os.environ)
    print(processes.status(supervisor))
    print(f"address {settings.values['FLOTILLA_PUBLIC_URL']}, data in {settings.state}")
    all_running = set(processes.states(supervisor).values()) == {"RUNNING"}
    return 0 if all_running else 1


def logs_of(names: list[str]) -> None:
    folder = state_folder() / "log"
    files = [str(folder / f"{name}.log") for name in names] or [
        str(path) for path in sorted(folder.glob("*.log"))
    ]
    if not files:
        raise StackError(f"No logs in {folder} yet.")
    follow = ["-F"] if sys.stdout.isatty() else []
    os.execvp("tail", ["tail", "-n", "30", *follow, *files])  # noqa: S606 -- becomes tail


def become_psql(options: list[str]) -> None:
    settings = load(os.environ)
    parts = psycopg.conninfo.conninfo_to_dict(settings.values["DATABASE_URL"])
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD"}
    names |= {"dbname": "PGDATABASE", "sslmode": "PGSSLMODE"}
    variables = {names[part]: str(value) for part, value in parts.items() if part in names}
    command = ["psql"]
    if shutil.which("psql") is None:
        command = timescaledb.client_command(settings.state / "postgres", "psql")
    os.execvpe(command[0], [*command, *options], {**os.environ, **variables})  # noqa: S606 -- becomes psql


def say(what: str) -> None:
    print(f"[{time.monotonic() - STARTED:5.1f} s] {what}", flush=True)


def _supervisor(state: Path) -> Supervisor:
    return Supervisor(state / "run", state / "log")


def _let_owner_create_roles(settings: Settings, supervisor: Supervisor) -> None:
    """Add a right that a database of an earlier version lacks; its server is stopped for that."""
    url, log = settings.values["DATABASE_URL"], settings.log / "postgres.log"
    if timescaledb.may_create_roles(url):
        return
    processes.stop_program(supervisor, "postgres")
    timescaledb.administer(_cluster(settings), f"ALTER ROLE {timescaledb.ROLE} CREATEROLE")
    processes.start(supervisor, "postgres")
    timescaledb.wait_until_ready(url, log)


def _cluster(settings: Settings) -> timescaledb.Cluster:
    return timescaledb.Cluster(
        timescaledb.find_installation(),
        settings.state / "postgres",
        settings.port("PG"),
        settings.values["FLOTILLA_PG_PASSWORD"],
    )


def _postgres(settings: Settings) -> Program:
    cluster = _cluster(settings)
    timescaledb.create(cluster)
    timescaledb.configure(cluster)
    build = _digest([cluster.folder / "postgresql.conf", cluster.folder / "pg_hba.conf"])
    command = timescaledb.server_command(cluster)
    # INT is PostgreSQL's fast shutdown. TERM would wait until every client has disconnected.
    return Program("postgres", command, build, stop_signal="INT")


def _nats(settings: Settings) -> Program:
    command = [
        str(BINARIES / "nats-server"),
        f"--config={NATS_CONFIGURATION}",
        "--addr=127.0.0.1",
        f"--port={settings.port('NATS')}",
        f"--store_dir={settings.state / 'nats'}",
    ]
    passwords = {name: settings.values[name] for name in NATS_PASSWORDS}
    return Program("nats", command, _digest([NATS_CONFIGURATION]), passwords)


def _services(settings: Settings) -> list[Program]:
    sources = [
        *_sources("services", "proto"),
        REPOSITORY / "requirements/dev.txt",
        Path(settings.values["FLOTILLA_TLS_CERTIFICATE"]),
    ]
    programs = []
    for service in SERVICES.values():
        folder = save_for(settings, service)
        command = [str(BINARIES / "flotilla"), "run", service.name]
        build = _digest([*sources, folder / "flotilla.env"])
        programs.append(Program(service.name, command, build, {"FLOTILLA_STATE": str(folder)}))
    return programs


def _agent(settings: Settings) -> Program:
    configuration = settings.state / "agent.toml"  # an installed agent has its own
    if not configuration.exists():
        configuration.write_text(
            "# Settings of this machine's agent, with the format of an installed agent's config.toml.\n"
        )
    command = [
        str(BINARIES / "flotilla-agent"),
        f"--state={settings.agent}",
        f"--config={configuration}",
        f"--policy={settings.policy}",
    ]
    policies = [settings.policy] if settings.policy.exists() else []
    build = _digest(
        [*_sources("agent", "proto"), REPOSITORY / "requirements/dev.txt", configuration, *policies]
    )
    return Program("agent", command, build)


def _sources(*folders: str) -> list[Path]:
    return [
        path
        for folder in folders
        for path in sorted((REPOSITORY / folder).rglob("*"))
        if path.suffix in {".py", ".sql", ".toml"}
    ]


def _digest(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _flotilla(settings: Settings, *words: str) -> None:
    done = subprocess.run(
        [str(BINARIES / "flotilla"), *words],
        env={"PATH": os.environ["PATH"], "FLOTILLA_STATE": str(settings.state)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode != 0:
        raise StackError(f"`flotilla {' '.join(words[:2])}` failed:\n{done.stdout}{done.stderr}")


def _names(settings: Settings) -> set[str]:
    return {
        "localhost",
        "127.0.0.1",
        socket.gethostname(),
        settings.values["FLOTILLA_PUBLIC_HOST"],
    }


if __name__ == "__main__":
    sys.exit(main())
