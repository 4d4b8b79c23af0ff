"""Servers over HTTP. These types are part of the OpenAPI document."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from services.gateway.api.validation_messages import ONE_LINE, ONE_WORD

Name = Annotated[str, Meta(min_length=1, max_length=100, pattern=ONE_LINE)]
MAX_TAGS = 32  # per server
Tag = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=40,
        pattern=ONE_WORD,
        description="A word without spaces or commas; upper and lower case differ",
    ),
]
CollectorName = Literal[
    "cpu",
    "load",
    "memory",
    "disk",
    "disk_io",
    "network",
    "connections",
    "processes",
    "uptime",
    "temperature",
    "docker",
    "generic",
]


class Facts(Struct):
    hostname: str
    os_id: str
    os_name: str
    kernel: str
    architecture: str
    cpu_model: str
    cpu_count: int
    memory_total: int
    virtualization: str
    boot_time: datetime
    ip_addresses: list[str]
    agent_version: str


class Powers(Struct):
    """The policy of the host: what its owner allows. Everything is off by default."""

    shell: bool
    commands: bool
    files: Literal["off", "read", "write"]
    docker: Literal["off", "read", "actions"]
    file_roots: list[str]
    user: Annotated[str, Meta(description="Operating system user that the agent runs as")]
    obeys: Annotated[bool, Meta(description="Whether the agent trusts this console's command key")]


FileRoot = Annotated[
    str,
    Meta(
        max_length=512,
        pattern=r"^(?!.*/\.\.(?:/|$))/[^\x00-\x1f\x7f]*$",
        description="Absolute path without `..`",
    ),
]


class WantedPowers(Struct, forbid_unknown_fields=True):
    """The policy that the install line proposes. Whoever runs the line may change it first."""

    shell: bool = False
    commands: bool = False
    files: Literal["off", "read", "write"] = "off"
    docker: Literal["off", "read", "actions"] = "off"
    file_roots: Annotated[
        list[FileRoot],
        Meta(max_length=32, description="Folders to allow where `files` is on; empty for all"),
    ] = []
    run_as: Annotated[
        Literal["agent", "root"], Meta(description="`agent` is a new user without privileges")
    ] = "agent"


class AgentSettings(Struct, forbid_unknown_fields=True):
    """Settings that are sent to the agent at once. Null leaves one to the file on the host."""

    report_interval_seconds: Annotated[float, Meta(ge=0.5, le=3600)] | None = None
    log_level: Literal["debug", "info", "warning", "error"] | None = None
    docker_enabled: bool | None = None
    disabled_collectors: Annotated[list[CollectorName], Meta(max_length=12)] | None = None


class AgentConfig(Struct):
    revision: int
    report_interval_seconds: float | None
    log_level: Literal["debug", "info", "warning", "error"] | None
    docker_enabled: bool | None
    disabled_collectors: list[CollectorName] | None


class Disk(Struct):
    mount_point: str
    device: str
    filesystem: str
    total: int
    used: int


class BlockDevice(Struct):
    device: str
    read: float | None
    write: float | None
    reads: float | None
    writes: float | None


class Interface(Struct):
    name: str
    rx: float | None
    tx: float | None
    rx_total: int
    tx_total: int


class Temperature(Struct):
    sensor: str
    celsius: float


class Omitted(Struct):
    """Something that a sample should contain but does not."""

    collector: str
    item: Annotated[
        str, Meta(description="Mount point, interface, sensor …; empty for the whole collector")
    ]
    reason: Literal["unreadable", "impossible", "too_many", "no_answer"]
    detail: Annotated[str, Meta(description="The system's error, the value or the limit")]


class Process(Struct):
    """A process that uses much CPU time or memory."""

    pid: int
    name: Annotated[str, Meta(description="The first 15 bytes of the program's name")]
    user: Annotated[str, Meta(description="Name or number; empty if it is not known")]
    cpu_usage: Annotated[
        float | None, Meta(description="Per cent of one core; above 100 if it uses several")
    ]
    memory: Annotated[int, Meta(description="Resident bytes")]


class Detail(Struct):
    cpu_cores: Annotated[
        list[float | None], Meta(description="By core number; null for a core without a value")
    ] = []
    disks: list[Disk] = []
    block_devices: list[BlockDevice] = []
    interfaces: list[Interface] = []
    temperatures: list[Temperature] = []
    omitted: list[Omitted] = []
    top_processes: Annotated[
        list[Process],
        Meta(
            description="Processes that use the most CPU time and memory, the busiest first, at"
            " most a minute old; only where the server's owner turned this on"
        ),
    ] = []


class Sample(Struct):
    """One sample. Units: per cent, bytes, bytes per second, seconds, °C."""

    time: str
    vps_id: str
    cpu_usage: float | None
    cpu_iowait: float | None
    cpu_steal: float | None
    load_1: float | None
    load_5: float | None
    load_15: float | None
    mem_usage: float | None
    mem_used: int | None
    mem_total: int | None
    mem_cached: int | None
    swap_used: int | None
    swap_total: int | None
    disk_usage: float | None
    disk_used: int | None
    disk_total: int | None
    disk_io_read: float | None
    disk_io_write: float | None
    disk_iops_read: float | None
    disk_iops_write: float | None
    net_rx: float | None
    net_tx: float | None
    net_rx_total: int | None
    net_tx_total: int | None
    tcp_connections: int | None
    udp_connections: int | None
    processes: int | None
    uptime: int | None
    temperature: float | None
    clock_corrected: bool
    detail: Detail | UnsetType = UNSET


class Vps(Struct, kw_only=True):
    id: UUID
    organisation_id: UUID
    name: str
    tags: Annotated[list[str], Meta(description="Sorted")]
    status: Literal["pending", "online", "stale", "offline"]
    last_seen: datetime | None
    ip_address: str | None
    os_type: str | None
    created_at: datetime
    updated_at: datetime
    facts: Facts | None
    powers: Powers | None
    agent_config: AgentConfig
    latest: Sample | None


class Enrolment(Struct):
    token: str
    expires_at: datetime
    install_command: str


class NewVps(Vps, kw_only=True):
    enrolment: Enrolment


class VpsPage(Struct):
    items: list[Vps]
    total: int


class VpsCreate(Struct, forbid_unknown_fields=True):
    name: Name
    powers: WantedPowers | None = None
    organisation_id: Annotated[
        UUID | None,
        Meta(description="May be left out by users who may add servers to one organisation only"),
    ] = None


class EnrolmentCreate(Struct, forbid_unknown_fields=True):
    powers: WantedPowers | None = None


class VpsUpdate(Struct, forbid_unknown_fields=True):
    name: Name | None = None
    agent_config: AgentSettings | None = None
    tags: (
        Annotated[list[Tag], Meta(max_length=MAX_TAGS, description="Replace those of the server")]
        | None
    ) = None
    organisation_id: Annotated[
        UUID | None,
        Meta(
            description="Move the server to this organisation. Its shares and its install line end."
        ),
    ] = None


class Bootstrap(Struct):
    agent_address: str
    ca_certificate: Annotated[str, Meta(description="PEM")]
