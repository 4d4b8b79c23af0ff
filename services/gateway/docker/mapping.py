"""Conversion of containers, images and log lines to the API's types."""

import codecs
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from flotilla.v1.command_pb2 import ContainerDetails, ContainerList, ImageList
from flotilla.v1.docker_pb2 import DockerContainerInfo
from services.gateway.docker import schemas
from services.gateway.docker.store import ReportedContainer

PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
MAX_LINE = 64 * 1024  # bytes; agents cut lines before that
METRICS = (
    "cpu_usage_percent",
    "memory_usage_bytes",
    "memory_limit_bytes",
    "network_receive_bytes_per_second",
    "network_transmit_bytes_per_second",
    "block_read_bytes_per_second",
    "block_write_bytes_per_second",
)
# Time or "-", the stream ("o" for stdout, "e" for stderr), and the text.
_LINE = re.compile(
    rb"(-|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)) ([oe]) (.*)", re.DOTALL
)


def container(
    info: DockerContainerInfo, reported: ReportedContainer | None = None
) -> schemas.Container:
    """Convert a container that an agent described just now.

    Metrics that the description lacks are taken from `reported`.
    """
    return schemas.Container(**_fields(info, reported))


def reported_container(reported: ReportedContainer) -> schemas.Container:
    """Convert a container as its agent last reported it."""
    facts = reported.facts
    labels = facts.get("labels", {})
    fields = {
        "id": reported.container_id,
        "names": reported.names,
        "image": reported.image,
        "state": reported.state,
        "status": reported.status,
        "created_at": reported.created_at,
        "ports": facts.get("ports", []),
        "labels": labels,
        "mounts": facts.get("mounts", []),
        "project": labels.get(PROJECT),
        "service": labels.get(SERVICE),
        **reported.metrics(),
    }
    return msgspec.convert(fields, schemas.Container)


def containers(
    listed: ContainerList, reported: Mapping[str, ReportedContainer], *, at: datetime
) -> schemas.ContainerPage:
    """Convert a listing of `at`; metrics are taken from `reported`, by id."""
    items = [container(info, reported.get(info.id)) for info in listed.containers]
    return schemas.ContainerPage(
        sorted(items, key=lambda item: item.names), at, live=True, truncated=listed.truncated
    )


def details(
    inspected: ContainerDetails, reported: ReportedContainer | None
) -> schemas.ContainerDetails:
    """Convert an inspected container; metrics that it lacks are taken from `reported`."""
    fields = {
        **_fields(inspected.info, reported),
        "command": list(inspected.command),
        "user": inspected.user,
        "working_directory": inspected.working_directory,
        "environment": [
            schemas.Variable(v.name, None if v.masked else v.value, v.masked)
            for v in inspected.environment
        ],
        "restart_policy": inspected.restart_policy,
        "restart_count": inspected.restart_count,
        "started_at": _time(inspected.started_at_unix_ms),
        "finished_at": _time(inspected.finished_at_unix_ms),
        "exit_code": inspected.exit_code,
        "health": inspected.health,
        "network_mode": inspected.network_mode,
        "networks": [
            schemas.Network(network.name, network.ip_address, network.mac_address)
            for network in inspected.networks
        ],
        "privileged": inspected.privileged,
        "image_id": inspected.image_id,
        "error": inspected.error,
        "memory_limit_bytes": inspected.memory_limit_bytes or None,
        "cpu_limit": inspected.cpu_limit or None,
    }
    return schemas.ContainerDetails(**fields)


def images(image_list: ImageList) -> schemas.ImagePage:
    items = [
        schemas.Image(
            id=image.id,
            tags=list(image.tags),
            size_bytes=image.size_bytes,
            created_at=_time(image.created_at_unix_ms),
            containers=image.containers,
        )
        for image in image_list.images
    ]
    return schemas.ImagePage(items, image_list.truncated)


class LineReader:
    """Splits a log, as agents send it, into lines; a line of another format has no time."""

    def __init__(self) -> None:
        self._incomplete = b""

    def feed(self, data: bytes) -> Iterator[schemas.LogLine]:
        """Yield the lines that `data` completes."""
        *complete, self._incomplete = (self._incomplete + data).split(b"\n")
        yield from map(_line, complete)
        if len(self._incomplete) > MAX_LINE:
            yield from self.end()

    def end(self) -> Iterator[schemas.LogLine]:
        """Yield the last line, which has no line feed, if there is one."""
        line, self._incomplete = self._incomplete, b""
        if line:
            yield _line(line)


def _line(line: bytes) -> schemas.LogLine:
    match = _LINE.fullmatch(line)
    time, stream, text = match.groups() if match else (b"-", b"o", line)
    return schemas.LogLine(
        time=None if time == b"-" else time.decode(),
        stream="stderr" if stream == b"e" else "stdout",
        text=codecs.decode(text, errors="replace"),
    )


def _fields(info: DockerContainerInfo, reported: ReportedContainer | None) -> dict[str, Any]:
    reported_metrics = {} if reported is None else reported.metrics()
    metrics = {
        name: getattr(info, name) if info.HasField(name) else reported_metrics.get(name)  # type: ignore[arg-type]
        for name in METRICS
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
        **metrics,
    }


def _time(unix_ms: int) -> datetime | None:
    return datetime.fromtimestamp(unix_ms / 1000, UTC) if unix_ms else None
