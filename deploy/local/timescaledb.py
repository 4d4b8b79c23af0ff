"""A PostgreSQL cluster with TimescaleDB: one foreground process and one folder."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from deploy.local import debian
from deploy.local.waiting import StackError, wait_for
from services.kit.services import DATABASE_SERVICES

ENTER_ROOT = Path(__file__).with_name("enter-root.sh")
ROLE = "flotilla"  # owner of the tables
ROLES = (ROLE, *(f"{ROLE}_{service}" for service in DATABASE_SERVICES))
READY_SECONDS = 60.0

BASE_SETTINGS = {
    "listen_addresses": "'127.0.0.1'",
    "unix_socket_directories": "''",
    "max_connections": "100",
    "password_encryption": "'scram-sha-256'",
    "shared_preload_libraries": "'timescaledb'",
    "timescaledb.telemetry_level": "off",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    "shared_buffers": "'256MB'",
    "work_mem": "'16MB'",
    "maintenance_work_mem": "'128MB'",
    "effective_cache_size": "'1GB'",
    "random_page_cost": "1.1",
    "wal_compression": "on",
    "max_wal_size": "'2GB'",
    "checkpoint_timeout": "'15min'",
    "jit": "off",  # queries are short, so compiling them costs more than it saves
    "log_checkpoints": "off",
    "log_line_prefix": "'%m [%p] %q%u@%d '",
}
# Settings for a cluster that is deleted after the tests.
EPHEMERAL_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "'64MB'",
}


@dataclass(frozen=True, slots=True)
class Installation:
    """PostgreSQL's programs, in a private root directory or in that of the machine."""

    root: Path
    programs: str
    uid: int
    gid: int
    community: bool
    """True if TimescaleDB's Community modules are installed; Debian has the Apache edition."""


@dataclass(frozen=True, slots=True)
class Cluster:
    installation: Installation
    folder: Path
    port: int
    password: str
    ephemeral: bool = False

    def url(self, database: str = ROLE) -> str:
        return f"postgresql://{ROLE}:{self.password}@127.0.0.1:{self.port}/{database}"


def find_installation() -> Installation:
    """Return the machine's PostgreSQL if it has TimescaleDB, else a private one."""
    return _installation(Path("/")) or private_installation()


def private_installation() -> Installation:
    root = debian.private_root()
    installation = _installation(root)
    if installation is None:
        raise StackError(
            f"{root} contains no PostgreSQL with TimescaleDB. Delete it and try again."
        )
    return installation


def _installation(root: Path) -> Installation | None:
    found = sorted(
        root.glob("usr/lib/postgresql/*/lib/timescaledb.so"),
        key=lambda library: int(library.parts[-3]),
    )
    user = _user(root, "postgres")
    if not found or user is None:
        return None
    library = found[-1].parent
    programs = "/" + str(library.with_name("bin").relative_to(root))
    community = any(library.glob("timescaledb-tsl-*.so"))
    return Installation(root, programs, *user, community)


def _user(root: Path, name: str) -> tuple[int, int] | None:
    for line in (root / "etc/passwd").read_text().splitlines():
        fields = line.split(":")
        if fields[0] == name:
            return int(fields[2]), int(fields[3])
    return None


def create(cluster: Cluster) -> None:
    """Create the cluster with its role and database, unless its folder exists."""
    if cluster.folder.exists():
        return
    _require_root()
    building = cluster.folder.with_name(f"{cluster.folder.name}.new")
    if building.exists():
        shutil.rmtree(building)
    building.mkdir(mode=0o700, parents=True)
    os.chown(building, cluster.installation.uid, cluster.installation.gid)
    _run(
        _entered(cluster.installation, building, "initdb")
        + ["--pgdata=/mnt", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8"]
        + ["--auth-local=reject", "--auth-host=reject", "--no-instructions"]
        + (["--no-sync"] if cluster.ephemeral else ["--data-checksums"])
    )
    draft = Cluster(
        cluster.installation, building, cluster.port, cluster.password, cluster.ephemeral
    )
    configure(draft)
    administer(
        draft,
        f"CREATE ROLE {ROLE} LOGIN CREATEROLE PASSWORD '{cluster.password}'",
        f"CREATE DATABASE {ROLE} OWNER {ROLE}",
    )
    administer(draft, "CREATE EXTENSION timescaledb", database=ROLE)
    building.rename(cluster.folder)


def configure(cluster: Cluster) -> None:
    """Write the complete configuration that the server reads at its start."""
    # In the Apache edition, background workers only run policies that always fail.
    workers = "16" if cluster.installation.community else "0"
    settings = {
        **BASE_SETTINGS,
        "timescaledb.max_background_workers": workers,
        **(EPHEMERAL_SETTINGS if cluster.ephemeral else {}),
        "port": str(cluster.port),
    }
    # Tests create further roles.
    roles = "all" if cluster.ephemeral else ",".join(ROLES)
    for name, text in (
        ("postgresql.conf", "".join(f"{key} = {value}\n" for key, value in settings.items())),
        ("pg_hba.conf", f"host all {roles} 127.0.0.1/32 scram-sha-256\n"),
    ):
        path = cluster.folder / name
        path.write_text(text)
        os.chown(path, cluster.installation.uid, cluster.installation.gid)


def administer(cluster: Cluster, *statements: str, database: str = "postgres") -> None:
    """Run statements as superuser while the server is stopped; superusers cannot log in."""
    _run(
        [
            *_entered(cluster.installation, cluster.folder, "postgres"),
            "--single",
            "-D",
            "/mnt",
            "-c",
            "exit_on_error=on",
            database,
        ],
        words="".join(f"{statement};\n" for statement in statements),
    )


def may_create_roles(url: str) -> bool:
    with psycopg.connect(url, connect_timeout=5) as connection:
        row = connection.execute(
            "SELECT rolcreaterole FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    return row is not None and bool(row[0])


def server_command(cluster: Cluster) -> list[str]:
    """Return the command that becomes PostgreSQL's postmaster."""
    return [*_entered(cluster.installation, cluster.folder, "postgres"), "-D", "/mnt"]


def client_command(folder: Path, program: str) -> list[str]:
    """Return the command of a client program that is installed with the server."""
    return _entered(find_installation(), folder, program)


def wait_until_ready(url: str, log: Path) -> None:
    def ready() -> bool:
        try:
            psycopg.connect(url, connect_timeout=5).close()
        except psycopg.OperationalError as error:
            if "authentication failed" in str(error):
                raise StackError(f"The database refuses the stack's password: {error}") from error
            return False
        return True

    wait_for(ready, seconds=READY_SECONDS, otherwise="The database does not answer.", log=log)


def _require_root() -> None:
    if os.geteuid() != 0:
        raise StackError(
            "Only root can enter a private TimescaleDB. Run this as root, or set DATABASE_URL."
        )


def _entered(installation: Installation, folder: Path, program: str) -> list[str]:
    return [
        "unshare",
        "--mount",
        "--propagation=private",
        str(ENTER_ROOT),
        str(installation.root),
        str(folder.resolve()),
        str(installation.uid),
        str(installation.gid),
        f"{installation.programs}/{program}",
    ]


def _run(command: Sequence[str], *, words: str = "") -> None:
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        command,
        input=words,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode != 0:
        raise StackError(f"PostgreSQL could not be set up:\n{done.stderr.strip()}")
