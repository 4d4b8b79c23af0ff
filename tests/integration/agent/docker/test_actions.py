from agent.docker.actions import DockerActions
from tests.fixtures.agent.docker_actions import failure_of, run_action
from tests.fixtures.docker_engine import IMAGE, Engine


def sleeper(running: Engine, *options: str) -> str:
    # A shell that ends on TERM. `sleep` as the first process would ignore it.
    script = "trap exit TERM; while :; do sleep 0.1; done"
    return running.docker("run", "--detach", *options, IMAGE, "/bin/sh", "-c", script)


async def test_each_action_answers_with_the_container_as_it_is_then(
    running: Engine, docker: DockerActions, changes: list[None]
) -> None:
    name = sleeper(running)
    steps = (
        ("PAUSE", "paused"),
        ("UNPAUSE", "running"),
        ("STOP", "exited"),
        ("START", "running"),
        ("RESTART", "running"),
        ("KILL", "exited"),
    )
    for number, (operation, state) in enumerate(steps, 1):
        answer = await run_action(docker, operation, name, grace_seconds=5)

        assert answer.last.container.info.state == state, operation
        assert answer.last.container.info.id == name
        assert len(changes) == number
    running.docker("rm", name)


async def test_what_is_so_already_may_be_asked_for_again(
    running: Engine, docker: DockerActions
) -> None:
    name = sleeper(running)

    assert (await run_action(docker, "START", name)).last.container.info.state == "running"

    running.docker("rm", "--force", name)


async def test_a_container_that_will_not_stop_is_killed_after_its_grace(
    running: Engine, docker: DockerActions
) -> None:
    name = running.docker("run", "--detach", IMAGE, "/bin/sleep", "1000")

    answer = await run_action(docker, "STOP", name, grace_seconds=1)

    assert answer.last.container.info.status.startswith("Exited (137)")
    assert (await failure_of(docker, "STOP", name, grace_seconds=301))[0] == "INVALID"
    running.docker("rm", name)


async def test_what_is_removed_when_it_stops_is_told_as_removed(
    running: Engine, docker: DockerActions
) -> None:
    name = sleeper(running, "--rm")
    running.docker("pause", name)

    assert (await failure_of(docker, "PAUSE", name))[0] == "CONFLICT"
    await run_action(docker, "UNPAUSE", name)
    answer = await run_action(docker, "STOP", name, grace_seconds=5)

    assert answer.last.container.info.state in ("removed", "exited", "removing")


async def test_a_running_container_is_removed_only_by_force(
    running: Engine, docker: DockerActions, changes: list[None]
) -> None:
    name = sleeper(running)

    kind, reason = await failure_of(docker, "REMOVE", name)
    assert kind == "CONFLICT"
    assert "You cannot remove a running container" in reason
    assert (await run_action(docker, "INSPECT", name)).last.container.info.state == "running"
    assert len(changes) == 1

    await run_action(docker, "REMOVE", name, force=True)
    assert (await failure_of(docker, "INSPECT", name))[0] == "NOT_FOUND"
    assert len(changes) == 2


async def test_volumes_outlive_their_container(running: Engine, docker: DockerActions) -> None:
    name = running.docker("create", "--volume", "/data", IMAGE, "/bin/sh")

    await run_action(docker, "REMOVE", name)

    volumes = running.docker("volume", "ls", "--quiet")
    assert volumes
    running.docker("volume", "rm", *volumes.split())


async def test_what_cannot_start_says_why(running: Engine, docker: DockerActions) -> None:
    name = running.docker("create", IMAGE, "/no/such/program")

    kind, reason = await failure_of(docker, "START", name)

    assert kind in ("CONFLICT", "INVALID", "NOT_FOUND")
    assert "/no/such/program" in reason
    running.docker("rm", name)


async def test_killing_what_does_not_run_is_a_conflict(
    running: Engine, docker: DockerActions
) -> None:
    name = running.docker("create", IMAGE, "/bin/sh")

    kind, reason = await failure_of(docker, "KILL", name)

    assert kind == "CONFLICT"
    assert "is not running" in reason
    running.docker("rm", name)


async def test_an_operation_this_agent_does_not_know_is_refused(docker: DockerActions) -> None:
    assert (await failure_of(docker, "UNSPECIFIED", "a" * 12))[0] == "INVALID"
