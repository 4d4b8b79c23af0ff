import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from agent.collect import docker as module
from agent.collect.docker import Docker, describe, measure_into, shorten
from agent.config import Config, LiveConfig
from agent.engine import CONTAINER_LIMIT, TEXT_LIMIT
from agent.rate import Rates
from flotilla.v1.agent_pb2 import AgentConfig
from flotilla.v1.docker_pb2 import DockerContainerInfo, DockerSnapshot
from tests.fixtures.engine import IMAGE, Engine, engine
from tests.unit.agent.edge import soon
from tests.unit.agent.running import logged

ID = "a" * 64


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    # A socket's path has at most 107 bytes.
    with engine(tmp_path_factory.mktemp("e", numbered=True)) as started:
        yield started


def watcher(engine: Engine) -> Docker:
    config = Config(docker=True, docker_socket=str(engine.socket))
    return Docker(LiveConfig(config, AgentConfig()))


def named(snapshot: DockerSnapshot, name: str) -> DockerContainerInfo:
    return next(info for info in snapshot.containers if name in info.names)


async def test_facts_and_use_of_real_containers(running: Engine) -> None:
    busy = running.docker(
        *("run", "--detach", "--name", "busy", "--label", "team=web", "--memory", "64m"),
        *("--publish", "127.0.0.1:18080:80", "--volume", f"{running.folder}:/host:ro"),
        *(IMAGE, "/bin/sh", "-c", "while :; do :; done"),
    )
    running.docker("create", "--name", "never-started", IMAGE, "/bin/sh")
    docker = watcher(running)
    try:
        first = await docker.snapshot()
        await asyncio.sleep(0.5)
        second = await docker.snapshot()
    finally:
        await docker._leave()

    assert not named(first, "busy").HasField("cpu_usage_percent")
    info = named(second, "busy")
    assert (info.id, info.image, info.state) == (busy, IMAGE, "running")
    assert info.status.startswith("Up")
    assert second.time_unix_ms - info.created_at_unix_ms < 60_000
    assert dict(info.labels) == {"team": "web"}
    (port,) = info.ports
    assert (port.host_ip, port.host_port, port.container_port, port.protocol) == (
        *("127.0.0.1", 18080, 80, "tcp"),
    )
    (mount,) = info.mounts
    assert (mount.type, mount.source, mount.destination) == ("bind", str(running.folder), "/host")
    assert mount.read_only
    assert 10 < info.cpu_usage_percent < 130
    assert 0 < info.memory_usage_bytes < info.memory_limit_bytes == 64 * 1024 * 1024
    assert info.HasField("network_receive_bytes_per_second")
    idle = named(second, "never-started")
    assert idle.state == "created"
    assert not idle.HasField("memory_usage_bytes")


async def test_memory_is_what_docker_stats_shows(running: Engine) -> None:
    running.docker(
        *("run", "--detach", "--name", "cached", IMAGE, "/bin/sh", "-c"),
        "dd if=/dev/zero of=/file bs=1M count=20; sleep 1000",
    )
    docker = watcher(running)
    try:
        shown, info = "", DockerContainerInfo()
        for _ in range(20):
            info = named(await docker.snapshot(), "cached")
            stats = json.loads(
                running.docker("stats", "--no-stream", "--format", "{{json .}}", "cached")
            )
            shown = stats["MemUsage"].split("B")[0]
            if info.memory_usage_bytes < 5_000_000:
                break
    finally:
        await docker._leave()

    # The page cache of 20 MB is not in it.
    assert info.memory_usage_bytes < 5_000_000
    assert shown[-2:] in ("Ki", "Mi")


async def test_a_container_that_is_removed_is_missing_in_the_next_snapshot(running: Engine) -> None:
    running.docker("run", "--detach", "--name", "leaving", IMAGE, "/bin/sleep", "1000")
    docker = watcher(running)
    try:
        assert named(await docker.snapshot(), "leaving").state == "running"
        running.docker("rm", "--force", "leaving")

        assert all("leaving" not in info.names for info in (await docker.snapshot()).containers)
    finally:
        await docker._leave()


async def test_an_engine_that_goes_is_told_of_once_and_found_again(
    running: Engine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "INTERVAL", 0.05)
    arrived: asyncio.Queue[DockerSnapshot] = asyncio.Queue()
    watching = asyncio.ensure_future(watcher(running).run(arrived.put_nowait))
    try:
        await soon(arrived.get())
        await asyncio.to_thread(running.stop)
        await soon(logged(caplog, "does not answer"))
        while not arrived.empty():
            arrived.get_nowait()
        await asyncio.to_thread(running.start)

        await soon(arrived.get())
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    assert caplog.text.count("does not answer") == 1
    assert "answers again" in caplog.text


