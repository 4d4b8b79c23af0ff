"""The servers of the demo: their kinds, their load and their problems."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from flotilla.v1.agent_pb2 import HostFacts, Powers

TAG = "demo"
PREFIX = "demo-"
GIB, TIB = 1 << 30, 1 << 40
DAY = 86_400  # seconds


class Trouble(StrEnum):
    NONE = ""
    OFFLINE = "offline"
    STALE = "stale"
    """The agent is connected but sends no samples."""
    PENDING = "pending"
    """The agent has not enrolled."""
    DISK_FULL = "disk"
    MEMORY_FULL = "memory"
    STEAL = "steal"
    HOT = "cpu"


@dataclass(frozen=True, slots=True)
class Region:
    code: str
    tag: str
    utc_offset: int  # hours
    time_zone: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A server size that providers offer."""

    cpu_model: str
    cores: int
    memory: int
    disks: tuple[tuple[str, str, str, int], ...]
    """Mount point, device, file system, bytes."""
    allowance: int | None  # bytes a month
    virtualization: str = "kvm"
    architecture: str = "x86_64"


@dataclass(frozen=True, slots=True)
class Role:
    """The work of a server: shares of its CPU, memory and disk, and bytes per second."""

    name: str
    idle: float
    wave: float
    memory: float
    disk: float
    rx: float
    tx: float
    connections: int
    programs: tuple[str, ...]
    """Names of its busiest processes, the busiest first."""
    containers: tuple[tuple[str, str], ...] = ()
    """Name and image."""


@dataclass(frozen=True, slots=True)
class Profile:
    number: int
    name: str
    tags: tuple[str, ...]
    region: Region
    plan: Plan
    role: Role
    system: tuple[str, str, str]
    """Id, name and kernel."""
    address: str
    trouble: Trouble
    silent_seconds: int
    """Age of its newest sample when the demo is filled."""
    uptime: int  # seconds
    temperature: float | None


FRA = Region("fra", "frankfurt", 1, "Europe/Berlin")
AMS = Region("ams", "amsterdam", 1, "Europe/Amsterdam")
LON = Region("lon", "london", 0, "Europe/London")
NYC = Region("nyc", "new-york", -5, "America/New_York")
SJC = Region("sjc", "san-jose", -8, "America/Los_Angeles")
SGP = Region("sgp", "singapore", 8, "Asia/Singapore")
TYO = Region("tyo", "tokyo", 9, "Asia/Tokyo")
SYD = Region("syd", "sydney", 10, "Australia/Sydney")

TINY = Plan(
    "Intel Xeon Processor (Skylake, IBRS)", 1, GIB, (("/", "/dev/vda1", "ext4", 20 * GIB),), 2 * TIB
)
SMALL = Plan(
    "AMD EPYC-Rome Processor", 2, 4 * GIB, (("/", "/dev/sda1", "ext4", 40 * GIB),), 20 * TIB
)
ARM = Plan(
    *("Neoverse-N1", 4, 8 * GIB, (("/", "/dev/sda1", "ext4", 80 * GIB),), 20 * TIB),
    architecture="aarch64",
)
MEDIUM = Plan(
    "Intel Xeon Gold 6248 CPU @ 2.50GHz",
    4,
    16 * GIB,
    (("/", "/dev/vda1", "ext4", 160 * GIB), ("/srv", "/dev/vdb", "xfs", 250 * GIB)),
    5 * TIB,
)
LARGE = Plan(
    "AMD EPYC 7763 64-Core Processor",
    16,
    64 * GIB,
    (("/", "/dev/vda2", "ext4", 120 * GIB), ("/var/lib/postgresql", "/dev/vdb", "ext4", TIB)),
    None,
)
METAL = Plan(
    "AMD Ryzen 9 5950X 16-Core Processor",
    32,
    128 * GIB,
    (
        ("/", "/dev/md0", "ext4", 450 * GIB),
        ("/boot", "/dev/md1", "ext4", GIB),
        ("/data", "/dev/md2", "btrfs", 7 * TIB),
    ),
    None,
    virtualization="none",
)

