import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from agent.base.cancellation import cancel
from agent.base.config import Config, LiveConfig
from agent.collect.rates import Rates
from agent.docker import client
from agent.docker import collector as module
from agent.docker.client import CONTAINER_LIMIT, TEXT_LIMIT
from agent.docker.collector import DockerCollector, add_usage, describe, shrink
from flotilla.v1.agent_pb2 import AgentConfig
from flotilla.v1.docker_pb2 import DockerContainerInfo, DockerSnapshot
from tests.fixtures.agent.logs import logged
from tests.fixtures.virtual_time import in_virtual_time
from tests.fixtures.waiting import soon

ID = "a" * 64


async def test_a_missing_socket_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = Config(docker=True, docker_socket=str(tmp_path / "none"))
    watching = asyncio.ensure_future(
        DockerCollector(LiveConfig(config, AgentConfig())).run(lambda _: None)
    )

    await soon(logged(caplog, f"there is no socket {tmp_path / 'none'}"))

    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


def test_the_page_cache_of_cgroup_v2_is_left_out() -> None:
    info = DockerContainerInfo()

    memory = {"usage": 900, "limit": 4_000, "stats": {"inactive_file": 500}}
    add_usage(info, {"memory_stats": memory}, Rates(), now=1.0)

    assert (info.memory_usage_bytes, info.memory_limit_bytes) == (400, 4_000)


def test_rates_are_the_growth_of_counters() -> None:
    rates: Rates[str] = Rates()
    info = DockerContainerInfo()
    for now, grown in ((100.0, 0), (110.0, 5_000)):
        operations = [{"op": "Read", "value": grown}, {"op": "read", "value": grown}]
        reading = {
            "cpu_stats": {"cpu_usage": {"total_usage": grown * 1_000_000}},
            "networks": {"eth0": {"rx_bytes": grown, "tx_bytes": 0}, "eth1": {"rx_bytes": grown}},
            "blkio_stats": {"io_service_bytes_recursive": operations},
        }
        add_usage(info, reading, rates, now)

    assert info.cpu_usage_percent == 50
    assert info.network_receive_bytes_per_second == 1_000
    assert info.network_transmit_bytes_per_second == 0
    assert info.block_read_bytes_per_second == 1_000
    assert info.block_write_bytes_per_second == 0


def test_missing_and_null_fields_are_accepted() -> None:
    record = {"Id": ID, "Names": None, "Ports": None, "Labels": None, "Mounts": None}
    info = describe(record)
    nulls = {
        "cpu_stats": None,
        "networks": None,
        "blkio_stats": {"io_service_bytes_recursive": None},
    }

    add_usage(info, {**nulls, "memory_stats": {}}, Rates(), now=1.0)

    assert info.id == ID
    assert not info.HasField("memory_usage_bytes")


def test_texts_and_lists_of_a_container_are_bounded() -> None:
    record = {
        "Id": ID,
        "Names": [f"/{'n' * 1_000}"] * 100,
        "Labels": {f"label{number:03}": "v\ud800\0" * 1_000 for number in range(500)},
        "Ports": [{"PrivatePort": number, "Type": "tcp"} for number in range(1_000)],
        "Mounts": [{"Type": "volume", "Name": "data", "Destination": "/d"}] * 1_000,
    }

    info = describe(record)

    counts = len(info.names), len(info.labels), len(info.ports), len(info.mounts)
    assert counts == (module.NAME_LIMIT, module.LABEL_LIMIT, module.PORT_LIMIT, module.MOUNT_LIMIT)
    assert len(info.names[0]) == TEXT_LIMIT
    assert info.labels["label000"].startswith("v?")
    assert "\0" not in info.labels["label000"]
    assert info.mounts[0].source == "data"


def test_a_snapshot_that_is_too_large_loses_labels_first() -> None:
    snapshot = DockerSnapshot()
    for number in range(CONTAINER_LIMIT):
        info = snapshot.containers.add(id=f"{number:064}")
        info.mounts.add(source="/data")
        info.labels["com.docker.compose.project"] = "shop"
        for label in range(module.LABEL_LIMIT):
            info.labels[f"label{label}"] = "v" * TEXT_LIMIT

    shrink(snapshot)

    assert snapshot.ByteSize() <= module.SNAPSHOT_BYTES
    assert len(snapshot.containers) == CONTAINER_LIMIT
    assert all(info.mounts for info in snapshot.containers)
    assert any(len(info.labels) > 2 for info in snapshot.containers)
    assert all(info.labels["com.docker.compose.project"] for info in snapshot.containers)


