"""Scripts on a real agent: their processes, output, duration and remains."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import pytest_asyncio

from tests.fixtures import programs, runs
from tests.fixtures.programs import Program
from tests.fixtures.waiting import until
from tests.fixtures.world import Gate, World, provisioned_world

POLICY = "commands = true\n"


@dataclass
class Host:
    world: World
    user: httpx.AsyncClient
    vps_id: str
    agent: Program
    gate: Gate
    """A relay between the agent and its edge."""
    folder: Path

    async def start(self, script: str, timeout: int = 30) -> dict[str, Any]:
        return await runs.start(self.user, self.vps_id, script=script, timeout_seconds=timeout)

    async def run(self, script: str, timeout: int = 30) -> dict[str, Any]:
        """Run a script to its end; return its result."""
        return await runs.result(self.user, await self.start(script, timeout))


def asleep() -> list[str]:
    """Return the arguments of all `sleep` processes that tests of this module started."""
    lines = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    return [line[1] for line in lines if line[:1] == ["sleep"] and line[1].startswith("8640")]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def host(
    tmp_path_factory: pytest.TempPathFactory, issued: Path, databases: Callable[[], str]
) -> AsyncIterator[Host]:
    folder = tmp_path_factory.mktemp("scripts")
    async with provisioned_world(folder, issued, databases) as world:
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
    result = await host.run("echo out; echo err >&2; printf '%s' \"$0 $#\"; exit 7")
    assert (result["status"], result["exit_code"]) == ("finished", 7)
    assert result["stdout"].startswith("out\n")
    assert result["stderr"] == "err\n"
    assert result["truncated"] is False
    killed = await host.run("kill -9 $$")
    assert (killed["status"], killed["exit_code"]) == ("finished", -9)


async def test_a_long_script_is_no_argument_too_long(host: Host) -> None:
    script = f"#{'x' * 65_000}\necho there"
    assert (await host.run(script))["stdout"] == "there\n"


async def test_when_its_time_is_over_all_that_it_started_is_gone(host: Host) -> None:
    script = "echo begun; setsid sleep 86401 & sleep 86402 & (trap '' TERM HUP; sleep 86403); sleep 86404"
    result = await host.run(script, timeout=1)
    assert (result["status"], result["stdout"]) == ("timed_out", "begun\n")
    await until(lambda: not asleep())


async def test_a_cancelled_script_and_its_children_end_at_once(host: Host) -> None:
    run = await host.start("echo begun; sleep 86405 & sleep 86406")
    await until(lambda: "86406" in asleep())
    cancel = await host.user.delete(f"/runs/{run['id']}")
    assert cancel.status_code == 202, cancel.text
    result = await runs.result(host.user, run)
    assert (result["status"], result["stdout"]) == ("cancelled", "begun\n")
    assert "cancelled by" in result["reason"].lower()
    await until(lambda: not asleep())


async def test_more_output_than_is_kept_is_cut_and_the_script_goes_on(host: Host) -> None:
    result = await host.run("yes 12345 | head -c 3000000; echo end >&2; exit 5")
    assert (result["status"], result["exit_code"]) == ("finished", 5)
    assert result["truncated"] is True
    assert 500_000 < len(result["stdout"]) <= 1024 * 1024


async def test_output_is_shown_while_the_script_runs(host: Host) -> None:
    go = host.folder / "go"
    run = await host.start(f"echo one; while [ ! -e {go} ]; do sleep 0.1; done; echo two")
    async with runs.follow(host.user, run) as following:
        before = await runs.until_line(following, data="one\n")
        go.touch()
        after = await runs.until_line(following, event="run")
    assert runs.printed(before + after) == "one\ntwo\n"


async def test_a_script_outlives_its_gateway_and_its_output_is_whole(host: Host) -> None:
    proof, go = host.folder / "outlived", host.folder / "outlive"
    script = f"echo one; touch {proof}; while [ ! -e {go} ]; do sleep 0.1; done; echo two; echo ran >> {proof}; exit 6"
    run = await host.start(script)
    await until(proof.exists)
    await host.world.stop("gateway")
    host.world.start("gateway", agent_address=f"127.0.0.1:{host.gate.port}")
    await host.world.ready("gateway")
    go.touch()

    result = await runs.result(host.user, run)
    assert (result["status"], result["exit_code"]) == ("finished", 6)
    assert (result["stdout"], result["truncated"]) == ("one\ntwo\n", False)
    assert proof.read_text() == "ran\n"
    assert runs.printed(await runs.lines(host.user, run)) == "one\ntwo\n"


async def test_a_script_outlives_the_link_and_runs_once_and_its_output_is_whole(
    host: Host,
) -> None:
    ran = host.folder / "ran"
    script = f"echo once >> {ran}; for i in $(seq 40); do echo line $i; sleep 0.1; done; exit 6"
    run = await host.start(script)
    async with runs.follow(host.user, run) as following:
        await runs.until_line(following, event="output")
        await host.gate.shut()
        await host.gate.open()
    result = await runs.result(host.user, run)
    assert (result["status"], result["exit_code"]) == ("finished", 6)
    assert result["stdout"] == "".join(f"line {number}\n" for number in range(1, 41))
    assert ran.read_text() == "once\n"


async def test_more_scripts_than_the_host_takes_at_once_are_refused(host: Host) -> None:
    go = host.folder / "many"
    wait = f"while [ ! -e {go} ]; do sleep 0.1; done"
    started = [await host.start(wait) for _ in range(12)]

    async def refused() -> bool:
        page = (await host.user.get("/runs", params={"status": "failed"})).json()
        return bool(page["total"] == 4)

    await until(refused)
    go.touch()
    results = [await runs.result(host.user, run) for run in started]
    assert {(result["status"], result["problem"]) for result in results} == {
        ("finished", None),
        ("failed", "/problems/agent-busy"),
    }
    assert (await host.run("true"))["status"] == "finished"


async def test_a_host_whose_owner_allows_nothing_runs_nothing(host: Host) -> None:
    vps_id, agent = await programs.enrolled_agent(
        host.user,
        host.folder / "other",
        policy="shell = true\n",
        authority=host.world.certificates / "ca.pem",
        command_key=host.world.command_key,
    )
    try:
        result = await runs.run_script(host.user, vps_id, f"touch {host.folder}/forbidden")
    finally:
        agent.kill()
    assert (result["status"], result["problem"]) == ("failed", "/problems/agent-forbidden")
    assert "policy.toml" in result["reason"]
    assert not (host.folder / "forbidden").exists()