WEB = Role(
    "web", 0.05, 0.35, 0.45, 0.35, 3.0e5, 1.6e6, 420, ("nginx", "php-fpm8.2", "systemd-journal")
)
APP = Role(
    *(
        "app",
        0.12,
        0.40,
        0.60,
        0.45,
        4.0e5,
        9.0e5,
        260,
        ("node", "dockerd", "containerd", "traefik"),
    ),
    (
        ("shop-web-1", "registry.example.com/shop/web:2024.11.3"),
        ("shop-worker-1", "registry.example.com/shop/worker:2024.11.3"),
        ("redis", "redis:7.4-alpine"),
        ("traefik", "traefik:v3.2"),
    ),
)
DATABASE = Role(
    "db", 0.18, 0.30, 0.72, 0.55, 9.0e5, 1.1e6, 140, ("postgres", "pgbouncer", "systemd-journal")
)
CACHE = Role(
    "cache", 0.06, 0.12, 0.78, 0.20, 8.0e5, 9.0e5, 310, ("redis-server", "memcached", "sshd")
)
BUILD = Role(
    *("build", 0.03, 0.75, 0.35, 0.62, 6.0e5, 2.0e5, 30, ("cc1plus", "gitlab-runner", "dockerd")),
    (("runner-1", "gitlab/gitlab-runner:v17.6.0"), ("registry", "registry:2")),
)
BACKUP = Role("backup", 0.04, 0.06, 0.22, 0.74, 1.4e6, 1.0e5, 12, ("borg", "sshd", "rsync"))
MAIL = Role("mail", 0.05, 0.10, 0.48, 0.41, 8.0e4, 9.0e4, 60, ("rspamd", "dovecot", "postfix"))
PROXY = Role("proxy", 0.08, 0.30, 0.30, 0.18, 3.4e5, 3.5e5, 900, ("haproxy", "wireguard", "sshd"))
MONITOR = Role(
    *(
        "monitor",
        0.10,
        0.05,
        0.55,
        0.58,
        5.0e5,
        1.5e5,
        90,
        ("prometheus", "grafana", "loki", "dockerd"),
    ),
    (
        ("prometheus", "prom/prometheus:v2.55.1"),
        ("grafana", "grafana/grafana:11.3.1"),
        ("loki", "grafana/loki:3.3.0"),
    ),
)
GAME = Role(
    *("game", 0.10, 0.55, 0.66, 0.30, 3.0e5, 1.2e6, 110, ("java", "dockerd", "containerd")),
    (("minecraft", "itzg/minecraft-server:java21"),),
)

_SYSTEMS = (
    ("debian", "Debian GNU/Linux 12 (bookworm)", "6.1.0-28-cloud-amd64"),
    ("ubuntu", "Ubuntu 24.04.1 LTS", "6.8.0-49-generic"),
    ("debian", "Debian GNU/Linux 13 (trixie)", "6.12.6-amd64"),
    ("rocky", "Rocky Linux 9.5 (Blue Onyx)", "5.14.0-503.14.1.el9_5"),
    ("alpine", "Alpine Linux v3.21", "6.12.3-0-virt"),
)
_TABLE: tuple[tuple[Region, Role, Plan, Trouble], ...] = (
    (FRA, WEB, SMALL, Trouble.NONE),
    (FRA, WEB, SMALL, Trouble.NONE),
    (FRA, APP, MEDIUM, Trouble.NONE),
    (FRA, DATABASE, LARGE, Trouble.NONE),
    (SGP, WEB, SMALL, Trouble.OFFLINE),
    (NYC, DATABASE, LARGE, Trouble.DISK_FULL),
    (SJC, GAME, MEDIUM, Trouble.HOT),
    (AMS, BACKUP, METAL, Trouble.NONE),
    (TYO, WEB, TINY, Trouble.STEAL),
    (FRA, APP, MEDIUM, Trouble.MEMORY_FULL),
    (LON, MAIL, TINY, Trouble.STALE),
    (SYD, PROXY, TINY, Trouble.PENDING),
    (NYC, WEB, SMALL, Trouble.NONE),
    (NYC, WEB, SMALL, Trouble.NONE),
    (NYC, APP, MEDIUM, Trouble.NONE),
    (NYC, CACHE, ARM, Trouble.NONE),
    (SGP, WEB, SMALL, Trouble.NONE),
    (SGP, APP, MEDIUM, Trouble.NONE),
    (SGP, DATABASE, LARGE, Trouble.NONE),
    (AMS, BUILD, METAL, Trouble.NONE),
    (AMS, BUILD, METAL, Trouble.NONE),
    (AMS, MONITOR, ARM, Trouble.NONE),
    (LON, WEB, TINY, Trouble.NONE),
    (LON, PROXY, TINY, Trouble.NONE),
    (TYO, PROXY, TINY, Trouble.OFFLINE),
    (TYO, WEB, ARM, Trouble.NONE),
    (TYO, APP, MEDIUM, Trouble.NONE),
    (SJC, WEB, SMALL, Trouble.NONE),
    (SJC, CACHE, ARM, Trouble.NONE),
    (SJC, BUILD, LARGE, Trouble.NONE),
    (SYD, WEB, SMALL, Trouble.NONE),
    (SYD, CACHE, SMALL, Trouble.NONE),
    (FRA, CACHE, ARM, Trouble.NONE),
    (FRA, PROXY, TINY, Trouble.NONE),
    (FRA, MAIL, SMALL, Trouble.NONE),
    (NYC, BACKUP, METAL, Trouble.NONE),
    (NYC, MONITOR, SMALL, Trouble.NONE),
    (SGP, GAME, MEDIUM, Trouble.NONE),
    (LON, DATABASE, MEDIUM, Trouble.OFFLINE),
    (SJC, PROXY, TINY, Trouble.NONE),
)
SERVERS = len(_TABLE)
_SILENT = {Trouble.STALE: (1_500, 1_500), Trouble.OFFLINE: (3 * 3_600, 4 * DAY)}


