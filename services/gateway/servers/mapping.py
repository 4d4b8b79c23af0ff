"""Converts servers between protobuf messages, the database's JSON and the API's types."""

from datetime import UTC, datetime
from typing import Any

from flotilla.v1 import agent_pb2, bus_pb2
from services.gateway.fleet.server_state import Server
from services.gateway.servers import schemas
from services.gateway.servers import store as server_store
from services.kit.agents.presence import Status

_FILES = {
    agent_pb2.Powers.FILE_ACCESS_READ: "read",
    agent_pb2.Powers.FILE_ACCESS_WRITE: "write",
}
_DOCKER = {
    agent_pb2.Powers.DOCKER_ACCESS_READ: "read",
    agent_pb2.Powers.DOCKER_ACCESS_ACTIONS: "actions",
}


def metadata(facts: agent_pb2.HostFacts, powers: agent_pb2.Powers) -> dict[str, Any]:
    """Return the part of an agent's greeting that `vps.metadata` keeps."""
    return {
        "facts": {
            "hostname": facts.hostname,
            "os_id": facts.os_id,
            "os_name": facts.os_name,
            "kernel": facts.kernel,
            "architecture": facts.architecture,
            "cpu_model": facts.cpu_model,
            "cpu_count": facts.cpu_count,
            "memory_total": facts.memory_total_bytes,
            "virtualization": facts.virtualization,
            "boot_time": datetime.fromtimestamp(facts.boot_time_unix_s, UTC).isoformat(),
            "ip_addresses": list(facts.ip_addresses),
            "agent_version": facts.agent_version,
        },
        "powers": {
            "shell": powers.shell,
            "commands": powers.commands,
            "files": _FILES.get(powers.files, "off"),
            "docker": _DOCKER.get(powers.docker, "off"),
            "file_roots": list(powers.file_roots),
            "user": powers.user,
        },
        "command_keys": [key.hex() for key in powers.command_keys],
    }


def agent_record(vps: server_store.Vps) -> bus_pb2.AgentRecord:
    return bus_pb2.AgentRecord(
        vps_id=str(vps.id),
        public_key=vps.agent_public_key or b"",
        enabled=True,
        config=_config(vps),
    )


def _config(vps: server_store.Vps) -> agent_pb2.AgentConfig:
    config = agent_pb2.AgentConfig(revision=vps.config_revision)
    settings = vps.agent_config
    if (interval := settings.get("report_interval_seconds")) is not None:
        config.report_interval_ms = round(interval * 1000)
    if (level := settings.get("log_level")) is not None:
        config.log_level = agent_pb2.LogLevel.Value(f"LOG_LEVEL_{level.upper()}")
    if (docker := settings.get("docker_enabled")) is not None:
        config.docker_enabled = docker
    if (disabled := settings.get("disabled_collectors")) is not None:
        config.disabled_collectors.collectors.extend(
            agent_pb2.Collector.Value(f"COLLECTOR_{name.upper()}") for name in disabled
        )
    return config


def vps_fields(
    vps: server_store.Vps, server: Server | None, *, command_key: bytes, with_detail: bool
) -> dict[str, Any]:
    """Return the fields of `schemas.Vps`."""
    latest = None if server is None else server.fields(str(vps.id))
    if latest is not None and with_detail and server is not None:
        latest = {**latest, "detail": server.detail()}
    seen = [t for t in (vps.last_seen_at, None if server is None else server.time) if t is not None]
    settings = vps.agent_config
    return {
        "id": vps.id,
        "organisation_id": vps.organisation_id,
        "name": vps.name,
        "tags": vps.tags,
        "status": Status.PENDING if server is None else server.status,
        "last_seen": max(seen, default=None),
        "ip_address": vps.ip_address,
        "os_type": vps.os_type,
        "created_at": vps.created_at,
        "updated_at": vps.updated_at,
        "facts": vps.metadata.get("facts"),
        "powers": powers(vps, command_key),
        "agent_config": {
            "revision": vps.config_revision,
            "report_interval_seconds": settings.get("report_interval_seconds"),
            "log_level": settings.get("log_level"),
            "docker_enabled": settings.get("docker_enabled"),
            "disabled_collectors": settings.get("disabled_collectors"),
        },
        "latest": latest,
    }


def powers(vps: server_store.Vps, command_key: bytes) -> dict[str, Any] | None:
    """Return the host's policy and whether its agent trusts this console.

    None until the agent has connected.
    """
    policy: dict[str, Any] | None = vps.metadata.get("powers")
    if policy is None:
        return None
    return {"user": "", **policy, "obeys": command_key.hex() in command_keys(vps)}


def command_keys(vps: server_store.Vps) -> list[str]:
    """Return the command keys that the agent trusts, in hexadecimal digits."""
    keys: list[str] = vps.metadata.get("command_keys", [])
    return keys


def settings_json(settings: schemas.AgentSettings) -> dict[str, Any]:
    return {
        "report_interval_seconds": settings.report_interval_seconds,
        "log_level": settings.log_level,
        "docker_enabled": settings.docker_enabled,
        "disabled_collectors": settings.disabled_collectors,
    }