async def test_a_change_that_is_told_of_is_looked_at_at_once(
    running: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "INTERVAL", 1_000)
    monkeypatch.setattr(module, "NUDGE_INTERVAL", 0.1)
    arrived: asyncio.Queue[DockerSnapshot] = asyncio.Queue()
    docker = watcher(running)
    watching = asyncio.ensure_future(docker.run(arrived.put_nowait))
    try:
        await soon(arrived.get())
        running.docker("create", "--name", "just-made", IMAGE, "/bin/sh")
        docker.nudge()
        assert named(await soon(arrived.get()), "just-made").state == "created"
        # Several at once are one look more, after a while.
        began = time.monotonic()
        for _ in range(50):
            docker.nudge()
        await soon(arrived.get())
        assert time.monotonic() - began > 0.05
        await asyncio.sleep(0.3)
        assert arrived.qsize() <= 1
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


def closing(
    close: Callable[[], Awaitable[None]], done: asyncio.Event
) -> Callable[[], Awaitable[None]]:
    async def observed() -> None:
        await close()
        done.set()

    return observed


async def test_nothing_is_asked_until_the_server_switches_docker_on(
    running: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = LiveConfig(Config(docker_socket=str(running.socket)), AgentConfig())
    arrived: asyncio.Queue[DockerSnapshot] = asyncio.Queue()
    docker = Docker(config)
    watching = asyncio.ensure_future(docker.run(arrived.put_nowait))
    try:
        await asyncio.sleep(0)
        assert docker._engine is None

        config.apply(AgentConfig(revision=1, docker_enabled=True))
        await soon(arrived.get())
        session = docker._engine
        assert session
        left = asyncio.Event()
        monkeypatch.setattr(session, "close", closing(session.close, left))
        config.apply(AgentConfig(revision=2, docker_enabled=False))
        await soon(left.wait())
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def test_a_socket_that_is_not_there_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = Config(docker=True, docker_socket=str(tmp_path / "none"))
    watching = asyncio.ensure_future(Docker(LiveConfig(config, AgentConfig())).run(lambda _: None))

    await soon(logged(caplog, f"there is no {tmp_path / 'none'}"))

    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


def test_an_engine_of_cgroup_v2_has_its_cache_taken_off_too() -> None:
    info = DockerContainerInfo()

    memory = {"usage": 900, "limit": 4_000, "stats": {"inactive_file": 500}}
    measure_into(info, {"memory_stats": memory}, Rates())

    assert (info.memory_usage_bytes, info.memory_limit_bytes) == (400, 4_000)


def test_rates_are_of_the_counters_growth(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter((100.0, 110.0))
    monkeypatch.setattr(time, "monotonic", lambda: next(moments))
    rates: Rates[str] = Rates()
    info = DockerContainerInfo()
    for grown in (0, 5_000):
        operations = [{"op": "Read", "value": grown}, {"op": "read", "value": grown}]
        reading = {
            "cpu_stats": {"cpu_usage": {"total_usage": grown * 1_000_000}},
            "networks": {"eth0": {"rx_bytes": grown, "tx_bytes": 0}, "eth1": {"rx_bytes": grown}},
            "blkio_stats": {"io_service_bytes_recursive": operations},
        }
        measure_into(info, reading, rates)

    assert info.cpu_usage_percent == 50
    assert info.network_receive_bytes_per_second == 1_000
    assert info.network_transmit_bytes_per_second == 0
    assert info.block_read_bytes_per_second == 1_000
    assert info.block_write_bytes_per_second == 0


def test_an_engine_that_says_null_or_little_is_understood() -> None:
    record = {"Id": ID, "Names": None, "Ports": None, "Labels": None, "Mounts": None}
    info = describe(record)
    nulls = {
        "cpu_stats": None,
        "networks": None,
        "blkio_stats": {"io_service_bytes_recursive": None},
    }

    measure_into(info, {**nulls, "memory_stats": {}}, Rates())

    assert info.id == ID
    assert not info.HasField("memory_usage_bytes")


def test_what_a_container_says_of_itself_is_bounded() -> None:
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


def test_a_snapshot_beyond_its_bytes_loses_labels_first() -> None:
    snapshot = DockerSnapshot()
    for number in range(CONTAINER_LIMIT):
        info = snapshot.containers.add(id=f"{number:064}")
        info.mounts.add(source="/data")
        info.labels["com.docker.compose.project"] = "shop"
        for label in range(module.LABEL_LIMIT):
            info.labels[f"label{label}"] = "v" * TEXT_LIMIT

    shorten(snapshot)

    assert snapshot.ByteSize() <= module.SNAPSHOT_BYTES
    assert len(snapshot.containers) == CONTAINER_LIMIT
    assert all(info.mounts for info in snapshot.containers)
    assert any(len(info.labels) > 2 for info in snapshot.containers)
    assert all(info.labels["com.docker.compose.project"] for info in snapshot.containers)
