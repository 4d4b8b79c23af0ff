"""Live samples of the demo's servers, from simulated agents that continue the history."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone

import grpc

from flotilla.v1.agent_pb2 import Heartbeat, MessageToServer
from flotilla.v1.command_pb2 import Command, CommandResponse, DockerAction
from flotilla.v1.docker_pb2 import DockerContainerInfo, DockerInfoBatch, DockerPort, DockerSnapshot
from flotilla.v1.metrics_pb2 import (
    BatchHeader,
    BlockDeviceStats,
    DiskUsage,
    NetworkInterfaceStats,
    PerformanceSnapshot,
    Temperature,
)
from tests.demo.profiles import (
    DAY,
    Profile,
    Trouble,
    container_ids,
    disk_shares,
    disk_weights,
    facts,
    powers,
    swap,
    usable_memory,
)
from tests.fixtures.scripted_agent import ScriptedAgent

INTERVAL = 10.0  # seconds between samples, as the demo's servers are configured
CONTAINERS_EVERY = 3  # samples
MISSED_LIMIT = 200  # samples
RECONNECT_SECONDS = (2.0, 15.0)


@dataclass(slots=True)
class Counters:
    """The network counters of a server, and when they were read; seconds since the epoch."""

    at: float
    rx: int
    tx: int


class LiveServer:
    """The agent of one server: connects, reports, answers heartbeats, and connects again.

    After an interruption it sends the samples of that time, like an agent with a spool. A sample that
    is lost with its stream is not sent again.
    """

    def __init__(
        self,
        agent: ScriptedAgent,
        profile: Profile,
        counters: Counters,
        command_key: bytes,
    ) -> None:
        self._agent = agent
        self._command_key = command_key
        self._profile = profile
        self._counters = counters
        self._writing = asyncio.Lock()

    async def report_once(self, at: float) -> datetime:
        """Connect, send the sample of a time, and leave; return a time just before that."""
        await self._connect()
        await self._send(at)
        leaves_at = datetime.now(timezone.utc)
        await self._agent.leave()
        await self._agent.close()
        return leaves_at

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            with suppress(grpc.aio.AioRpcError, AssertionError, ConnectionError, TimeoutError):
                await self._connect()
                await self._converse()
            await self._agent.close()
            await asyncio.sleep(random.uniform(*RECONNECT_SECONDS))

    async def _connect(self) -> None:
        agent = self._agent
        await agent.challenged()
        handshake = agent.handshake()
        handshake.facts.CopyFrom(facts(self._profile))
        handshake.powers.CopyFrom(powers(self._profile, self._command_key))
        await agent.send(MessageToServer(handshake=handshake))
        await agent.receive("handshake_ack")

    async def _converse(self) -> None:
        """Report and answer until one of the two fails."""
        tasks = [asyncio.create_task(work) for work in (self._answer(), self._report())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    async def _answer(self) -> None:
        async for message in self._agent.messages():
            beat = message.heartbeat_request
            if message.WhichOneof("payload") == "heartbeat_request" and not beat.reply:
                answer = Heartbeat(
                    number=beat.number, time_unix_ms=time.time_ns() // 1_000_000, reply=True
                )
                await self._write(MessageToServer(heartbeat=answer))
            elif message.WhichOneof("payload") == "command_request":
                command = Command.FromString(message.command_request.command)
                response = answer_command(self._profile, command)
                await self._write(MessageToServer(command_response=response))
        raise ConnectionError("The edge has ended the stream.")

    async def _report(self) -> None:
        silent = self._profile.trouble is Trouble.STALE
        if not silent:
            await self._send(*self._missed())
        number = 0
        while True:
            await asyncio.sleep(random.uniform(0.9, 1.1) * INTERVAL)
            if not silent:
                await self._send(time.time())
                if self._profile.role.containers and number % CONTAINERS_EVERY == 0:
                    await self._send_containers()
            number += 1

    def _missed(self) -> list[float]:
        """Return the times of the samples since the last one, up to now; at most one batch."""
        now = time.time()
        count = min(int((now - self._counters.at) / INTERVAL), MISSED_LIMIT)
        return [now - INTERVAL * number for number in range(count, 0, -1)] + [now]

    async def _send(self, *times: float) -> None:
        samples = [snapshot(self._profile, self._counters, at) for at in times]
        await self._write(MessageToServer(performance=self._agent.batch(*samples)))

    async def _send_containers(self) -> None:
        agent = self._agent
        agent.sequence += 1
        now = time.time_ns() // 1_000_000
        header = BatchHeader(
            vps_id=agent.vps_id, epoch=agent.epoch, sequence=agent.sequence, sent_at_unix_ms=now
        )
        batch = DockerInfoBatch(header=header, snapshots=[containers(self._profile, now)])
        await self._write(MessageToServer(docker=batch))

    async def _write(self, message: MessageToServer) -> None:
        async with self._writing:  # a stream takes one message at a time
            await self._agent.send(message)


async def run(servers: Sequence[LiveServer]) -> None:
    """Report for all of them until cancelled."""
    async with asyncio.TaskGroup() as tasks:
        for server in servers:
            tasks.create_task(server.run())


def snapshot(profile: Profile, counters: Counters, at: float) -> PerformanceSnapshot:
    """Return a sample by the same model as the history; advance the counters."""
    plan, role = profile.plan, profile.role
    day, load = _waves(profile, at)
    hot = 1.0 if profile.trouble is Trouble.HOT else 0.0
    cpu = min(99.5, 100 * load + 4 * random.random() + 52 * hot)
    steal = 18 + 14 * day + 6 * random.random() if profile.trouble is Trouble.STEAL else 0.0
    full = profile.trouble is Trouble.MEMORY_FULL
    memory = min(0.985, (0.9 if full else role.memory) + 0.05 * load + 0.015)
    rx, tx = (rate * (0.2 + 1.4 * load) * random.uniform(0.8, 1.2) for rate in (role.rx, role.tx))
    elapsed = max(at - counters.at, 0.0)
    counters.at = at
    counters.rx += round(rx * elapsed)
    counters.tx += round(tx * elapsed)
    sample = PerformanceSnapshot(
        time_unix_ms=round(at * 1000),
        cpu_usage_percent=cpu,
        cpu_iowait_percent=0.3 + 1.5 * load * random.random(),
        cpu_steal_percent=steal or 0.4 * random.random(),
        cpu_core_usage_percent=[
            min(100.0, max(0.0, cpu * random.uniform(0.6, 1.4))) for _ in range(plan.cores)
        ],
        load_1=plan.cores * (load * random.uniform(0.9, 1.2) + 1.3 * hot),
        load_5=plan.cores * (load + 1.2 * hot),
        load_15=plan.cores * (load + 1.1 * hot),
        memory_total_bytes=usable_memory(profile),
        memory_used_bytes=round(usable_memory(profile) * memory),
        memory_cached_bytes=round(usable_memory(profile) * max(0.0, 0.92 - memory) * 0.8),
        swap_total_bytes=swap(profile),
        swap_used_bytes=round(swap(profile) * (0.84 if full else 0.14)),
        disk_read_bytes_per_second=1.5e5 + 4e6 * load * random.random(),
        disk_write_bytes_per_second=3e5 + 2.5e6 * load * random.uniform(0.5, 1.5),
        disk_reads_per_second=8 + 260 * load * random.random(),
        disk_writes_per_second=20 + 190 * load * random.uniform(0.5, 1.5),
        network_receive_bytes_per_second=rx,
        network_transmit_bytes_per_second=tx,
        network_receive_bytes_total=counters.rx,
        network_transmit_bytes_total=counters.tx,
        tcp_connections=round(
            role.connections * (0.3 + 0.3 * day + 0.8 * load) * random.uniform(0.95, 1.05)
        ),
        udp_connections=random.randint(6, 11),
        processes=round(96 + 5 * plan.cores + 30 * load + 3 * random.random()),
        uptime_seconds=round(at) - facts(profile).boot_time_unix_s,
    )
    put_disks(sample, profile, disk_shares(profile)[1])
    _put_processes(sample, profile)
    _put_devices(sample, profile, counters)
    return sample


def _waves(profile: Profile, at: float) -> tuple[float, float]:
    """Return a server's place in its day and its load, from 0 to 1; see `_MODEL` of the history."""
    local = at + profile.region.utc_offset * 3600
    day = 0.5 - 0.5 * math.cos(2 * math.pi * (local / DAY - 0.125))
    week = 0.6 if int(local // DAY) % 7 in {2, 3} else 1.0
    ripple = 0.035 * math.sin(at / 1700 + profile.number)
    ripple += 0.02 * math.sin(at / 410 + 3 * profile.number)
    load = profile.role.idle + profile.role.wave * day * week + ripple + 0.03 * random.random()
    return day, min(0.97, max(0.01, load))


def put_disks(sample: PerformanceSnapshot, profile: Profile, share: float) -> None:
    """Add the file systems, the fullest with this share of it used."""
    sample.disks.extend(
        DiskUsage(
            mount_point=mount,
            device=device,
            filesystem=filesystem,
            total_bytes=size,
            used_bytes=round(size * weight * share),
        )
        for (mount, device, filesystem, size), (_, weight) in zip(
            profile.plan.disks, disk_weights(profile), strict=True
        )
    )


def _put_processes(sample: PerformanceSnapshot, profile: Profile) -> None:
    """Divide the processor and most of the memory among the programs of the server's role."""
    busy = sample.cpu_usage_percent * profile.plan.cores
    for number, name in enumerate(profile.role.programs):
        sample.top_processes.add(
            pid=700 + 137 * number,
            name=name,
            user="root" if number else "app",
            cpu_usage_percent=busy * 0.55 * 0.4**number * random.uniform(0.8, 1.2),
            resident_bytes=round(sample.memory_used_bytes * 0.5 * 0.45**number),
        )


def _put_devices(sample: PerformanceSnapshot, profile: Profile, counters: Counters) -> None:
    first = profile.plan.disks[0][1].removeprefix("/dev/").rstrip("0123456789")
    sample.block_devices.append(
        BlockDeviceStats(
            device=first,
            read_bytes_per_second=sample.disk_read_bytes_per_second,
            write_bytes_per_second=sample.disk_write_bytes_per_second,
            reads_per_second=sample.disk_reads_per_second,
            writes_per_second=sample.disk_writes_per_second,
        )
    )
    sample.interfaces.append(
        NetworkInterfaceStats(
            name="eth0",
            receive_bytes_per_second=sample.network_receive_bytes_per_second,
            transmit_bytes_per_second=sample.network_transmit_bytes_per_second,
            receive_bytes_total=counters.rx,
            transmit_bytes_total=counters.tx,
        )
    )
    if profile.temperature is not None:
        load = sample.cpu_usage_percent / 100
        sample.temperatures.append(
            Temperature(sensor="k10temp", celsius=profile.temperature + 19 * load)
        )


def answer_command(profile: Profile, command: Command) -> CommandResponse:
    """Answer commands about containers; refuse all others."""
    response = CommandResponse(
        command_id=command.id, status=CommandResponse.STATUS_FINISHED, last=True
    )
    action = command.docker
    listed = containers(profile, time.time_ns() // 1_000_000).containers
    chosen = [info for info in listed if info.id.startswith(action.target)]
    if action.operation == DockerAction.OPERATION_LIST:
        response.containers.containers.extend(listed)
    elif action.operation == DockerAction.OPERATION_INSPECT and chosen:
        response.container.info.CopyFrom(chosen[0])
        response.container.restart_policy = "unless-stopped"
        response.container.network_mode = "bridge"
    else:
        response.status = CommandResponse.STATUS_REFUSED
        response.failure = CommandResponse.FAILURE_UNAVAILABLE
        response.reason = "This is a simulated server of the demo. It can only be looked at."
    return response


def containers(profile: Profile, time_ms: int) -> DockerSnapshot:
    """Return the containers of a server; the last of four has stopped."""
    listing = DockerSnapshot(time_unix_ms=time_ms)
    ids = container_ids(profile)
    for number, (container_id, (name, image)) in enumerate(
        zip(ids, profile.role.containers, strict=True)
    ):
        stopped = number == 3 and profile.number % 2 == 0
        days = 2 + (profile.number + number) % 9
        container = DockerContainerInfo(
            id=container_id,
            names=[name],
            image=image,
            state="exited" if stopped else "running",
            status=f"Exited (137) {days} hours ago" if stopped else f"Up {days} days",
            created_at_unix_ms=time_ms - days * DAY * 1000,
            labels={"com.docker.compose.project": profile.role.name},
            ports=[DockerPort(container_port=8080 + number, protocol="tcp")],
        )
        if not stopped:
            weight = random.uniform(0.3, 1.0)
            container.cpu_usage_percent = 20 * weight
            container.memory_usage_bytes = round(9e7 + 2.5e8 * weight)
            container.memory_limit_bytes = usable_memory(profile)
            container.network_receive_bytes_per_second = 4e4 * weight
            container.network_transmit_bytes_per_second = 9e4 * weight
            container.block_read_bytes_per_second = 2e4 * weight
            container.block_write_bytes_per_second = 6e4 * weight
        listing.containers.append(container)
    return listing
