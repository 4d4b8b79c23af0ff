"""The local stack's settings, which are created once and kept in $FLOTILLA_STATE/flotilla.env.

That file is for the stack and the `flotilla` command. A service gets a file of its own with the
settings that it reads.
"""

from __future__ import annotations

import base64
import os
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from deploy.local.timescaledb import ROLE
from deploy.local.waiting import StackError
from services.kit.bus.subjects import User
from services.kit.services import DATABASE_SERVICES, Service
from services.kit.settings import url_variable

REPOSITORY = Path(__file__).resolve().parents[2]
# supervisord's socket is in the state folder, and the path of a Unix socket has at most 107 bytes.
STATE_PATH_BYTES = 70

NATS_PASSWORDS = tuple(f"FLOTILLA_NATS_{user.upper()}_PASSWORD" for user in User)
PG_PASSWORDS = {service: f"FLOTILLA_PG_{service.upper()}_PASSWORD" for service in DATABASE_SERVICES}
SECRETS = (
    *NATS_PASSWORDS,
    "FLOTILLA_PG_PASSWORD",
    *PG_PASSWORDS.values(),
    "FLOTILLA_TOKEN_SECRET",
)
# 32 random bytes each. A rotation keeps the previous one.
KEYS = ("FLOTILLA_COMMAND_KEY", "FLOTILLA_MASTER_KEY")

# Settings that a person may choose in the environment. They are kept for later commands.
CHOICES = {
    "FLOTILLA_BIND": "127.0.0.1",
    "FLOTILLA_PUBLIC_HOST": "127.0.0.1",
    "FLOTILLA_HTTP_PORT": "8080",
    "FLOTILLA_GRPC_PORT": "8443",
    "FLOTILLA_NATS_PORT": "14222",
    "FLOTILLA_PG_PORT": "15432",
}
PORTS = tuple(name for name in CHOICES if name.endswith("_PORT"))


@dataclass(frozen=True, slots=True)
class Settings:
    state: Path
    values: Mapping[str, str]
    own_database: bool
    """True if the stack runs its own TimescaleDB, because DATABASE_URL is not set."""

    def port(self, name: str) -> int:
        return int(self.values[f"FLOTILLA_{name}_PORT"])

    @property
    def log(self) -> Path:
        return self.state / "log"

    @property
    def admin_password(self) -> Path:
        return self.state / "admin-password"

    @property
    def agent(self) -> Path:
        return self.state / "agent"

    @property
    def policy(self) -> Path:
        """The file that says what the console may do on this machine."""
        return self.agent / "policy.toml"


def state_folder() -> Path:
    state = REPOSITORY / os.environ.get("FLOTILLA_STATE", ".local")
    if len(str(state).encode()) > STATE_PATH_BYTES:
        raise StackError(
            f"The path {state} has more than {STATE_PATH_BYTES} bytes, which is too long for the"
            " stack's socket. Set FLOTILLA_STATE to a shorter path."
        )
    return state


def load(environment: Mapping[str, str]) -> Settings:
    """Return the settings from the environment, else the saved ones, else the defaults."""
    state = state_folder()
    kept = read(state / "flotilla.env")
    values = {
        name: environment.get(name) or kept.get(name) or default
        for name, default in CHOICES.items()
    }
    for name in PORTS:
        if not values[name].isdecimal() or not 0 < int(values[name]) < 65536:
            raise StackError(f"{name} is {values[name]}; it must be a port from 1 to 65535.")
    values.update({name: kept.get(name) or password() for name in SECRETS})
    for name in KEYS:
        values[name] = kept.get(name) or seed()
        values[f"{name}_PREVIOUS"] = kept.get(f"{name}_PREVIOUS", "")
    host = values["FLOTILLA_PUBLIC_HOST"]
    values.update(
        {
            "FLOTILLA_NATS_URL": f"nats://127.0.0.1:{values['FLOTILLA_NATS_PORT']}",
            "FLOTILLA_GRPC_HOST": values["FLOTILLA_BIND"],
            "FLOTILLA_HTTP_HOST": values["FLOTILLA_BIND"],
            "FLOTILLA_PUBLIC_URL": f"http://{host}:{values['FLOTILLA_HTTP_PORT']}",
            "FLOTILLA_AGENT_ADDRESS": f"{host}:{values['FLOTILLA_GRPC_PORT']}",
            "FLOTILLA_TLS_CERTIFICATE": str(state / "tls/edge.pem"),
            "FLOTILLA_TLS_KEY": str(state / "tls/edge.key"),
            "FLOTILLA_CA_CERTIFICATE": str(state / "tls/ca.pem"),
            "FLOTILLA_CONSOLE_DIR": str(REPOSITORY / "web/dist"),
            "FLOTILLA_AGENT_DIR": str(REPOSITORY / "build/agent"),
        }
    )
    chosen = environment.get("DATABASE_URL", kept.get("FLOTILLA_CHOSEN_DATABASE_URL", ""))
    own = (
        f"postgresql://{ROLE}:{values['FLOTILLA_PG_PASSWORD']}"
        f"@127.0.0.1:{values['FLOTILLA_PG_PORT']}/{ROLE}"
    )
    values["FLOTILLA_CHOSEN_DATABASE_URL"] = chosen
    values["DATABASE_URL"] = chosen or own
    for service, name in PG_PASSWORDS.items():
        values[url_variable(service)] = _service_url(chosen or own, service, values[name])
    return Settings(state, values, own_database=not chosen)


def _service_url(owner: str, service: str, word: str) -> str:
    """Return the address of the same database for the role of a service.

    Roles belong to the whole server, so their names contain that of the database.
    """
    parts = urlsplit(owner)
    host = parts.netloc.rpartition("@")[2]
    role = quote(f"{unquote(parts.path.strip('/')) or ROLE}_{service}", safe="")
    return urlunsplit(parts._replace(netloc=f"{role}:{word}@{host}"))


def save(settings: Settings) -> None:
    _write(settings.state / "flotilla.env", settings.values)


def save_for(settings: Settings, service: Service) -> Path:
    """Write the file with the settings that a service reads, and no others; return its folder."""
    folder = settings.state / "services" / service.name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    fields = service.settings_class().model_fields
    names = {f"FLOTILLA_{field.upper()}" for field in fields} | {url_variable(service.name)}
    _write(
        folder / "flotilla.env",
        {name: value for name, value in settings.values.items() if name in names},
    )
    return folder


def _write(path: Path, values: Mapping[str, str]) -> None:
    write_private(path, "".join(f"{name}={value}\n" for name, value in sorted(values.items())))


def read(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    pairs = (line.partition("=") for line in path.read_text().splitlines())
    return {name: value for name, equals, value in pairs if equals}


def password() -> str:
    """Return a random password of letters: nats-server parses its environment as configuration."""
    return "".join(secrets.choice(string.ascii_letters) for _ in range(64))


def seed() -> str:
    """Return a new key of 32 random bytes in Base64, as the services read it."""
    return base64.b64encode(secrets.token_bytes(32)).decode()


def write_private(path: Path, text: str) -> None:
    """Replace a file atomically; only its owner can ever read it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)
