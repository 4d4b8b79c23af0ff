"""What goes over HTTP. These types are the OpenAPI document's."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from services.kit.access import Role

# No control characters: a NUL is more than the database takes, a line end more than a list shows.
Name = Annotated[
    str, Meta(min_length=1, max_length=100, pattern=r"^(?!.*[\x00-\x1f\x7f])\S(.*\S)?$")
]
Granularity = Literal[
    "1s", "5s", "10s", "30s", "1m", "2m", "5m", "10m", "30m", "1h", "2h", "6h", "12h", "1d", "7d"
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


class Credentials(Struct, forbid_unknown_fields=True):
    username: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^\x00]+$")]
    password: Annotated[str, Meta(min_length=1, max_length=1024)]


class Account(Struct):
    id: UUID
    username: str
    email: str | None
    role: Role
    created_at: datetime


class LoggedIn(Struct):
    access_token: str
    expires_in: Annotated[int, Meta(description="Seconds")]
    user: Account


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
    """What the host's owner allows; all off unless ticked on the host."""

    shell: bool
    commands: bool
    files: Literal["off", "read", "write"]
    docker: Literal["off", "read", "actions"]
    file_roots: list[str]
    user: Annotated[str, Meta(description="Who all of this runs as")]
    obeys: Annotated[bool, Meta(description="The agent trusts this console's command key")]


FileRoot = Annotated[
    str,
    Meta(
        max_length=512,
        pattern=r"^(?!.*/\.\.(?:/|$))/[^\x00-\x1f\x7f]*$",
        description="Absolute, without `..`",
    ),
]


class WantedPowers(Struct, forbid_unknown_fields=True):
    """What the install line asks the host's owner to allow, who may change it before it is run."""

    shell: bool = False
    commands: bool = False
    files: Literal["off", "read", "write"] = "off"
    docker: Literal["off", "read", "actions"] = "off"
    file_roots: Annotated[
        list[FileRoot], Meta(max_length=32, description="Empty for all, where `files` is on")
    ] = []
    run_as: Annotated[
        Literal["agent", "root"], Meta(description="`agent` is a user of its own, without rights")
    ] = "agent"


class AgentSettings(Struct, forbid_unknown_fields=True):
    """Pushed to the agent live. Null leaves it to the agent's own file."""

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


class Detail(Struct):
    cpu_cores: list[float] = []
    disks: list[Disk] = []
    block_devices: list[BlockDevice] = []
    interfaces: list[Interface] = []
    temperatures: list[Temperature] = []


class Sample(Struct):
    """One snapshot. Per cent, bytes, bytes per second, seconds, °C."""

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
    name: str
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


class EnrolmentCreate(Struct, forbid_unknown_fields=True):
    powers: WantedPowers | None = None


class VpsUpdate(Struct, forbid_unknown_fields=True):
    name: Name | None = None
    agent_config: AgentSettings | None = None


class TicketRequest(Struct, forbid_unknown_fields=True):
    resource: Annotated[
        str,
        Meta(
            max_length=200,
            description="A WebSocket's path, such as `fleet/realtime` or `vps/<id>/shell`",
        ),
    ]


class Ticket(Struct):
    ticket: str
    expires_at: datetime


class Bootstrap(Struct):
    agent_address: str
    ca_certificate: Annotated[str, Meta(description="PEM")]


Column = list[float | None] | UnsetType


class History(Struct):
    """Columns of equal length; empty buckets are absent.

    Averages, and the largest of a total or counter. Of points of a minute or more, `p95` is of the
    minutes' averages; of points that ten minutes or two hours go into several times, of those'.
    """

    granularity: Granularity
    time: list[str]
    cpu_usage: list[float | None]
    cpu_iowait: list[float | None]
    cpu_steal: list[float | None]
    load_1: list[float | None]
    load_5: list[float | None]
    load_15: list[float | None]
    mem_usage: list[float | None]
    mem_used: list[float | None]
    mem_total: list[float | None]
    mem_cached: list[float | None]
    swap_used: list[float | None]
    swap_total: list[float | None]
    disk_usage: list[float | None]
    disk_used: list[float | None]
    disk_total: list[float | None]
    disk_io_read: list[float | None]
    disk_io_write: list[float | None]
    disk_iops_read: list[float | None]
    disk_iops_write: list[float | None]
    net_rx: list[float | None]
    net_tx: list[float | None]
    net_rx_total: list[float | None]
    net_tx_total: list[float | None]
    tcp_connections: list[float | None]
    udp_connections: list[float | None]
    processes: list[float | None]
    uptime: list[float | None]
    temperature: list[float | None]
    cpu_usage_min: Column = UNSET
    cpu_iowait_min: Column = UNSET
    cpu_steal_min: Column = UNSET
    load_1_min: Column = UNSET
    load_5_min: Column = UNSET
    load_15_min: Column = UNSET
    mem_usage_min: Column = UNSET
    mem_used_min: Column = UNSET
    mem_cached_min: Column = UNSET
    swap_used_min: Column = UNSET
    disk_usage_min: Column = UNSET
    disk_used_min: Column = UNSET
    disk_io_read_min: Column = UNSET
    disk_io_write_min: Column = UNSET
    disk_iops_read_min: Column = UNSET
    disk_iops_write_min: Column = UNSET
    net_rx_min: Column = UNSET
    net_tx_min: Column = UNSET
    tcp_connections_min: Column = UNSET
    udp_connections_min: Column = UNSET
    processes_min: Column = UNSET
    temperature_min: Column = UNSET
    cpu_usage_max: Column = UNSET
    cpu_iowait_max: Column = UNSET
    cpu_steal_max: Column = UNSET
    load_1_max: Column = UNSET
    load_5_max: Column = UNSET
    load_15_max: Column = UNSET
    mem_usage_max: Column = UNSET
    mem_used_max: Column = UNSET
    mem_cached_max: Column = UNSET
    swap_used_max: Column = UNSET
    disk_usage_max: Column = UNSET
    disk_used_max: Column = UNSET
    disk_io_read_max: Column = UNSET
    disk_io_write_max: Column = UNSET
    disk_iops_read_max: Column = UNSET
    disk_iops_write_max: Column = UNSET
    net_rx_max: Column = UNSET
    net_tx_max: Column = UNSET
    tcp_connections_max: Column = UNSET
    udp_connections_max: Column = UNSET
    processes_max: Column = UNSET
    temperature_max: Column = UNSET
    cpu_usage_p95: Column = UNSET
    cpu_iowait_p95: Column = UNSET
    cpu_steal_p95: Column = UNSET
    load_1_p95: Column = UNSET
    mem_usage_p95: Column = UNSET
    disk_io_read_p95: Column = UNSET
    disk_io_write_p95: Column = UNSET
    disk_iops_read_p95: Column = UNSET
    disk_iops_write_p95: Column = UNSET
    net_rx_p95: Column = UNSET
    net_tx_p95: Column = UNSET


class Gap(Struct):
    """Measurements that will never arrive; times are the agent's."""

    kind: Literal["performance", "docker", "generic"]
    reason: Annotated[
        Literal["space", "age", "memory", "refused", "damaged"],
        Meta(description="Why the agent gave them up"),
    ]
    count: Annotated[int, Meta(description="0 when nobody can tell")]
    first_at: datetime
    last_at: datetime


class GapPage(Struct):
    items: list[Gap]
    total: int
