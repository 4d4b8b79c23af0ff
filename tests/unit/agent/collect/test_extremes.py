"""The edge accepts the largest batches that the agent can send; it would end the stream otherwise."""

import types
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from agent.base.config import Config, CustomCollector, LiveConfig
from agent.collect.cpu import Cpu
from agent.collect.custom.generic import OUTPUT_LIMIT, CustomCollectors
from agent.collect.custom.lines import MAX_LABEL_LENGTH, MAX_LABELS, MAX_LABELS_BYTES, SERIES_LIMIT
from agent.collect.disk import Disk, Usage
from agent.collect.disk_io import DEVICE_LIMIT, DiskIo
from agent.collect.kernel.mounts import Mount
from agent.collect.network import INTERFACE_LIMIT, Network
from agent.collect.omissions import ITEM_LIMIT, omit_error
from agent.collect.temperature import Temperature
from agent.docker.client import CONTAINER_LIMIT
from agent.docker.collector import GROUPING_LABELS, describe, shrink
from agent.spool.models import Kind, Limits, Loss, Reason
from agent.spool.send_queue import SendQueue
from flotilla.v1.agent_pb2 import AgentConfig
from flotilla.v1.docker_pb2 import DockerSnapshot
from flotilla.v1.metrics_pb2 import GenericMetric, PerformanceSnapshot
from services.ingest.edge.validation import check_batch
from tests.fixtures.agent.fake_host import Host
from tests.fixtures.waiting import soon

WIDE = "\U0001f4a9"  # four bytes
UNPACED = Limits(backlog_batches_per_second=1e6, backlog_bytes_per_second=1e12)
LONG = 10_000  # characters, for texts without a limit on the host


async def taken(queue: SendQueue) -> int:
    """Check every waiting batch as the edge does; return their number."""
    count = 0
    lanes = queue._delivery._lanes
    while lanes.live or lanes.kinds_in_backlog:
        message = await soon(queue.next_message())
        batch = getattr(message, message.WhichOneof("payload") or "")
        check_batch("vps-1", batch)
        queue.accepted([batch.header.sequence])
        count += 1
    return count


LINES = {
    "longest name": lambda n: f"{'n' * (200 - len(str(n)))}{n} 1",
    "every character of a name": lambda n: f"_aZ09_:.{n} -1.7976931348623157e308",
    "most labels": lambda n: " ".join(["m 5e-324", *(f"l{x:02}={n:061}" for x in range(16))]),
    "longest label": lambda n: f"m 1 {'l' * 64}={n:0256}",
    "most bytes": lambda n: f"m 1 {'l' * 15}={WIDE * 251}{n:05}",
}


