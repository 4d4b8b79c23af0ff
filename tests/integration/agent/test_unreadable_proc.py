"""Agents on hosts whose /proc cannot be read in part, as where lxcfs has died."""

import json
import os
import socket
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from pathlib import Path

import pytest

from agent.base.identity import StateFolder
from flotilla.v1.agent_pb2 import AgentConfig
from tests.fixtures.agent.fake_edge import Edge
from tests.fixtures.agent.processes import Launch, outcome

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts over /proc, so it needs root")
COVER = 'mount --make-rprivate /; mount --bind "$1" "/proc/$2"; shift 2; exec "$@"'


def covered(tmp_path: Path, file: str) -> tuple[str, ...]:
    """Return the start of a command whose program cannot open this file of /proc."""
    dead = tmp_path / "dead"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(dead))  # opening it fails, also after it is closed
    return ("unshare", "-m", "sh", "-euc", COVER, "sh", str(dead), file)


@pytest.mark.parametrize(
    ("file", "collector"),
    [("meminfo", "memory"), ("stat", "cpu"), ("loadavg", "load"), ("diskstats", "disk_io")],
)
async def test_once_names_what_cannot_be_read_and_reports_the_rest(
    tmp_path: Path, file: str, collector: str
) -> None:
    command = (*covered(tmp_path, file), sys.executable, "-m", "agent", "--once")

    code, out, err = await outcome(await create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE))

    report = json.loads(out)
    assert code == 0
    assert report["facts"]["hostname"]
    assert report["snapshot"]["uptime_seconds"]
    (omitted,) = report["snapshot"]["omitted"]
    assert omitted["collector"] == collector
    assert omitted["detail"] == f"/proc/{file}: No such device or address"
    assert f"The collector {collector} is not reported" in err
    assert "Traceback" not in err


async def test_an_agent_connects_and_reports_without_meminfo(
    launch: Launch, edge: Edge, state: StateFolder, tmp_path: Path
) -> None:
    await launch("--state", str(state.path), before=covered(tmp_path, "meminfo"))

    peer = await edge.peer()
    handshake = await peer.shake_hands(AgentConfig(revision=1, report_interval_ms=500))
    (snapshot,) = (await peer.batch()).snapshots

    assert handshake.facts.hostname
    assert not handshake.facts.memory_total_bytes
    assert snapshot.HasField("load_1")
    assert not snapshot.HasField("memory_total_bytes")
    assert [each.collector for each in snapshot.omitted] == ["memory"]
