"""Docker over HTTP."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

Act = Literal["start", "stop", "restart", "pause", "unpause", "kill"]
# For Python, "$" is before a line's end too.
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
    state: Annotated[str, Meta(description="The engine's word, or `removed`")]
    status: str
    created_at: datetime | None
    ports: list[Port]
    labels: dict[str, str]
    mounts: list[Mount]
    project: Annotated[str | None, Meta(description="Of Compose")]
    service: Annotated[str | None, Meta(description="Of Compose")]
    cpu_usage_percent: Annotated[float | None, Meta(description="Of one core")]
    memory_usage_bytes: int | None
    memory_limit_bytes: int | None
    network_receive_bytes_per_second: float | None
    network_transmit_bytes_per_second: float | None
    block_read_bytes_per_second: float | None
    block_write_bytes_per_second: float | None


class ContainerPage(Struct):
    items: list[Container]
    as_of: datetime
    live: Annotated[bool, Meta(description="Asked just now; else what was last reported")]


class Variable(Struct):
    name: str
    value: Annotated[str | None, Meta(description="Null when it may be a secret")]
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
    health: Annotated[str, Meta(description="Empty without a check")]
    network_mode: str
    networks: list[Network]
    privileged: bool
    image_id: str
    error: Annotated[str, Meta(description="Why it could not start; else empty")]
    cpu_limit: Annotated[float | None, Meta(description="Cores; null for no bound")]


class ActOptions(Struct, forbid_unknown_fields=True):
    grace_seconds: Annotated[
        int, Meta(ge=0, le=300, description="Of stop and restart: before it is killed")
    ] = 10


class LogLine(Struct):
    time: Annotated[str | None, Meta(description="RFC 3339, as the engine has it")]
    stream: Literal["stdout", "stderr"]
    text: str


class Logs(Struct):
    lines: list[LogLine]
    truncated: Annotated[bool, Meta(description="There were more before")]


class StatsPoint(Struct):
    """Averages of the time from `time` on."""

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
            description="Such as `nginx:1.27`",
        ),
    ]


class PullLine(Struct, kw_only=True, omit_defaults=True):
    """A layer's progress, or (the last) how the pull ended."""

    event: Literal["finished", "failed"] | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    layer: str | UnsetType = UNSET
    status: str | UnsetType = UNSET
    current_bytes: int | UnsetType = UNSET
    total_bytes: int | UnsetType = UNSET


class Pruned(Struct):
    images: int
    reclaimed_bytes: int
