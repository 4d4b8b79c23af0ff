"""Settings from the configuration file, and settings that the server pushes."""

import dataclasses
import logging
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agent.base.errors import ConfigError
from flotilla.v1.agent_pb2 import AgentConfig, Collector, LogLevel

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

log = logging.getLogger(__name__)

INTERVAL_MIN = 0.5  # seconds
INTERVAL_MAX = 3600.0  # seconds
FILE_LIMIT = 65_536  # bytes
COMMAND_LIMIT = 32
DAYS_MAX = 31  # the server does not accept older measurements
LOG_LEVELS = ("debug", "info", "warning", "error")


def collector_name(collector: Collector.ValueType) -> str:
    return Collector.Name(collector).removeprefix("COLLECTOR_").lower()


Check = Callable[[object], Any]

COLLECTORS = frozenset(collector_name(number) for number in Collector.values() if number)


@dataclasses.dataclass(frozen=True, slots=True)
class CustomCollector:
    """A program of the host's owner that prints metrics, and when to run it."""

    argv: tuple[str, ...]
    interval: float = 60.0  # seconds
    timeout: float = 10.0  # seconds
    name: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Config:
    """Settings of the agent."""

    report_interval: float = 2.0  # seconds
    log_level: str = "info"
    disabled_collectors: frozenset[str] = frozenset()
    docker: bool = False
    docker_socket: str = "/var/run/docker.sock"
    # The server cannot turn it on: names of processes say a lot about a host.
    top_processes: bool = False
    # Not shown, because the configuration is logged and arguments can be secrets.
    collectors: tuple[CustomCollector, ...] = dataclasses.field(default=(), repr=False)
    spool_max_mb: int = 256
    spool_max_days: float = 7.0


def load(path: Path, *, required: bool) -> Config:
    """Read the configuration file. Without a file that is not required, use the defaults.

    Raises:
        ConfigError: The file cannot be read, or a setting is wrong.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        if required:
            raise ConfigError("file", "does not exist", str(path)) from None
        return Config()
    except OSError as error:
        raise ConfigError("file", error.strerror or "cannot be read", str(path)) from None
    if len(content) > FILE_LIMIT:
        raise ConfigError("file", f"must have at most {FILE_LIMIT} bytes", str(path))
    return parse(content, str(path))


def parse(content: bytes, source: str) -> Config:
    values = parse_table(content, source, CHECKS)
    return Config(**{FIELDS.get(key, key): value for key, value in values.items()})


def parse_table(content: bytes, source: str, checks: Mapping[str, Check]) -> dict[str, Any]:
    """Return the values of a TOML table, each as the check of its key returns it.

    Raises:
        ConfigError: A key has no check, or its check raises a ValueError.
    """
    try:
        table = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("file", f"is not valid TOML: {error}", source) from None
    values = {}
    for key, value in table.items():
        check = checks.get(key)
        if check is None:
            raise ConfigError(key, f"is not a setting; settings are {', '.join(checks)}", source)
        try:
            values[key] = check(value)
        except ValueError as error:
            raise ConfigError(key, str(error), source) from None
    return values


def _interval(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value):
        raise ValueError("must be a number of seconds")
    if not INTERVAL_MIN <= value <= INTERVAL_MAX:
        raise ValueError(f"must be from {INTERVAL_MIN:g} to {INTERVAL_MAX:g} seconds")
    return float(value)


def _log_level(value: object) -> str:
    if not isinstance(value, str) or value not in LOG_LEVELS:
        raise ValueError(f"must be one of {', '.join(LOG_LEVELS)}")
    return value


def _collectors(value: object) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError("must be a list of names")
    unknown = sorted(set(value) - COLLECTORS)
    if unknown:
        known = ", ".join(sorted(COLLECTORS))
        raise ValueError(f"has unknown collectors {', '.join(unknown)}; known are {known}")
    return frozenset(value)


def parse_boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")  # noqa: TRY004  # parse_table() names the key
    return value


def _megabytes(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 100_000:
        raise ValueError("must be a whole number from 1 to 100000")
    return value


def _days(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= DAYS_MAX:
        raise ValueError(
            f"must be a number above 0 and up to {DAYS_MAX}, which is what the server accepts"
        )
    return float(value)


def _socket(value: object) -> str:
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError("must be the absolute path of a socket")
    return value


def _commands(value: object) -> tuple[CustomCollector, ...]:
    if not isinstance(value, list) or not all(isinstance(table, dict) for table in value):
        raise ValueError("must be written as [[collector]]")
    if len(value) > COMMAND_LIMIT:
        raise ValueError(f"may occur at most {COMMAND_LIMIT} times")
    return tuple(_command(table) for table in value)


def _command(table: dict[str, object]) -> CustomCollector:
    unknown = sorted(set(table) - {"command", "interval", "timeout"})
    if unknown:
        raise ValueError(f"has unknown keys {', '.join(unknown)}")
    words = table.get("command")
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError("needs a command, which must be a list of strings")
    if not words or not words[0].startswith("/"):
        raise ValueError("needs a command that begins with an absolute path")
    return CustomCollector(
        argv=tuple(words),
        interval=_seconds("interval", table.get("interval", 60), 1, 86_400),
        timeout=_seconds("timeout", table.get("timeout", 10), 0.1, 60),
        name=Path(words[0]).name,
    )


def _seconds(key: str, value: object, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise ValueError(f"needs {key} to be from {least:g} to {most:g} seconds")
    return float(value)


# Names of fields that differ from the key in the file.
FIELDS = {"collector": "collectors"}

CHECKS: dict[str, Check] = {
    "report_interval": _interval,
    "log_level": _log_level,
    "disabled_collectors": _collectors,
    "docker": parse_boolean,
    "docker_socket": _socket,
    "top_processes": parse_boolean,
    "collector": _commands,
    "spool_max_mb": _megabytes,
    "spool_max_days": _days,
}


def merge(local: Config, pushed: AgentConfig) -> Config:
    """Return the settings of the file, replaced by those that the server pushed."""
    changes: dict[str, Any] = {}
    if pushed.HasField("report_interval_ms"):
        seconds = pushed.report_interval_ms / 1000
        changes["report_interval"] = min(max(seconds, INTERVAL_MIN), INTERVAL_MAX)
    if pushed.HasField("log_level") and pushed.log_level in LogLevel.values()[1:]:
        name = LogLevel.Name(pushed.log_level)
        changes["log_level"] = name.removeprefix("LOG_LEVEL_").lower()
    if pushed.HasField("docker_enabled"):
        changes["docker"] = pushed.docker_enabled
    if pushed.HasField("disabled_collectors"):
        known = Collector.values()[1:]
        changes["disabled_collectors"] = frozenset(
            # A newer server can name a collector that this agent does not have.
            collector_name(number)
            for number in pushed.disabled_collectors.collectors
            if number in known
        )
    return dataclasses.replace(local, **changes)


class LiveConfig:
    """The current configuration, which the server can change at any time."""

    def __init__(self, local: Config, pushed: AgentConfig) -> None:
        self._local = local
        self._listeners: list[Callable[[], None]] = []
        self.revision = pushed.revision
        self.current = merge(local, pushed)

    def subscribe(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)

    def apply(self, pushed: AgentConfig) -> bool:
        """Use a newer revision. Return False if this one is not newer."""
        if pushed.revision <= self.revision:
            return False
        self.revision = pushed.revision
        self.current = merge(self._local, pushed)
        log.info("Configuration revision %d applied: %s", self.revision, self.current)
        for listener in self._listeners:
            listener()
        return True
