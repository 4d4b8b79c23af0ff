"""Samples of simulated agents. Their values are computed from the server and the time only."""

from __future__ import annotations

import hashlib
import time
import zlib
from collections.abc import Sequence
from uuid import UUID, uuid5

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from flotilla.v1.agent_pb2 import HostFacts, MessageToServer
from flotilla.v1.metrics_pb2 import (
    BlockDeviceStats,
    DiskUsage,
    NetworkInterfaceStats,
    PerformanceSnapshot,
    Temperature,
)

NAMESPACE = UUID("5f1f2b1e-7c55-4a4e-9b0a-6d2f3f0c9a11")
GIB = 1 << 30
MEMORY_TOTAL = 8 * GIB
UPTIME_EPOCH = 1_600_000_000  # seconds
# Columns of a row that are computed from its server and time.
COLUMNS = (
    *("cpu_usage", "mem_used", "processes", "tcp_connections"),
    *("net_rx_total", "net_tx_total", "uptime"),
)


def vps_id(index: int) -> UUID:
    return uuid5(NAMESPACE, str(index))


def key(secret: str, index: int) -> Ed25519PrivateKey:
    seed = hashlib.sha256(f"{secret}.{index}".encode()).digest()
    return Ed25519PrivateKey.from_private_bytes(seed)


def facts(index: int) -> HostFacts:
    return HostFacts(
        hostname=f"sim-{index:05}",
        os_id="debian",
        os_name="Debian GNU/Linux 12 (bookworm)",
        kernel="6.1.0-28-cloud-amd64",
        architecture="x86_64",
        cpu_model="Simulated",
        cpu_count=4,
        memory_total_bytes=MEMORY_TOTAL,
        virtualization="kvm",
        boot_id=str(vps_id(index)),
        ip_addresses=["192.0.2.1"],
        agent_version="0.1.0",
        boot_time_unix_s=UPTIME_EPOCH,
    )


def root_of(server: UUID) -> int:
    """Return the base of a server's values. It is cached, because each sample needs it."""
    return zlib.crc32(server.bytes)


def expected(root: int, time_ms: int) -> tuple[float | int, ...]:
    """The values of `COLUMNS`."""
    seed = zlib.crc32(time_ms.to_bytes(8, "little"), root)
    received = time_ms * (1 + root % 1000)
    return (
        seed % 10_001 / 100,
        GIB + seed,
        seed & 0xFFF,
        seed >> 12 & 0xFFF,
        received,
        received // 3,
        time_ms // 1000 - UPTIME_EPOCH,
    )


def as_described(root: int, time_ms: int, values: Sequence[float | int], detail: bytes) -> bool:
    """Return True if `COLUMNS` and the detail of a row have the values that were sent."""
    wanted = expected(root, time_ms)
    sent = PerformanceSnapshot.FromString(detail)
    return (
        round(values[0], 2) == wanted[0]
        and tuple(values[1:]) == wanted[1:]
        and len(sent.disks) == len(_TEMPLATE.disks)
        and sent.interfaces[0].receive_bytes_total == wanted[4]
        and sent.interfaces[0].transmit_bytes_total == wanted[5]
    )


def _template() -> PerformanceSnapshot:
    """Return a snapshot as large as that of an agent on a small rented server."""
    names = (("/", "/dev/vda1"), ("/boot/efi", "/dev/vda15"), ("/srv", "/dev/vdb1"))
    return PerformanceSnapshot(
        cpu_iowait_percent=0.5,
        cpu_steal_percent=0.25,
        cpu_core_usage_percent=[10.0, 20.0, 30.0, 40.0],
        load_1=0.5,
        load_5=0.4,
        load_15=0.3,
        memory_total_bytes=MEMORY_TOTAL,
        memory_cached_bytes=GIB,
        swap_total_bytes=GIB,
        swap_used_bytes=1 << 20,
        disks=[
            DiskUsage(
                mount_point=mount,
                device=device,
                filesystem="ext4",
                total_bytes=80 * GIB,
                used_bytes=30 * GIB,
            )
            for mount, device in names
        ],
        block_devices=[
            BlockDeviceStats(
                device=device,
                read_bytes_per_second=4096.0,
                write_bytes_per_second=81920.5,
                reads_per_second=1.5,
                writes_per_second=12.5,
            )
            for device in ("vda", "vdb")
        ],
        disk_read_bytes_per_second=8192.0,
        disk_write_bytes_per_second=163841.0,
        disk_reads_per_second=3.0,
        disk_writes_per_second=25.0,
        interfaces=[
            NetworkInterfaceStats(
                name=name,
                receive_bytes_per_second=12345.5,
                transmit_bytes_per_second=2345.5,
                receive_bytes_total=123456789,
                transmit_bytes_total=23456789,
            )
            for name in ("eth0", "wg0", "docker0")
        ],
        network_receive_bytes_per_second=24691.0,
        network_transmit_bytes_per_second=4691.0,
        udp_connections=6,
        temperatures=[Temperature(sensor="k10temp", celsius=48.5)],
    )


_TEMPLATE = _template()


class Writer:
    """Serialises batches from one template, whose few varying fields it sets."""

    def __init__(self) -> None:
        self._single = _message(1)

    def batch(
        self,
        vps: str,
        root: int,
        epoch: str,
        sequence: int,
        times_ms: Sequence[int],
        *,
        clock_ms: int = 0,
    ) -> MessageToServer:
        """Return a batch that is valid until the next call. `clock_ms` is how far the clock is ahead."""
        # A message that grows and shrinks does not free its memory.
        message = self._single if len(times_ms) == 1 else _message(len(times_ms))
        snapshots, header = message.performance.snapshots, message.performance.header
        header.vps_id, header.epoch, header.sequence = vps, epoch, sequence
        header.sent_at_unix_ms = time.time_ns() // 1_000_000 + clock_ms
        for snapshot, time_ms in zip(snapshots, times_ms, strict=True):
            fill(snapshot, root, time_ms, clock_ms)
        return message


def _message(snapshots: int) -> MessageToServer:
    message = MessageToServer()
    for _ in range(snapshots):
        message.performance.snapshots.add().CopyFrom(_TEMPLATE)
    return message


def fill(snapshot: PerformanceSnapshot, root: int, time_ms: int, clock_ms: int) -> None:
    cpu, memory, processes, tcp, received, sent, uptime = expected(root, time_ms)
    snapshot.time_unix_ms = time_ms + clock_ms
    snapshot.cpu_usage_percent = cpu
    snapshot.memory_used_bytes = int(memory)
    snapshot.processes = int(processes)
    snapshot.tcp_connections = int(tcp)
    snapshot.network_receive_bytes_total = int(received)
    snapshot.network_transmit_bytes_total = int(sent)
    snapshot.uptime_seconds = int(uptime)
    interface = snapshot.interfaces[0]
    interface.receive_bytes_total = int(received)
    interface.transmit_bytes_total = int(sent)
