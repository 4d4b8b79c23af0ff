import base64
import binascii
import os
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.kit.errors import SettingsError

SECRET_MIN_LENGTH = 24  # characters
WEAK_WORDS = ("changeme", "password", "secret", "flotilla", "example", "default")

S = TypeVar("S", bound="Settings")


def _check_strength(secret: SecretStr) -> SecretStr:
    value = secret.get_secret_value()
    if len(value) < SECRET_MIN_LENGTH:
        raise ValueError(f"is {len(value)} characters long; it needs {SECRET_MIN_LENGTH} or more.")
    repeated = value in (value + value)[1:-1]
    if len(set(value)) < 8 or repeated or value.lower().startswith(WEAK_WORDS):
        raise ValueError("is easy to guess. Use `openssl rand -base64 36`.")
    return secret


def _check_key(secret: SecretStr) -> SecretStr:
    try:
        key = base64.b64decode(secret.get_secret_value(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != 32 or len(set(key)) < 8:
        raise ValueError("is not 32 random bytes in Base64. Use `openssl rand -base64 32`.")
    return secret


def _check_scheme(url: SecretStr) -> SecretStr:
    if urlsplit(url.get_secret_value()).scheme not in {"postgresql", "postgres"}:
        raise ValueError("is not a postgresql:// address.")
    return url


StrongSecret = Annotated[SecretStr, AfterValidator(_check_strength)]
RandomKey = Annotated[SecretStr, AfterValidator(_check_key)]
"""32 random bytes in Base64."""
DatabaseUrl = Annotated[SecretStr, AfterValidator(_check_scheme)]


class Settings(BaseSettings):
    """Settings of every service, from `FLOTILLA_…` variables and `$FLOTILLA_STATE/flotilla.env`."""

    model_config = SettingsConfigDict(
        env_prefix="FLOTILLA_",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    nats_url: str = "nats://127.0.0.1:4222"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    # Port on the loopback for /healthz, /readyz and /metrics; off unless set.
    health_port: int | None = Field(default=None, ge=1, le=65535)
    # OTLP/HTTP collector for traces. Unless set, traces are only in the headers of messages.
    otlp_endpoint: str | None = None


class DatabaseSettings(Settings):
    # Without the prefix, because hosts and tools use the name DATABASE_URL.
    database_url: DatabaseUrl = Field(validation_alias="DATABASE_URL")


def url_variable(service: str) -> str:
    """Return the variable with the database address of one service, which names its role."""
    return f"FLOTILLA_{service.upper()}_DATABASE_URL"


def own_database_url(service: str) -> Any:
    """Return the field `database_url` of a service's settings.

    A service that has its environment to itself may get its address as DATABASE_URL too.
    """
    return Field(validation_alias=AliasChoices(url_variable(service), "DATABASE_URL"))


def state_file() -> Path:
    return Path(os.environ.get("FLOTILLA_STATE", ".local")) / "flotilla.env"


def load(kind: type[S]) -> S:
    """Read the settings of one service.

    Raises:
        SettingsError: it has a line for each setting that is missing, weak or malformed, and one
            that names the sources of settings.
    """
    try:
        return kind(_env_file=state_file())  # type: ignore[call-arg]  # pydantic-settings takes it
    except ValidationError as error:
        raise SettingsError("\n".join([*_explain(kind, error), _sources()])) from None


def _sources() -> str:
    file = state_file().absolute()
    state = "" if file.exists() else ", which does not exist"
    return (
        f"Settings come from the environment and from {file}{state};"
        " FLOTILLA_STATE names the folder of that file."
    )


def _explain(kind: type[Settings], error: ValidationError) -> list[str]:
    prefix = str(kind.model_config.get("env_prefix", ""))
    lines = []
    for problem in error.errors(include_input=False, include_url=False):
        name = str(problem["loc"][0]) if problem["loc"] else "settings"
        variable = name if name.isupper() else f"{prefix}{name}".upper()
        reason = "is not set" if problem["type"] == "missing" else problem["msg"]
        lines.append(f"{variable} {reason.removeprefix('Value error, ').removesuffix('.')}.")
    return lines
