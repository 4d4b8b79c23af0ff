import asyncio
from pathlib import Path

import pytest

from agent.commands.errors import CommandFailedError
from agent.commands.policy import Policy
from agent.docker.actions import DockerActions
from flotilla.v1.agent_pb2 import Powers
from flotilla.v1.docker_pb2 import DockerContainerInfo
from tests.fixtures.agent.docker_actions import Manage, failure_of, kind_of, run_action
from tests.fixtures.docker_engine import IMAGE, Engine

CANARY = "canary-7f3a9e"
SECRETS = {
    "DB_PASSWORD": CANARY,
    "API_TOKEN": CANARY,
    "AWS_ACCESS_KEY_ID": CANARY,
    "AUTHORIZATION": CANARY,
    "SESSION_SALT": CANARY,
    "DATABASE_URL": f"postgres://app:{CANARY}@db.example/app",
    "REDIS": f"redis://:{CANARY}@cache/0",
    "CONNECTION": f"Server=db;Pwd={CANARY};Database=app",
    "JAVA_OPTS": f"-Xmx1g -Dkeystore.password={CANARY}",
    # The text is cut after it is redacted.
    "LONG": f"http://{'u' * 5_000}:{CANARY}@host/",
    "PEM": f"-----BEGIN RSA PRIVATE KEY----- {CANARY}",
}


def named(infos: list[DockerContainerInfo], name: str) -> DockerContainerInfo:
    return next(info for info in infos if name in info.names)


async def test_a_list_has_facts_usage_and_compose_projects(
    running: Engine, docker: DockerActions
) -> None:
    labels = [f"--label=a{n}={n}" for n in range(50)]
    labels.append("--label=com.docker.compose.project=shop")
    labels.append("--label=com.docker.compose.service=web")
    options = ["--detach", "--name=shop-web-1", "--memory=32m", *labels]
    running.docker("run", *options, IMAGE, "/bin/sh", "-c", "while :; do :; done")
    running.docker("create", "--name", "idle", IMAGE, "/bin/sh")

    first = (await run_action(docker, "LIST")).last.containers
    await asyncio.sleep(0.3)  # an interval for the rates
    second = (await run_action(docker, "LIST")).last.containers

    web = named(list(second.containers), "shop-web-1")
    assert web.labels["com.docker.compose.project"] == "shop"
    assert web.labels["com.docker.compose.service"] == "web"
    assert web.state == "running"
    assert web.memory_limit_bytes == 32 * 1024 * 1024
    # A rate needs two readings.
    assert not named(list(first.containers), "shop-web-1").HasField("cpu_usage_percent")
    assert web.cpu_usage_percent > 0
    assert named(list(second.containers), "idle").state == "created"
    assert not second.truncated
    running.docker("rm", "--force", "shop-web-1", "idle")


async def test_details_of_a_container(
    running: Engine, docker: DockerActions, tmp_path: Path
) -> None:
    options = (
        "--detach --name=told --user=0:0 --workdir=/srv --restart=on-failure:3 --memory=48m"
        f" --cpus=0.5 --env=TZ=Europe/Vienna --health-cmd=true --volume={tmp_path}:/data:ro"
    )
    name = running.docker("run", *options.split(), IMAGE, "/bin/sleep", "1000")

    told = (await run_action(docker, "INSPECT", name[:12])).last.container

    assert (told.info.id, list(told.info.names), told.info.state) == (name, ["told"], "running")
    assert list(told.command) == ["/bin/sleep", "1000"]
    assert (told.user, told.working_directory) == ("0:0", "/srv")
    assert told.restart_policy == "on-failure:3"
    assert (told.memory_limit_bytes, told.cpu_limit) == (48 * 1024 * 1024, 0.5)
    variables = {variable.name: variable for variable in told.environment}
    assert (variables["TZ"].value, variables["TZ"].masked) == ("Europe/Vienna", False)
    assert told.health in ("starting", "healthy", "unhealthy")
    assert abs(told.started_at_unix_ms - told.info.created_at_unix_ms) < 30_000
    assert told.finished_at_unix_ms == 0
    (network,) = told.networks
    assert network.name == "bridge"
    assert network.ip_address.count(".") == 3
    assert not told.privileged
    assert told.image_id.startswith("sha256:")
    assert told.info.mounts[0].destination == "/data"
    running.docker("rm", "--force", "told")


