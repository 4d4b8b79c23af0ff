import os
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.kit.errors import SettingsError

SECRET_MIN_LENGTH = 24  # characters
WEAK_WORDS = ("changeme", "password", "secret", "flotilla", "example", "default")

S = TypeVar("S", bound="Settings")


def _refuse_weak(secret: SecretStr) -> SecretStr:
    value = secret.get_secret_value()
    if len(value) < SECRET_MIN_LENGTH:
        raise ValueError(f"is shorter than {SECRET_MIN_LENGTH} characters")
    repeated = value in (value + value)[1:-1]
    if len(set(value)) < 8 or repeated or value.lower().startswith(WEAK_WORDS):
        raise ValueError("is easy to guess: use `openssl rand -base64 36`")
    return secret


def _refuse_passwordless(url: SecretStr) -> SecretStr:
    parts = urlsplit(url.get_secret_value())
    if parts.scheme not in {"postgresql", "postgres"}:
        raise ValueError("is not a postgresql:// address")
    return url


StrongSecret = Annotated[SecretStr, AfterValidator(_refuse_weak)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_refuse_passwordless)]


class Settings(BaseSettings):
    """What every service reads from `FLOTILLA_…` and `$FLOTILLA_STATE/flotilla.env`."""

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
    # Serves /healthz, /readyz and /metrics on the loopback; off unless set.
    health_port: int | None = Field(default=None, ge=1, le=65535)
    # Traces go to this OTLP/HTTP collector; kept to the bus headers unless set.
    otlp_endpoint: str | None = None


class DatabaseSettings(Settings):
    # DATABASE_URL is what every host and tool calls it.
    database_url: DatabaseUrl = Field(validation_alias="DATABASE_URL")


def state_file() -> Path:
    return Path(os.environ.get("FLOTILLA_STATE", ".local")) / "flotilla.env"


def load(kind: type[S]) -> S:
    """Read settings of one kind.

    Raises:
        SettingsError: a line for each setting that is missing, weak or malformed.
    """
    try:
        return kind(_env_file=state_file())  # type: ignore[call-arg]  # pydantic-settings takes it
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(kind, error))) from None


def _explain(kind: type[Settings], error: ValidationError) -> list[str]:
    prefix = str(kind.model_config.get("env_prefix", ""))
    lines = []
    for problem in error.errors(include_input=False, include_url=False):
        name = str(problem["loc"][0]) if problem["loc"] else "settings"
        variable = name if name.isupper() else f"{prefix}{name}".upper()
        reason = "is not set" if problem["type"] == "missing" else problem["msg"]
        lines.append(f"{variable} {reason.removeprefix('Value error, ')}")
    return lines
