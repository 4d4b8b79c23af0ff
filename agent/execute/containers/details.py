import re
from datetime import datetime
from typing import Any

from agent.engine import Record, text_of
from agent.execute.containers.masking import is_secret, masked_text, masked_words
from flotilla.v1.command_pb2 import ContainerDetails
from flotilla.v1.docker_pb2 import DockerContainerInfo

WORD_LIMIT = 64
VARIABLE_LIMIT = 256
NETWORK_LIMIT = 32
# Characters of a text; fewer where all of it would not fit into an answer.
LONG_TEXTS = (4096, 512, 64)
DETAILS_BYTES = 256 * 1024

# RFC 3339 with as many digits as the engine likes.
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,6})?\d*(Z|[+-]\d\d:\d\d)")


def details(info: DockerContainerInfo, record: Record) -> ContainerDetails:
    """`record` is what the engine tells of one container, not of it in a list."""
    told = ContainerDetails()
    for long in LONG_TEXTS:
        told = _told(info, record, long)
        if told.ByteSize() <= DETAILS_BYTES:
            return told
    told.ClearField("environment")
    return told


def _told(info: DockerContainerInfo, record: Record, long: int) -> ContainerDetails:
    config, host = record.get("Config") or {}, record.get("HostConfig") or {}
    state = record.get("State") or {}
    words = [record.get("Path") or "", *(record.get("Args") or [])]
    told = ContainerDetails(
        info=info,
        # Masked before it is cut, which could hide what gives a secret away.
        command=[text_of(word, long) for word in masked_words(words[:WORD_LIMIT])],
        user=text_of(config.get("User")),
        working_directory=text_of(config.get("WorkingDir")),
        restart_policy=_restart_policy(host.get("RestartPolicy") or {}),
        restart_count=_count(record.get("RestartCount")),
        started_at_unix_ms=unix_ms(state.get("StartedAt")),
        finished_at_unix_ms=unix_ms(state.get("FinishedAt")),
        exit_code=int(state.get("ExitCode") or 0),
        health=_health(state.get("Health") or {}),
        network_mode=text_of(host.get("NetworkMode")),
        privileged=bool(host.get("Privileged")),
        image_id=text_of(record.get("Image")),
        error=text_of(masked_text(state.get("Error") or ""), long),
        memory_limit_bytes=_count(host.get("Memory")),
        cpu_limit=_cpu_limit(host),
    )
    for entry in (config.get("Env") or [])[:VARIABLE_LIMIT]:
        name, _, value = entry.partition("=")
        hidden = is_secret(name, value)
        shown = "" if hidden else text_of(value, long)
        told.environment.add(name=text_of(name), value=shown, masked=hidden)
    networks = (record.get("NetworkSettings") or {}).get("Networks") or {}
    for name, network in sorted(networks.items())[:NETWORK_LIMIT]:
        told.networks.add(
            name=text_of(name),
            ip_address=text_of(network.get("IPAddress") or network.get("GlobalIPv6Address")),
            mac_address=text_of(network.get("MacAddress")),
        )
    return told


def unix_ms(time: object) -> int:
    """0 for never, which the engine writes as a moment in the year 1."""
    match = _TIME.fullmatch(str(time or ""))
    if not match or match[1] < "1970":
        return 0
    seconds, fraction, zone = match.groups()
    moment = datetime.fromisoformat(seconds + (zone if zone != "Z" else "+00:00"))
    return round((moment.timestamp() + float(fraction or 0)) * 1000)


def _restart_policy(policy: Record) -> str:
    name, most = text_of(policy.get("Name")), policy.get("MaximumRetryCount")
    return f"{name}:{most}" if most else name


def _health(health: Record) -> str:
    status = text_of(health.get("Status"))
    return "" if status == "none" else status


def _cpu_limit(host: Record) -> float:
    """In cores; 0 for none."""
    if nano := host.get("NanoCpus"):
        return float(nano) / 1e9
    quota, period = host.get("CpuQuota") or 0, host.get("CpuPeriod") or 100_000
    return float(quota) / period if quota > 0 else 0.0


def _count(value: Any) -> int:
    return max(int(value or 0), 0)
