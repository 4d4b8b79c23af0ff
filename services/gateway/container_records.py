"""Between what agents and the database tell of containers, and the API's types."""

import codecs
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from flotilla.v1.command_pb2 import ContainerDetails, ImageList
from flotilla.v1.docker_pb2 import DockerContainerInfo
from services.gateway import container_schemas as schemas
from services.gateway.store.containers import Known

PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
LINE_LIMIT = 64 * 1024  # bytes; an agent has less
FIGURES = (
    *("cpu_usage_percent", "memory_usage_bytes", "memory_limit_bytes"),
    *("network_receive_bytes_per_second", "network_transmit_bytes_per_second"),
    *("block_read_bytes_per_second", "block_write_bytes_per_second"),
)
_LINE = re.compile(
    rb"(-|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)) ([oe]) (.*)", re.DOTALL
)


def container(info: DockerContainerInfo, known: Known | None = None) -> schemas.Container:
    """With the figures of `known` where the agent had none yet."""
    return schemas.Container(**_fields(info, known))


def reported(known: Known) -> schemas.Container:
    """As it was when its agent last reported."""
    facts = known.facts
    labels = facts.get("labels", {})
    fields = {
        "id": known.container_id,
        "names": known.names,
        "image": known.image,
        "state": known.state,
        "status": known.status,
        "created_at": known.created_at,
        "ports": facts.get("ports", []),
        "labels": labels,
        "mounts": facts.get("mounts", []),
        "project": labels.get(PROJECT),
        "service": labels.get(SERVICE),
        **known.figures(),
    }
    return msgspec.convert(fields, schemas.Container)


def details(told: ContainerDetails, known: Known | None) -> schemas.ContainerDetails:
    fields = {
        **_fields(told.info, known),
        "command": list(told.command),
        "user": told.user,
        "working_directory": told.working_directory,
        "environment": [
            schemas.Variable(v.name, None if v.masked else v.value, v.masked)
            for v in told.environment
        ],
        "restart_policy": told.restart_policy,
        "restart_count": told.restart_count,
        "started_at": _time(told.started_at_unix_ms),
        "finished_at": _time(told.finished_at_unix_ms),
        "exit_code": told.exit_code,
        "health": told.health,
        "network_mode": told.network_mode,
        "networks": [
            schemas.Network(network.name, network.ip_address, network.mac_address)
            for network in told.networks
        ],
        "privileged": told.privileged,
        "image_id": told.image_id,
        "error": told.error,
        "memory_limit_bytes": told.memory_limit_bytes or None,
        "cpu_limit": told.cpu_limit or None,
    }
    return schemas.ContainerDetails(**fields)


def images(listed: ImageList) -> schemas.ImagePage:
    items = [
        schemas.Image(
            id=image.id,
            tags=list(image.tags),
            size_bytes=image.size_bytes,
            created_at=_time(image.created_at_unix_ms),
            containers=image.containers,
        )
        for image in listed.images
    ]
    return schemas.ImagePage(items, listed.truncated)


class LineReader:
    """A log's lines as agents send them; what is none of those is a line without a time."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[schemas.LogLine]:
        *ended, self._rest = (self._rest + data).split(b"\n")
        yield from map(_line, ended)
        if len(self._rest) > LINE_LIMIT:
            yield from self.end()

    def end(self) -> Iterator[schemas.LogLine]:
        rest, self._rest = self._rest, b""
        if rest:
            yield _line(rest)


def _line(line: bytes) -> schemas.LogLine:
    match = _LINE.fullmatch(line)
    time, stream, text = match.groups() if match else (b"-", b"o", line)
    return schemas.LogLine(
        time=None if time == b"-" else time.decode(),
        stream="stderr" if stream == b"e" else "stdout",
        text=codecs.decode(text, errors="replace"),
    )


def _fields(info: DockerContainerInfo, known: Known | None) -> dict[str, Any]:
    before = {} if known is None else known.figures()
    figures = {
        name: getattr(info, name) if info.HasField(name) else before.get(name)  # type: ignore[arg-type]
        for name in FIGURES
    }
    return {
        "id": info.id,
        "names": list(info.names),
        "image": info.image,
        "state": info.state,
        "status": info.status,
        "created_at": _time(info.created_at_unix_ms),
        "ports": [
            schemas.Port(port.host_ip, port.host_port, port.container_port, port.protocol)
            for port in info.ports
        ],
        "labels": dict(info.labels),
        "mounts": [
            schemas.Mount(mount.type, mount.source, mount.destination, mount.read_only)
            for mount in info.mounts
        ],
        "project": info.labels.get(PROJECT),
        "service": info.labels.get(SERVICE),
        **figures,
    }


def _time(unix_ms: int) -> datetime | None:
    return datetime.fromtimestamp(unix_ms / 1000, UTC) if unix_ms else None
