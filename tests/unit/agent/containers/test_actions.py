from agent.execute.containers import Containers
from tests.fixtures.engine import IMAGE, Engine
from tests.unit.agent.containers.answers import asked, refused


def sleeper(running: Engine, *options: str) -> str:
    # A shell that ends when told to, unlike `sleep` as the first process.
    script = "trap exit TERM; while :; do sleep 0.1; done"
    return running.docker("run", "--detach", *options, IMAGE, "/bin/sh", "-c", script)


async def test_each_action_answers_with_the_container_as_it_is_then(
    running: Engine, containers: Containers, changes: list[None]
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
        answer = await asked(containers, operation, name, grace_seconds=5)

        assert answer.last.container.info.state == state, operation
        assert answer.last.container.info.id == name
        assert len(changes) == number
    running.docker("rm", name)


async def test_what_is_so_already_may_be_asked_for_again(
    running: Engine, containers: Containers
) -> None:
    name = sleeper(running)

    assert (await asked(containers, "START", name)).last.container.info.state == "running"

    running.docker("rm", "--force", name)


async def test_a_container_that_will_not_stop_is_killed_after_its_grace(
    running: Engine, containers: Containers
) -> None:
    name = running.docker("run", "--detach", IMAGE, "/bin/sleep", "1000")

    answer = await asked(containers, "STOP", name, grace_seconds=1)

    assert answer.last.container.info.status.startswith("Exited (137)")
    assert (await refused(containers, "STOP", name, grace_seconds=301))[0] == "INVALID"
    running.docker("rm", name)


async def test_what_is_removed_when_it_stops_is_told_as_removed(
    running: Engine, containers: Containers
) -> None:
    name = sleeper(running, "--rm")
    running.docker("pause", name)

    assert (await refused(containers, "PAUSE", name))[0] == "CONFLICT"
    await asked(containers, "UNPAUSE", name)
    answer = await asked(containers, "STOP", name, grace_seconds=5)

    assert answer.last.container.info.state in ("removed", "exited", "removing")


async def test_a_running_container_is_removed_only_by_force(
    running: Engine, containers: Containers, changes: list[None]
) -> None:
    name = sleeper(running)

    kind, reason = await refused(containers, "REMOVE", name)
    assert kind == "CONFLICT"
    assert "You cannot remove a running container" in reason
    assert (await asked(containers, "INSPECT", name)).last.container.info.state == "running"
    assert len(changes) == 1

    await asked(containers, "REMOVE", name, force=True)
    assert (await refused(containers, "INSPECT", name))[0] == "NOT_FOUND"
    assert len(changes) == 2


async def test_volumes_outlive_their_container(running: Engine, containers: Containers) -> None:
    name = running.docker("create", "--volume", "/data", IMAGE, "/bin/sh")

    await asked(containers, "REMOVE", name)

    volumes = running.docker("volume", "ls", "--quiet")
    assert volumes
    running.docker("volume", "rm", *volumes.split())


async def test_what_cannot_start_says_why(running: Engine, containers: Containers) -> None:
    name = running.docker("create", IMAGE, "/no/such/program")

    kind, reason = await refused(containers, "START", name)

    assert kind in ("CONFLICT", "INVALID", "NOT_FOUND")
    assert "/no/such/program" in reason
    running.docker("rm", name)


async def test_killing_what_does_not_run_is_a_conflict(
    running: Engine, containers: Containers
) -> None:
    name = running.docker("create", IMAGE, "/bin/sh")

    kind, reason = await refused(containers, "KILL", name)

    assert kind == "CONFLICT"
    assert "is not running" in reason
    running.docker("rm", name)


async def test_an_operation_this_agent_does_not_know_is_refused(containers: Containers) -> None:
    assert (await refused(containers, "UNSPECIFIED", "a" * 12))[0] == "INVALID"
