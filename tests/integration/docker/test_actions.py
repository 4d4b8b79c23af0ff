"""Actions on containers, through gateway and bus to a real Docker engine."""

import itertools
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.gateway.api.problem_types import ProblemType
from tests.fixtures.docker_engine import IMAGE, Engine
from tests.fixtures.docker_host import STAY, DockerHost, docker_host, entries, named
from tests.fixtures.problems import assert_problem
from tests.fixtures.waiting import until
from tests.fixtures.world import World


async def test_each_action_answers_with_the_container_and_leaves_an_entry(
    box: DockerHost, container: str
) -> None:
    steps = [
        *(("pause", "paused"), ("unpause", "running"), ("stop", "exited"), ("start", "running")),
        *(("restart", "running"), ("kill", "exited")),
    ]
    for action, state in steps:
        body = {"grace_seconds": 5} if action in {"stop", "restart"} else None
        answer = await box.owner.post(f"{box.path}/containers/{container}/{action}", json=body)
        assert (answer.status_code, answer.json()["state"]) == (200, state), action
        (entry, *_) = await entries(box, f"docker.{action}")
        assert (entry["allowed"], entry["detail"], entry["reason"]) == (True, container, "")


async def test_after_an_action_telemetry_looks_at_once(box: DockerHost, container: str) -> None:
    async def has_looked_early() -> bool:
        for action in ("pause", "unpause"):
            await box.owner.post(f"{box.path}/containers/{container}/{action}")
        rows = await box.world.sql(
            "SELECT time FROM docker_metrics WHERE container_db_id ="
            " (SELECT id FROM docker_containers WHERE container_id = %(id)s) ORDER BY time",
            id=container,
        )
        # Without an action, a report follows ten seconds after the start of the previous one.
        gaps = [later - sooner for (sooner,), (later,) in itertools.pairwise(rows)]
        return any(gap < timedelta(seconds=9) for gap in gaps)

    await until(has_looked_early, interval=0.5)


async def test_a_body_need_not_be_and_may_not_be_anything(box: DockerHost, container: str) -> None:
    url = f"{box.path}/containers/{container}/stop"
    bodies: list[Any] = [{"grace_seconds": 301}, {"grace_seconds": -1}, {"signal": "SIGUSR1"}, []]
    for body in bodies:
        assert (await box.owner.post(url, json=body)).status_code == 422
    assert (await box.get(f"/containers/{container}"))["state"] == "running"

    assert (await box.owner.post(url)).json()["state"] == "exited"


async def test_only_force_removes_what_runs(box: DockerHost, container: str) -> None:
    url = f"{box.path}/containers/{container}"

    detail = assert_problem(await box.owner.delete(url), 409, ProblemType.AGENT_CONFLICT)["detail"]
    assert "You cannot remove a running container" in detail
    assert (await box.get(f"/containers/{container}"))["state"] == "running"
    (entry, *_) = await entries(box, "docker.remove")
    assert entry["reason"] == detail

    answer = await box.owner.delete(url, params={"force": True})
    assert (answer.status_code, answer.text) == (204, "")
    assert_problem(await box.owner.get(url), 404, ProblemType.AGENT_NOT_FOUND)
    assert_problem(await box.owner.post(f"{url}/start"), 404, ProblemType.AGENT_NOT_FOUND)


@pytest.mark.parametrize(
    "cid",
    [
        *("..%2f..%2fimages%2fjson", "x%3fforce=1", "-", "web", "a" * 11, "a" * 65, "A" * 12),
        *("a" * 12 + "%0a", "%00" + "a" * 12, "a" * 12 + "%2fstart"),
    ],
)
async def test_an_id_that_is_none_goes_nowhere(box: DockerHost, cid: str) -> None:
    heard: list[str] = []

    async def hear(message: Any) -> None:
        heard.append(message.subject)

    url = f"{box.path}/containers/{cid}"
    async with box.world.nats.client("edge") as edge:
        await edge.subscribe(f"flotilla.agent.{box.vps_id}.>", cb=hear)
        await edge.flush()
        answers = [
            await box.owner.get(url),
            await box.owner.delete(url),
            await box.owner.get(f"{url}/logs"),
            await box.owner.get(f"{url}/stats"),
            await box.owner.post(f"{url}/start"),
            await box.owner.delete(f"{box.path}/images/{cid}"),
        ]
        await edge.flush()
    assert {answer.status_code for answer in answers} <= {404, 405, 422}
    assert [subject for subject in heard if subject.endswith((".command", ".pty"))] == []


async def test_an_action_that_is_none_is_refused(box: DockerHost, container: str) -> None:
    for action in ("exec", "commit", "update", "archive", "START"):
        answer = await box.owner.post(f"{box.path}/containers/{container}/{action}")
        assert answer.status_code in {404, 405, 422}


async def test_a_policy_of_reading_refuses_actions_and_exec(
    world: World, docker_engine: Engine, tmp_path: Path
) -> None:
    async with docker_host(world, docker_engine, tmp_path / "reads", 'docker = "read"\n') as box:
        name = await box.run("run", "--detach", IMAGE, "/bin/sh", "-c", STAY)
        assert named(await box.get("/containers"), named_of(box, name))["id"] == name
        url = f"{box.path}/containers/{name}"
        for answer in (
            await box.owner.post(f"{url}/stop"),
            await box.owner.delete(url, params={"force": True}),
            await box.owner.post(f"{box.path}/images/pull", json={"reference": "a:1"}),
            await box.owner.post(f"{box.path}/images/prune"),
        ):
            problem = assert_problem(answer, 403, ProblemType.AGENT_FORBIDDEN)
            assert "but not changing it" in problem["detail"]
        (entry, *_) = await entries(box, "docker.stop")
        assert entry["allowed"] is False
        async with box.following(name, tail=1):
            pass
        assert (await box.get(f"/containers/{name}"))["state"] == "running"
        await box.run("rm", "--force", name)


def named_of(box: DockerHost, container: str) -> str:
    return box.engine.docker("inspect", "--format", "{{.Name}}", container).lstrip("/")
