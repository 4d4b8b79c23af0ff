"""Other monitoring agents. They run beside ours and are asked as often for similar data."""

from __future__ import annotations

import asyncio
import itertools
import os
import struct
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from tests.fixtures.claims import free_port

READY_SECONDS = 30.0
ASK_SECONDS = 5.0
STOP_SECONDS = 10
ZABBIX_HEADER = struct.Struct("<4sBII")
ZABBIX_ANSWER_LIMIT = 1_048_576  # bytes
GLANCES_PLUGINS = (
    *("cpu", "percpu", "load", "mem", "memswap", "network", "connections"),
    *("diskio", "fs", "uptime", "processcount", "sensors", "system"),
)


class SilentPeerError(Exception):
    """An agent was started but did not answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    looks: int
    size_bytes: int


Ask = Callable[[], Awaitable[Answer]]


@dataclass(slots=True)
class Peer:
    name: str
    version: str
    process: subprocess.Popen[bytes]
    ask: Ask
    looks: int = 0
    misses: int = 0
    answer_bytes: int = 0

    def forget(self) -> None:
        """Reset the counters."""
        self.looks = self.misses = self.answer_bytes = 0

    async def keep_asking(self, interval: float) -> None:
        """Ask the agent once per interval, until cancelled."""
        started = time.monotonic()
        for turn in itertools.count(1):
            try:
                async with asyncio.timeout(ASK_SECONDS):
                    answer = await self.ask()
            except (OSError, EOFError, httpx.HTTPError, ValueError):
                self.misses += 1
            else:
                self.looks += answer.looks
                self.answer_bytes += answer.size_bytes
            await asyncio.sleep(max(0.0, started + turn * interval - time.monotonic()))


@asynccontextmanager
async def node_exporter(program: Path, folder: Path) -> AsyncIterator[Peer]:
    """Run prometheus-node-exporter with its default collectors, scraped over HTTP."""
    port = free_port()
    command = [str(program), f"--web.listen-address=127.0.0.1:{port}"]
    version = _said([str(program), "--version"]).split("version ")[1].split()[0].rstrip(",")
    async with httpx.AsyncClient(trust_env=False) as client:

        async def ask() -> Answer:
            answer = await client.get(f"http://127.0.0.1:{port}/metrics")
            return Answer(1, answer.raise_for_status().num_bytes_downloaded)

        with _running(command, folder) as process:
            peer = Peer("prometheus-node-exporter", version, process, ask)
            await _ready(peer)
            yield peer


@asynccontextmanager
async def zabbix_agent2(program: Path, folder: Path) -> AsyncIterator[Peer]:
    """Run zabbix-agent2 with passive checks: one connection per item, as in version 6."""
    port = free_port()
    configuration = folder / "zabbix.conf"
    configuration.write_text(
        "Server=127.0.0.1\nListenIP=127.0.0.1\nHostname=bench\nLogType=console\n"
        f"ListenPort={port}\nPidFile={folder}/zabbix.pid\n"
        f"ControlSocket={folder}/zabbix.sock\nPluginSocket={folder}/zabbix-plugin.sock\n"
    )
    version = _said([str(program), "-V"]).split("(Zabbix) ")[1].split()[0]
    items = zabbix_items()

    async def ask() -> Answer:
        return Answer(1, sum([len(await zabbix_get(port, item)) for item in items]))

    with _running([str(program), "-c", str(configuration)], folder) as process:
        peer = Peer("zabbix-agent2", version, process, ask)
        await _ready(peer)
        yield peer


@asynccontextmanager
async def glances(program: Path, folder: Path, interval: float) -> AsyncIterator[Peer]:
    """Run glances without a screen. It writes to a file, with the plugins for our agent's values."""
    output = folder / "glances.csv"
    command = [
        *(str(program), "--quiet", "--time", f"{interval:g}", "--config", os.devnull),
        *("--disable-check-update", "--disable-plugin", "all"),
        *("--enable-plugin", ",".join(GLANCES_PLUGINS)),
        *("--export", "csv", "--export-csv-file", str(output)),
    ]
    version = _said([str(program), "--version"]).split("version:")[1].split()[0]
    read = 0

    async def ask() -> Answer:
        nonlocal read
        with output.open("rb") as file:
            file.seek(read)
            new = file.read()
        read += len(new)
        return Answer(new.count(b"\n"), len(new))

    with _running(command, folder) as process:
        peer = Peer("glances", version, process, ask)
        await _ready(peer)
        yield peer


async def zabbix_get(port: int, item: str) -> bytes:
    """Raises: ValueError: the agent does not know the item."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        key = item.encode()
        writer.write(ZABBIX_HEADER.pack(b"ZBXD", 1, len(key), 0) + key)
        header = await reader.readexactly(ZABBIX_HEADER.size)
        _, _, size, _ = ZABBIX_HEADER.unpack(header)
        if size > ZABBIX_ANSWER_LIMIT:
            raise ValueError(f"{item}: {size} bytes")
        answer = await reader.readexactly(size)
    finally:
        writer.close()
    if answer.startswith(b"ZBX_NOTSUPPORTED"):
        raise ValueError(f"{item}: {answer.decode(errors='replace')}")
    return header + answer


def zabbix_items() -> list[str]:
    """Return the items of the Zabbix agent that our snapshot contains; its server computes rates."""
    cores = [f"system.cpu.util[{core},user]" for core in range(psutil.cpu_count() or 1)]
    mounts = [mount.mountpoint for mount in psutil.disk_partitions()]
    interfaces = [name for name in psutil.net_io_counters(pernic=True) if name != "lo"]
    return [
        *(f"system.cpu.util[,{state}]" for state in ("idle", "iowait", "steal")),
        *cores,
        *(f"system.cpu.load[all,avg{minutes}]" for minutes in (1, 5, 15)),
        *(f"vm.memory.size[{part}]" for part in ("total", "available", "cached")),
        *(f"system.swap.size[,{part}]" for part in ("total", "free")),
        *(f"vfs.fs.size[{mount},{part}]" for mount in mounts for part in ("total", "used")),
        *(
            f"vfs.dev.{way}[,{unit}]"
            for way in ("read", "write")
            for unit in ("sectors", "operations")
        ),
        *(f"net.if.{way}[{name}]" for way in ("in", "out") for name in interfaces),
        "net.tcp.socket.count[]",
        "net.udp.socket.count[]",
        "proc.num[]",
        "system.uptime",
    ]


async def _ready(peer: Peer) -> None:
    """Raises: SilentPeerError."""
    end = time.monotonic() + READY_SECONDS
    problem = "it says nothing"
    while time.monotonic() < end and peer.process.poll() is None:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                if (await peer.ask()).looks:
                    return
        except (OSError, EOFError, httpx.HTTPError, ValueError) as error:
            problem = str(error)
        await asyncio.sleep(0.2)
    raise SilentPeerError(f"did not come up: {problem}")


@contextmanager
def _running(command: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process until the block ends, or until the benchmark is killed."""
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "TERM", "--", *command],
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C.UTF-8"},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _said(command: list[str]) -> str:
    """Raises: SilentPeerError: for example, a library is missing."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SilentPeerError(f"cannot be run: {error}") from error
    if done.returncode != 0:
        raise SilentPeerError(f"cannot be run: {done.stdout.strip()[:200]}")
    return done.stdout