@in_virtual_time
async def test_snapshots_are_taken_at_the_interval_and_after_changes_once_per_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = asyncio.get_running_loop().time
    taken: list[float] = []
    docker = DockerCollector(LiveConfig(Config(docker=True), AgentConfig()))

    async def snapshot() -> DockerSnapshot:
        return DockerSnapshot()

    monkeypatch.setattr(docker, "snapshot", snapshot)
    watching = asyncio.ensure_future(docker.run(lambda _: taken.append(now())))
    began = now()
    await asyncio.sleep(20.5)
    for _ in range(30):
        docker.collect_soon()
        await asyncio.sleep(0.1)
    await cancel(watching)

    assert [round(moment - began, 1) for moment in taken] == [0, 10, 20, 21, 22, 23]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Usage by container id, as a stand-in for the engine gives it; None never comes."""
    usage: dict[str, object] = {}

    async def list_containers(_engine: object) -> tuple[list[dict[str, object]], int]:
        return [{"Id": name, "State": "running"} for name in usage], 0

    async def stats(_engine: object, name: str) -> object:
        reading = usage[name]
        if reading is None:
            await asyncio.sleep(3600)
        if isinstance(reading, Exception):
            raise reading
        return reading

    monkeypatch.setattr(module, "EngineReader", lambda _socket, timeout: timeout)
    monkeypatch.setattr(module, "list_containers", list_containers)
    monkeypatch.setattr(module, "stats", stats)
    return usage


def collector() -> DockerCollector:
    return DockerCollector(LiveConfig(Config(docker=True), AgentConfig()))


MEMORY = {"memory_stats": {"usage": 900, "limit": 4_000}}


@in_virtual_time
@pytest.mark.parametrize("hanging", [1, module.MAX_REQUESTS, 60])
async def test_a_container_that_hangs_leaves_only_itself_without_numbers(
    engine: dict[str, object], hanging: int
) -> None:
    for number in range(100):
        engine[f"{number:064x}"] = None if number < hanging else MEMORY
    docker, now = collector(), asyncio.get_running_loop().time
    await docker.snapshot()
    began = now()
    snapshot = await docker.snapshot()
    assert now() - began < module.INTERVAL
    assert len(snapshot.containers) == 100
    assert {int(c.id, 16) for c in snapshot.containers if not c.HasField("memory_usage_bytes")} == {
        *range(hanging)
    }


@in_virtual_time
@pytest.mark.parametrize(
    "answer",
    [
        OSError("the connection broke"),
        {"memory_stats": {"usage": 1 << 70, "limit": 4_000}},
        {"memory_stats": {"usage": "many"}},
        {"networks": {"eth0": None}},
        [],
    ],
)
async def test_an_answer_that_makes_no_sense_leaves_only_its_container_without_numbers(
    engine: dict[str, object], answer: object
) -> None:
    engine.update({"a" * 64: answer, "b" * 64: MEMORY})
    odd, plain = (await collector().snapshot()).containers
    assert odd == DockerContainerInfo(id="a" * 64, state="running")
    assert plain.memory_usage_bytes == 900


@pytest.mark.parametrize("limit", [(1 << 64) - 1, (1 << 63) - 4096, 1 << 60])
def test_a_limit_above_any_memory_is_no_limit(limit: int) -> None:
    info = DockerContainerInfo()
    add_usage(info, {"memory_stats": {"usage": 602_112, "limit": limit}}, Rates(), now=1.0)
    assert info == DockerContainerInfo(memory_usage_bytes=602_112)


def test_labels_are_shown_without_secrets() -> None:
    info = describe({"Id": ID, "Labels": {"app.db_pw": "canary", "app.url": "s3://u:canary@h/b"}})
    assert dict(info.labels) == {"app.db_pw": "***", "app.url": "s3://***@h/b"}


class Engine:
    """A stand-in for the engine that lists a number of containers; those from 700 on run."""

    def __init__(self, count: int) -> None:
        self._count = count

    async def get(self, path: str, parameters: dict[str, str]) -> list[dict[str, str]]:
        assert path == "containers/json"
        states = ["running" if number >= 700 else "exited" for number in range(self._count)]
        listed = [{"Id": f"{number:064x}", "State": state} for number, state in enumerate(states)]
        alive = [one for one in listed if "all" in parameters or one["State"] == "running"]
        return alive[: int(parameters["limit"])]


@pytest.mark.parametrize(("count", "left_out"), [(250, 0), (500, 0), (501, 1), (900, 400)])
async def test_containers_beyond_the_limit_are_counted(count: int, left_out: int) -> None:
    records, surplus = await client.list_containers(cast("Any", Engine(count)))
    assert (len(records), surplus) == (min(count, CONTAINER_LIMIT), left_out)
    live = [record["State"] for record in records].count("running")
    assert live == max(count - 700, 0)
