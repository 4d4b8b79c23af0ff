import asyncio
import json
from collections.abc import Iterator

import pytest

from agent.base.config import Config, LiveConfig
from agent.docker import collector as module
from agent.docker.collector import DockerCollector
from flotilla.v1.agent_pb2 import AgentConfig
from flotilla.v1.docker_pb2 import DockerContainerInfo, DockerSnapshot
from tests.fixtures.agent.logs import logged
from tests.fixtures.docker_engine import IMAGE, Engine, engine
from tests.fixtures.waiting import soon, until


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    # A socket's path has at most 107 bytes.
    with engine(tmp_path_factory.mktemp("e", numbered=True)) as started:
        yield started


def watcher(engine: Engine) -> DockerCollector:
    config = Config(docker=True, docker_socket=str(engine.socket))
    return DockerCollector(LiveConfig(config, AgentConfig()))


def named(snapshot: DockerSnapshot, name: str) -> DockerContainerInfo:
    return next(info for info in snapshot.containers if name in info.names)


async def test_a_snapshot_has_facts_and_usage_of_containers(running: Engine) -> None:
    options = (
        f"--detach --name busy --label team=web --memory 64m --volume {running.folder}:/host:ro"
    )
    busy = running.docker(
        "run",
        *options.split(),
        "--publish=127.0.0.1::80",  # on a free port
        IMAGE,
        "/bin/sh",
        "-c",
        "while :; do :; done",
    )
    published = int(running.docker("port", "busy", "80").rpartition(":")[2])
    running.docker("create", "--name", "never-started", IMAGE, "/bin/sh")
    docker = watcher(running)
    try:
        first = await docker.snapshot()
        await asyncio.sleep(0.5)
        second = await docker.snapshot()
    finally:
        docker._disconnect()

    assert not named(first, "busy").HasField("cpu_usage_percent")
    info = named(second, "busy")
    assert (info.id, info.image, info.state) == (busy, IMAGE, "running")
    assert info.status.startswith("Up")
    assert second.time_unix_ms - info.created_at_unix_ms < 60_000
    assert dict(info.labels) == {"team": "web"}
    (port,) = info.ports
    assert (port.host_ip, port.host_port) == ("127.0.0.1", published)
    assert (port.container_port, port.protocol) == (80, "tcp")
    (mount,) = info.mounts
    assert (mount.type, mount.source, mount.destination) == ("bind", str(running.folder), "/host")
    assert mount.read_only
    assert info.cpu_usage_percent > 0
    assert 0 < info.memory_usage_bytes < info.memory_limit_bytes == 64 * 1024 * 1024
    assert info.HasField("network_receive_bytes_per_second")
    idle = named(second, "never-started")
    assert idle.state == "created"
    assert not idle.HasField("memory_usage_bytes")


async def test_memory_agrees_with_docker_stats(running: Engine) -> None:
    script = "dd if=/dev/zero of=/file bs=1M count=20; sleep 1000"
    running.docker("run", "--detach", "--name", "cached", IMAGE, "/bin/sh", "-c", script)
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
        docker._disconnect()

    # The page cache of 20 MB is left out.
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
        docker._disconnect()


async def test_a_stopped_engine_is_logged_once_and_found_again(
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


async def test_a_reported_change_leads_to_a_snapshot_before_the_interval_is_over(
    running: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "INTERVAL", 1_000)
    monkeypatch.setattr(module, "MIN_INTERVAL", 0.1)
    arrived: asyncio.Queue[DockerSnapshot] = asyncio.Queue()
    docker = watcher(running)
    watching = asyncio.ensure_future(docker.run(arrived.put_nowait))
    try:
        await soon(arrived.get())
        running.docker("create", "--name", "just-made", IMAGE, "/bin/sh")
        docker.collect_soon()
        assert named(await soon(arrived.get()), "just-made").state == "created"
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def test_the_engine_is_not_called_until_the_server_enables_docker(
    running: Engine,
) -> None:
    config = LiveConfig(Config(docker_socket=str(running.socket)), AgentConfig())
    arrived: asyncio.Queue[DockerSnapshot] = asyncio.Queue()
    docker = DockerCollector(config)
    watching = asyncio.ensure_future(docker.run(arrived.put_nowait))
    try:
        await asyncio.sleep(0)
        assert docker._engine is None

        config.apply(AgentConfig(revision=1, docker_enabled=True))
        await soon(arrived.get())
        assert docker._engine
        config.apply(AgentConfig(revision=2, docker_enabled=False))
        await until(lambda: docker._engine is None)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
