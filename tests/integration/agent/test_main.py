import json
import signal
from pathlib import Path

import psutil

from agent import __version__
from agent.base.identity import StateFolder
from flotilla.v1.agent_pb2 import AgentConfig, BatchAck
from tests.fixtures.agent.fake_edge import Edge
from tests.fixtures.agent.processes import Launch, outcome


async def test_once_prints_facts_and_a_snapshot_with_rates_and_needs_no_enrolment(
    launch: Launch, tmp_path: Path
) -> None:
    code, out, _ = await outcome(await launch("--once", "--state", str(tmp_path / "none")))

    assert code == 0
    report = json.loads(out)
    assert int(report["facts"]["memory_total_bytes"]) == psutil.virtual_memory().total
    assert 0 <= report["snapshot"]["cpu_usage_percent"] <= 100
    assert report["snapshot"]["network_receive_bytes_per_second"] >= 0


async def test_the_version_is_printed(launch: Launch) -> None:
    assert await outcome(await launch("--version")) == (0, f"flotilla-agent {__version__}\n", "")


async def test_a_bad_configuration_is_one_line_and_code_2(launch: Launch, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("report_interval = 0")

    code, _, err = await outcome(await launch("--config", str(file), "--once"))

    assert code == 2
    assert err == (f"flotilla-agent: {file}: report_interval must be from 0.5 to 3600 seconds.\n")


async def test_an_agent_that_is_not_enrolled_says_so_with_code_3(
    launch: Launch, tmp_path: Path
) -> None:
    code, _, err = await outcome(await launch("--state", str(tmp_path)))

    assert code == 3
    assert "not enrolled" in err


async def test_the_running_agent_reports_this_machine_and_ends_cleanly(
    launch: Launch, edge: Edge, state: StateFolder
) -> None:
    process = await launch("--state", str(state.path))
    peer = await edge.peer()
    handshake = await peer.shake_hands(AgentConfig(revision=1, report_interval_ms=500))
    assert handshake.facts.memory_total_bytes == psutil.virtual_memory().total
    first, second = await peer.batch(), await peer.batch()
    for batch in (first, second):
        await peer.acknowledge(batch, BatchAck.OUTCOME_ACCEPTED)
    assert not first.snapshots[0].HasField("cpu_usage_percent")
    assert second.snapshots[0].HasField("cpu_usage_percent")

    process.send_signal(signal.SIGTERM)
    code, _, err = await outcome(process)

    assert code == 0
    assert "Traceback" not in err
    assert all(line.startswith("time=") for line in err.splitlines())
    assert state.load_pushed_config() == AgentConfig(revision=1, report_interval_ms=500)


async def test_what_was_pushed_is_in_force_again_after_a_restart(
    launch: Launch, edge: Edge, state: StateFolder
) -> None:
    state.save_pushed_config(AgentConfig(revision=7))

    process = await launch("--state", str(state.path))

    assert (await (await edge.peer()).challenge()).config_revision == 7
    process.terminate()
    assert (await outcome(process))[0] == 0


async def test_a_second_agent_on_the_same_folder_is_refused(
    launch: Launch, edge: Edge, state: StateFolder
) -> None:
    with state.lock():
        code, _, err = await outcome(await launch("--state", str(state.path)))

    assert code == 1
    assert "Another agent is running" in err
