"""Settings of commands, and changes of keys in the settings file."""

import base64
import os
import secrets
from pathlib import Path

from pydantic import SecretStr

from services.kit.errors import SettingsError
from services.kit.settings import (
    DatabaseSettings,
    DatabaseUrl,
    Settings,
    StrongSecret,
    state_file,
)


class ProvisionSettings(Settings):
    nats_provision_password: StrongSecret


class OwnerSettings(DatabaseSettings):
    """The address of the tables' owner, and those of the services, whose roles it creates."""

    writer_database_url: DatabaseUrl | None = None
    rollup_database_url: DatabaseUrl | None = None
    gateway_database_url: DatabaseUrl | None = None
    shellproxy_database_url: DatabaseUrl | None = None
    alerting_database_url: DatabaseUrl | None = None

    def service_url(self, service: str) -> str | None:
        url: SecretStr | None = getattr(self, f"{service}_database_url")
        return None if url is None else url.get_secret_value()


class OperatorSettings(Settings):
    nats_operator_password: StrongSecret


class RepairSettings(Settings):
    nats_repair_password: StrongSecret


def new_key() -> SecretStr:
    """Return 32 random bytes in Base64."""
    return SecretStr(base64.b64encode(secrets.token_bytes(32)).decode())


def require_changeable(name: str) -> Path:
    """Return the settings file, in which this command can change the key `name` and the previous one.

    Raises:
        SettingsError: a key is set in the environment, or the file does not exist.
    """
    path = state_file()
    for variable in (name, f"{name}_PREVIOUS"):
        if os.environ.get(variable):
            raise SettingsError(
                f"{variable} is set in the environment, so this command cannot change it. Move the"
                f" value of {name} to {name}_PREVIOUS, set {name} to the output of"
                " `openssl rand -base64 32`, and restart the services."
            )
    if not path.exists():
        raise SettingsError(
            f"{path} does not exist. Set FLOTILLA_STATE to the folder of that file."
        )
    return path


def change_key(path: Path, name: str, current: SecretStr, previous: SecretStr | None) -> None:
    """Write a key and the previous one into the settings file. Without a previous one, remove it."""
    lines = path.read_text().splitlines()
    names = {name, f"{name}_PREVIOUS"}
    kept = [line for line in lines if line.partition("=")[0].strip() not in names]
    kept.append(f"{name}={current.get_secret_value()}")
    if previous is not None:
        kept.append(f"{name}_PREVIOUS={previous.get_secret_value()}")
    _replace(path, "".join(f"{line}\n" for line in kept))


def _replace(path: Path, text: str) -> None:
    """Replace a file atomically; the new one is synced, and only its owner can ever read it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
