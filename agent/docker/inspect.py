import re
from datetime import datetime
from typing import Any

from agent.docker.client import Record, clean_text
from agent.docker.redaction import is_secret, redact_text, redact_words
from flotilla.v1.command_pb2 import ContainerDetails
from flotilla.v1.docker_pb2 import DockerContainerInfo

WORD_LIMIT = 64
VARIABLE_LIMIT = 256
NETWORK_LIMIT = 32
# Limits of long texts, in characters. A lower one is used if the details would be too large.
LONG_TEXTS = (4096, 512, 64)
DETAILS_BYTES = 256 * 1024

# RFC 3339 with any number of fractional digits.
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,6})?\d*(Z|[+-]\d\d:\d\d)")


def container_details(info: DockerContainerInfo, record: Record) -> ContainerDetails:
    """Convert the engine's record of one container (not of a list), without secrets."""
    details = ContainerDetails()
    for long in LONG_TEXTS:
        details = _convert(info, record, long)
        if details.ByteSize() <= DETAILS_BYTES:
            return details
    details.ClearField("environment")
    return details


def _convert(info: DockerContainerInfo, record: Record, long: int) -> ContainerDetails:
    config, host = record.get("Config") or {}, record.get("HostConfig") or {}
    state = record.get("State") or {}
    words = [record.get("Path") or "", *(record.get("Args") or [])]
    details = ContainerDetails(
        info=info,
        # Redact before cutting: a cut text may lack the part that reveals a secret.
        command=[clean_text(word, long) for word in redact_words(words[:WORD_LIMIT])],
        user=clean_text(config.get("User")),
        working_directory=clean_text(config.get("WorkingDir")),
        restart_policy=_restart_policy(host.get("RestartPolicy") or {}),
        restart_count=_count(record.get("RestartCount")),
        started_at_unix_ms=unix_ms(state.get("StartedAt")),
        finished_at_unix_ms=unix_ms(state.get("FinishedAt")),
        exit_code=int(state.get("ExitCode") or 0),
        health=_health(state.get("Health") or {}),
        network_mode=clean_text(host.get("NetworkMode")),
        privileged=bool(host.get("Privileged")),
        image_id=clean_text(record.get("Image")),
        error=clean_text(redact_text(state.get("Error") or ""), long),
        memory_limit_bytes=_count(host.get("Memory")),
        cpu_limit=_cpu_limit(host),
    )
    for entry in (config.get("Env") or [])[:VARIABLE_LIMIT]:
        name, _, value = entry.partition("=")
        hidden = is_secret(name, value)
        shown = "" if hidden else clean_text(value, long)
        details.environment.add(name=clean_text(name), value=shown, masked=hidden)
    networks = (record.get("NetworkSettings") or {}).get("Networks") or {}
    for name, network in sorted(networks.items())[:NETWORK_LIMIT]:
        details.networks.add(
            name=clean_text(name),
            ip_address=clean_text(network.get("IPAddress") or network.get("GlobalIPv6Address")),
            mac_address=clean_text(network.get("MacAddress")),
        )
    return details


def unix_ms(time: object) -> int:
    """Convert a time of the engine; 0 for "never", which it writes as a time in the year 1."""
    match = _TIME.fullmatch(str(time or ""))
    if not match or match[1] < "1970":
        return 0
    seconds, fraction, zone = match.groups()
    moment = datetime.fromisoformat(seconds + (zone if zone != "Z" else "+00:00"))
    return round((moment.timestamp() + float(fraction or 0)) * 1000)


def _restart_policy(policy: Record) -> str:
    name, most = clean_text(policy.get("Name")), policy.get("MaximumRetryCount")
    return f"{name}:{most}" if most else name


def _health(health: Record) -> str:
    status = clean_text(health.get("Status"))
    return "" if status == "none" else status


def _cpu_limit(host: Record) -> float:
    """Return the limit in cores; 0 for no limit."""
    if nano := host.get("NanoCpus"):
        return float(nano) / 1e9
    quota, period = host.get("CpuQuota") or 0, host.get("CpuPeriod") or 100_000
    return float(quota) / period if quota > 0 else 0.0


def _count(value: Any) -> int:
    return max(int(value or 0), 0)