def profiles(count: int = SERVERS) -> list[Profile]:
    """Return the first servers of the demo; they are the same every time."""
    numbers: dict[str, int] = {}
    found = []
    for number, (region, role, plan, trouble) in enumerate(_TABLE[:count]):
        dice = random.Random(number)
        stem = f"{PREFIX}{region.code}-{role.name}"
        numbers[stem] = numbers.get(stem, 0) + 1
        tags = {TAG, region.tag, role.name, *(["docker"] if role.containers else [])}
        found.append(
            Profile(
                number=number,
                name=f"{stem}-{numbers[stem]}",
                tags=tuple(sorted(tags)),
                region=region,
                plan=plan,
                role=role,
                system=dice.choice(_SYSTEMS),
                # A block for documentation (RFC 5737).
                address=f"203.0.113.{number + 10}",
                trouble=trouble,
                silent_seconds=dice.randint(*_SILENT.get(trouble, (0, 0))),
                uptime=dice.randint(2, 200) * DAY + dice.randint(0, DAY),
                temperature=dice.uniform(44, 52) if plan.virtualization == "none" else None,
            )
        )
    return found


def facts(profile: Profile) -> HostFacts:
    os_id, os_name, kernel = profile.system
    return HostFacts(
        hostname=f"{profile.name}.example.com",
        os_id=os_id,
        os_name=os_name,
        kernel=kernel.replace("amd64", "arm64")
        if "aarch64" in profile.plan.architecture
        else kernel,
        architecture=profile.plan.architecture,
        cpu_model=profile.plan.cpu_model,
        cpu_count=profile.plan.cores,
        memory_total_bytes=profile.plan.memory,
        virtualization=profile.plan.virtualization,
        boot_id=f"{profile.name}-{profile.uptime}",
        ip_addresses=[profile.address],
        agent_version="0.1.0",
        boot_time_unix_s=int(time.time()) - profile.uptime,
    )


def powers(profile: Profile, command_key: bytes) -> Powers:
    """Return a policy that lets the console look at containers, and at nothing else."""
    allowed = Powers(user="flotilla-agent", command_keys=[command_key])
    if profile.role.containers:
        allowed.docker = Powers.DOCKER_ACCESS_READ
    return allowed


def container_ids(profile: Profile) -> Sequence[str]:
    return [
        hashlib.sha256(f"{profile.name}/{name}".encode()).hexdigest()
        for name, _ in profile.role.containers
    ]


def usable_memory(profile: Profile) -> int:
    return profile.plan.memory * 97 // 100


def swap(profile: Profile) -> int:
    return min(profile.plan.memory // 2, 8 << 30)


def disk_shares(profile: Profile) -> tuple[float, float]:
    """Return the share of the fullest file system that is used at the start and at the end."""
    if profile.trouble is Trouble.DISK_FULL:
        return 0.62, 0.986
    return profile.role.disk * 0.82, profile.role.disk


def disk_weights(profile: Profile) -> list[tuple[int, float]]:
    """Return the size of each file system, and how full it is compared with the fullest."""
    last = len(profile.plan.disks) - 1
    return [
        (size, 1.0 if number == last else 0.7)
        for number, (*_, size) in enumerate(profile.plan.disks)
    ]
