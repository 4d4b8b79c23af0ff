"""Request and response bodies of Docker."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from services.gateway.api.problem_types import ProblemType

ContainerAction = Literal["start", "stop", "restart", "pause", "unpause", "kill"]
# `(?!\n)`: in Python, "$" also matches before a line feed at the end.
CONTAINER_PATTERN = r"^[0-9a-f]{12,64}(?!\n)$"
IMAGE_PATTERN = r"^(sha256:)?[0-9a-f]{12,64}(?!\n)$"


class Port(Struct):
    host_ip: str
    host_port: int
    container_port: int
    protocol: str


class Mount(Struct):
    type: str
    source: str
    destination: str
    read_only: bool


class Container(Struct, kw_only=True):
    id: str
    names: list[str]
    image: str
    state: Annotated[str, Meta(description="State as the Docker engine names it, or `removed`")]
    status: str
    created_at: datetime | None
    ports: list[Port]
    labels: dict[str, str]
    mounts: list[Mount]
    project: Annotated[str | None, Meta(description="Compose project")]
    service: Annotated[str | None, Meta(description="Compose service")]
    cpu_usage_percent: Annotated[float | None, Meta(description="Per cent of one core")]
    memory_usage_bytes: int | None
    memory_limit_bytes: int | None
    network_receive_bytes_per_second: float | None
    network_transmit_bytes_per_second: float | None
    block_read_bytes_per_second: float | None
    block_write_bytes_per_second: float | None


class ContainerPage(Struct):
    items: list[Container]
    as_of: Annotated[datetime, Meta(description="Time of the listing or of the last report")]
    live: Annotated[
        bool,
        Meta(
            description="True: the server answered just now. False: it could not be asked, and the"
            " containers are as last reported."
        ),
    ]
    truncated: Annotated[
        bool,
        Meta(description="The server has more containers than are listed; known only if `live`"),
    ]


class Variable(Struct):
    name: str
    value: Annotated[str | None, Meta(description="Null when the value may be a secret")]
    masked: bool


class Network(Struct):
    name: str
    ip_address: str
    mac_address: str


class ContainerDetails(Container, kw_only=True):
    command: list[str]
    user: str
    working_directory: str
    environment: list[Variable]
    restart_policy: str
    restart_count: int
    started_at: datetime | None
    finished_at: datetime | None
    exit_code: int
    health: Annotated[str, Meta(description="Result of the health check; empty without one")]
    network_mode: str
    networks: list[Network]
    privileged: bool
    image_id: str
    error: Annotated[str, Meta(description="Reason why the container could not start; else empty")]
    cpu_limit: Annotated[float | None, Meta(description="Limit in cores; null for none")]


class ActOptions(Struct, forbid_unknown_fields=True):
    grace_seconds: Annotated[
        int,
        Meta(
            ge=0,
            le=300,
            description="Seconds that `stop` and `restart` wait before the container is killed",
        ),
    ] = 10


class LogLine(Struct):
    time: Annotated[
        str | None, Meta(description="Time of the Docker engine, RFC 3339; null when unknown")
    ]
    stream: Literal["stdout", "stderr"]
    text: str


class Logs(Struct):
    lines: list[LogLine]
    truncated: Annotated[bool, Meta(description="The log has earlier lines that are not included")]


class StatsPoint(Struct):
    """Averages over the `granularity_seconds` that start at `time`."""

    time: datetime
    cpu_usage: Annotated[float | None, Meta(description="Per cent of one core")]
    mem_usage: float | None
    mem_limit: float | None
    net_rx: float | None
    net_tx: float | None
    block_read: float | None
    block_write: float | None


class Stats(Struct):
    points: list[StatsPoint]
    granularity_seconds: int


class Image(Struct):
    id: str
    tags: list[str]
    size_bytes: int
    created_at: datetime | None
    containers: int


class ImagePage(Struct):
    items: list[Image]
    truncated: bool


class Pull(Struct, forbid_unknown_fields=True):
    reference: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=256,
            pattern=r"^[!-~]+(?!\n)$",
            description="Image reference, such as `nginx:1.27`",
        ),
    ]


class PullLine(Struct, kw_only=True, omit_defaults=True):
    """Progress of one layer. The last line has `event` instead and says how the pull ended."""

    event: Literal["finished", "failed"] | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    type: Annotated[
        ProblemType | UnsetType, Meta(description="Problem type of a pull that `failed`")
    ] = UNSET
    layer: str | UnsetType = UNSET
    status: str | UnsetType = UNSET
    current_bytes: int | UnsetType = UNSET
    total_bytes: int | UnsetType = UNSET


class Pruned(Struct):
    images: int
    reclaimed_bytes: int