async def test_details_fit_into_a_response(running: Engine, docker: DockerActions) -> None:
    many = [word for n in range(200) for word in ("--env", f"V{n}={'v' * 4_000}")]
    name = running.docker("create", *many, IMAGE, "/bin/sh", "ä" * 4_000)

    told = (await run_action(docker, "INSPECT", name)).last.container

    assert told.ByteSize() < 256 * 1024
    assert len(told.environment) >= 200
    running.docker("rm", name)


async def test_no_secret_of_a_container_is_in_the_response(
    running: Engine, docker: DockerActions
) -> None:
    variables = [word for pair in SECRETS.items() for word in ("--env", "=".join(pair))]
    command = [
        "/bin/sh",
        "-c",
        f"PASSWORD={CANARY} /bin/app --dsn 'x:{CANARY}'",
        f"--api-token={CANARY}",
        "--admin-password",
        CANARY,
        f"mysql://root:{CANARY}@db/x",
        "plain",
    ]
    name = running.docker("create", *variables, "--env", "LANG=C.UTF-8", IMAGE, *command)

    told = (await run_action(docker, "INSPECT", name)).last.container
    listed = (await run_action(docker, "LIST")).last

    assert CANARY.encode() not in told.SerializeToString()
    assert CANARY.encode() not in listed.SerializeToString()
    shown = {variable.name: variable for variable in told.environment}
    assert shown.keys() >= SECRETS.keys()
    assert all(shown[name].masked and not shown[name].value for name in SECRETS)
    assert (shown["LANG"].value, shown["LANG"].masked) == ("C.UTF-8", False)
    assert told.command[-1] == "plain"
    assert told.command[3] == "--api-token=***"
    running.docker("rm", name)


async def test_a_container_that_is_not_there_is_not_found(docker: DockerActions) -> None:
    kind, reason = await failure_of(docker, "INSPECT", "0" * 64)

    assert kind == "NOT_FOUND"
    assert "No such container" in reason


async def test_an_engine_that_stopped_is_unavailable_and_found_again(
    running: Engine, docker: DockerActions
) -> None:
    await run_action(docker, "LIST")
    await asyncio.to_thread(running.stop)

    assert (await failure_of(docker, "LIST"))[0] == "UNAVAILABLE"

    await asyncio.to_thread(running.start)
    assert (await run_action(docker, "LIST")).last.HasField("containers")


async def test_a_policy_off_allows_nothing_and_one_of_reading_no_action(
    manage: Manage, changes: list[None]
) -> None:
    off, reading = manage(Policy()), manage(Policy(docker=Powers.DOCKER_ACCESS_READ, shell=True))

    for operation in ("LIST", "INSPECT", "LOGS", "IMAGES", "START", "PULL"):
        assert (await failure_of(off, operation, "a" * 12))[0] == "FORBIDDEN"
    assert (await run_action(reading, "LIST")).last.HasField("containers")
    for operation in ("START", "STOP", "RESTART", "PAUSE", "UNPAUSE", "KILL", "REMOVE"):
        assert (await failure_of(reading, operation, "a" * 12))[0] == "FORBIDDEN"
    for operation in ("PULL", "REMOVE_IMAGE", "PRUNE_IMAGES"):
        assert (await failure_of(reading, operation, "busybox"))[0] == "FORBIDDEN"
    for docker in (off, reading, manage(Policy(docker=Powers.DOCKER_ACCESS_ACTIONS))):
        with pytest.raises(CommandFailedError) as failed:
            await docker.open_shell("a" * 12, 80, 24)
        assert kind_of(failed.value) == "FORBIDDEN"
    assert not changes
