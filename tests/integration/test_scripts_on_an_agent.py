"""Scripts on a real agent: what they start, print, take and leave behind."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import pytest_asyncio

from tests.fixtures import programs
from tests.fixtures.programs import Program
from tests.fixtures.waiting import until
from tests.fixtures.world import Gate, World, _world

POLICY = "commands = true\n"


@dataclass
class Host:
    world: World
    user: httpx.AsyncClient
    vps_id: str
    agent: Program
    gate: Gate
    """Between the agent and its edge."""
    folder: Path

    async def run(self, script: str, timeout: int = 30) -> httpx.Response:
        body = {"script": script, "timeout_seconds": timeout}
        return await self.user.post(f"/vps/{self.vps_id}/commands", json=body, timeout=60)

    async def newest(self) -> dict[str, Any]:
        page = (await self.user.get(f"/vps/{self.vps_id}/commands", params={"limit": 1})).json()
        found: dict[str, Any] = page["items"][0]
        return found


def asleep() -> list[str]:
    """For how long those sleep, anywhere on this machine, that a test here started."""
    lines = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    return [line[1] for line in lines if line[:1] == ["sleep"] and line[1].startswith("8640")]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def host(
    tmp_path_factory: pytest.TempPathFactory, issued: Path, databases: Callable[[], str]
) -> AsyncIterator[Host]:
    folder = tmp_path_factory.mktemp("scripts")
    async with _world(folder, issued, databases) as world:
        gate = Gate(world.grpc_port)
        await gate.open()
        world.start("edge")
        world.start("gateway", agent_address=f"127.0.0.1:{gate.port}")
        await world.ready("edge", "gateway")
        user = await world.user("member")
        vps_id, agent = await programs.enrolled_agent(
            user,
            folder / "agent",
            policy=POLICY,
            authority=issued / "ca.pem",
            command_key=world.command_key,
        )
        try:
            yield Host(world, user, vps_id, agent, gate, folder)
        finally:
            agent.kill()
            await gate.shut()


async def test_a_script_is_run_by_the_shell(host: Host) -> None:
    answer = await host.run("echo out; echo err >&2; printf '%s' \"$0 $#\"; exit 7")
    result = answer.json()
    assert (answer.status_code, result["status"], result["exit_code"]) == (200, "finished", 7)
    assert result["stdout"].startswith("out\n")
    assert result["stderr"] == "err\n"
    assert result["truncated"] is False
    killed = (await host.run("kill -9 $$")).json()
    assert (killed["status"], killed["exit_code"]) == ("finished", -9)


async def test_a_long_script_is_no_argument_too_long(host: Host) -> None:
    script = f"#{'x' * 65_000}\necho there"
    assert (await host.run(script)).json()["stdout"] == "there\n"


async def test_when_its_time_is_over_all_that_it_started_is_gone(host: Host) -> None:
    started = time.monotonic()
    script = "echo begun; setsid sleep 86401 & sleep 86402 & (trap '' TERM HUP; sleep 86403); sleep 86404"
    result = (await host.run(script, timeout=1)).json()
    assert (result["status"], result["stdout"]) == ("timed_out", "begun\n")
    assert time.monotonic() - started < 15
    await until(lambda: not asleep())


async def test_a_cancelled_script_and_its_children_end_at_once(host: Host) -> None:
    running = asyncio.create_task(host.run("echo begun; sleep 86405 & sleep 86406"))
    await until(lambda: "86406" in asleep())
    command_id = (await host.newest())["id"]
    cancel = await host.user.delete(f"/vps/{host.vps_id}/commands/{command_id}")
    assert cancel.status_code == 204, cancel.text
    result = (await running).json()
    assert (result["status"], result["stdout"]) == ("cancelled", "begun\n")
    await until(lambda: not asleep())
    again = await host.user.delete(f"/vps/{host.vps_id}/commands/{command_id}")
    assert (again.status_code, again.json()["title"]) == (409, "Over")


async def test_more_output_than_is_kept_is_cut_and_the_script_goes_on(host: Host) -> None:
    result = (await host.run("yes 12345 | head -c 3000000; echo end >&2; exit 5")).json()
    assert (result["status"], result["exit_code"]) == ("finished", 5)
    assert result["truncated"] is True
    assert 500_000 < len(result["stdout"]) <= 1024 * 1024


async def test_a_script_outlives_its_gateway_and_its_output_is_whole(host: Host) -> None:
    proof = host.folder / "outlived"
    script = f"echo one; touch {proof}; sleep 8; echo two; echo ran >> {proof}; exit 6"
    running = asyncio.create_task(host.run(script))
    await until(proof.exists)
    await host.world.stop("gateway")
    await asyncio.gather(running, return_exceptions=True)
    host.world.start("gateway", agent_address=f"127.0.0.1:{host.gate.port}")
    await host.world.ready("gateway")

    async def ended() -> bool:
        return bool((await host.newest())["status"] != "running")

    await until(ended, seconds=30)
    newest = await host.newest()
    result = (await host.user.get(f"/vps/{host.vps_id}/commands/{newest['id']}")).json()
    assert (result["status"], result["exit_code"]) == ("finished", 6)
    assert (result["stdout"], result["truncated"]) == ("one\ntwo\n", False)
    assert proof.read_text() == "ran\n"


async def test_a_script_outlives_the_link_and_runs_once_and_its_output_is_whole(
    host: Host,
) -> None:
    ran = host.folder / "ran"
    script = f"echo once >> {ran}; for i in $(seq 40); do echo line $i; sleep 0.1; done; exit 6"
    running = asyncio.create_task(host.run(script))
    await until(ran.exists)
    await asyncio.sleep(0.5)
    await host.gate.shut()
    await asyncio.sleep(1)
    await host.gate.open()
    answer = await running
    result = answer.json()
    assert (answer.status_code, result["status"], result["exit_code"]) == (200, "finished", 6)
    assert result["stdout"] == "".join(f"line {number}\n" for number in range(1, 41))
    assert ran.read_text() == "once\n"


async def test_more_scripts_than_the_host_takes_at_once_are_told_to_come_back(host: Host) -> None:
    answers = await asyncio.gather(*(host.run("sleep 1") for _ in range(12)))
    statuses = sorted(answer.status_code for answer in answers)
    assert set(statuses) == {200, 429}
    assert all("Retry-After" in answer.headers for answer in answers if answer.is_error)
    assert (await host.run("true")).status_code == 200


async def test_a_host_whose_owner_allows_nothing_runs_nothing(host: Host) -> None:
    vps_id, agent = await programs.enrolled_agent(
        host.user,
        host.folder / "other",
        policy="shell = true\n",
        authority=host.world.certificates / "ca.pem",
        command_key=host.world.command_key,
    )
    try:
        answer = await host.user.post(
            f"/vps/{vps_id}/commands", json={"script": f"touch {host.folder}/forbidden"}
        )
    finally:
        agent.kill()
    assert (answer.status_code, answer.json()["title"]) == (403, "Not allowed there")
    assert "policy.toml" in answer.json()["detail"]
    assert not (host.folder / "forbidden").exists()