def test_the_lines_are_the_most_there_may_be() -> None:
    assert (MAX_LABELS, MAX_LABEL_LENGTH, MAX_LABELS_BYTES) == (16, 256, 1_024)


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
async def test_series_of_the_owners_own(line: Callable[[int], str], tmp_path: Path) -> None:
    output = tmp_path / "output"
    lines = [line(number) for number in range(SERIES_LIMIT)]
    output.write_text("\n".join(lines) + "\n")
    command = CustomCollector(("/bin/cat", str(output)), name="cat")
    metrics = await CustomCollectors(LiveConfig(Config(), AgentConfig()), ()).collect(command)
    assert len(metrics) == min(SERIES_LIMIT, OUTPUT_LIMIT // len(f"{lines[-1]}\n".encode()))
    queue = SendQueue("vps-1", limits=UNPACED)
    for _ in range(40):
        queue.add_metrics(metrics)

    assert await taken(queue) > 1


@pytest.mark.parametrize("character", ["x", WIDE])
async def test_a_listing_of_containers(character: str) -> None:
    text = character * LONG
    record = {
        "Names": [text] * 20,
        **dict.fromkeys(("Image", "State", "Status"), text),
        "Created": 1 << 32,
        "Ports": [{"IP": text, "PublicPort": 65_535, "PrivatePort": 65_535, "Type": text}] * 100,
        "Mounts": [dict.fromkeys(("Type", "Source", "Destination"), text)] * 100,
        "Labels": {
            **{f"{number}{text}": text for number in range(100)},
            **dict.fromkeys(GROUPING_LABELS, text),
        },
    }
    snapshot = DockerSnapshot()
    for number in range(CONTAINER_LIMIT):
        snapshot.containers.append(describe({**record, "Id": f"{number:064x}"}))
    shrink(snapshot)
    assert snapshot.containers
    queue = SendQueue("vps-1", limits=UNPACED)
    for _ in range(3):
        queue.add(snapshot)

    assert await taken(queue) == 3


def many_cores(host: Host, cores: int, ticks: int) -> None:
    times = " ".join([str(ticks)] * 10)
    names = ["cpu", *(f"cpu{number}" for number in range(cores))]
    host.write("proc/stat", "".join(f"{name} {times}\n" for name in names) + "intr 0\n")


@pytest.mark.parametrize("cores", [1_024, 1_025])
async def test_a_snapshot_of_a_host_that_has_too_much_of_everything(
    host: Host, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = PerformanceSnapshot(time_unix_ms=1)
    cpu = Cpu(host.proc)
    many_cores(host, cores, 100)
    cpu.collect(PerformanceSnapshot(), 1)
    many_cores(host, cores, 200)
    cpu.collect(snapshot, 2)
    columns = " ".join([str((1 << 63) // 1_000)] * 16)
    names = [f"if{number:013}" for number in range(2_000)]
    host.write("proc/net/dev", "\n\n" + "".join(f"{name}: {columns}\n" for name in names))
    Network(host.proc, host.sys).collect(snapshot, 1)
    for number in range(DEVICE_LIMIT + 50):
        (host.sys / f"block/{'d' * 200}{number}").mkdir(parents=True)
    disks = (f"8 0 {'d' * 200}{number} {columns}\n" for number in range(DEVICE_LIMIT + 50))
    host.write("proc/diskstats", "".join(disks))
    DiskIo(host.proc, host.sys).collect(snapshot, 1)
    host.write("proc/self/mountinfo", "")
    usages = [
        Usage(Mount(f"/{number}{WIDE * LONG}", "d" * LONG, "ext4"), 9, 9, 9)
        for number in range(130)
    ]
    disk = Disk(host.proc)
    disk._usages, disk._started = usages, 1
    disk.collect(snapshot, 1)
    host.write("sys/class/hwmon/hwmon0/temp1_input", "1")
    sensors = {"chip": [types.SimpleNamespace(label="s" * LONG, current=45.0)] * 500}
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: sensors)
    Temperature(host.sys).collect(snapshot, 1)

    assert len(snapshot.cpu_core_usage_percent) == (cores if cores == 1_024 else 0)
    assert len(snapshot.interfaces) == INTERFACE_LIMIT
    assert len(snapshot.block_devices) == DEVICE_LIMIT
    assert (len(snapshot.disks), len(snapshot.temperatures)) == (128, 128)
    for number in range(100):
        omit_error(snapshot, "disk", f"{number}{WIDE * LONG}", ValueError(WIDE * LONG))
    assert len(snapshot.omitted) == ITEM_LIMIT
    queue = SendQueue("vps-1", limits=UNPACED)
    for _ in range(5):
        queue.add(snapshot)
    assert await taken(queue) > 1


async def test_loss_reports_of_every_reason_and_kind() -> None:
    queue = SendQueue("vps-1", limits=UNPACED)
    for reason in Reason:
        for kind in Kind:
            queue._delivery.report(Loss(reason, kind, (1 << 63) - 1, 0, 1 << 62))
    queue.add_metrics([GenericMetric(name="m", value=1)])

    assert await taken(queue) == 1
