import asyncio
from pathlib import Path

import pytest

from agent.execute.containers import Containers
from agent.execute.containers.details import unix_ms
from agent.execute.failure import CommandFailedError
from agent.execute.policy import Policy
from flotilla.v1.agent_pb2 import Powers
from flotilla.v1.docker_pb2 import DockerContainerInfo
from tests.fixtures.engine import IMAGE, Engine
from tests.unit.agent.containers.answers import asked, kind_of, refused
from tests.unit.agent.containers.conftest import Manage

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
    # Cut where it is shown, after it was looked at.
    "LONG": f"http://{'u' * 5_000}:{CANARY}@host/",
    "PEM": f"-----BEGIN RSA PRIVATE KEY----- {CANARY}",
}


def named(infos: list[DockerContainerInfo], name: str) -> DockerContainerInfo:
    return next(info for info in infos if name in info.names)


async def test_a_list_has_facts_figures_and_compose_projects(
    running: Engine, containers: Containers
) -> None:
    running.docker(
        *("run", "--detach", "--name", "shop-web-1", "--memory", "32m"),
        *("--label", "com.docker.compose.project=shop"),
        *("--label", "com.docker.compose.service=web"),
        *(arg for n in range(50) for arg in ("--label", f"a{n}={n}")),
        *(IMAGE, "/bin/sh", "-c", "while :; do :; done"),
    )
    running.docker("create", "--name", "idle", IMAGE, "/bin/sh")

    first = (await asked(containers, "LIST")).last.containers
    await asyncio.sleep(0.3)
    second = (await asked(containers, "LIST")).last.containers

    web = named(list(second.containers), "shop-web-1")
    assert web.labels["com.docker.compose.project"] == "shop"
    assert web.labels["com.docker.compose.service"] == "web"
    assert web.state == "running"
    assert web.memory_limit_bytes == 32 * 1024 * 1024
    # A rate needs two readings.
    assert not named(list(first.containers), "shop-web-1").HasField("cpu_usage_percent")
    assert web.cpu_usage_percent > 5
    assert named(list(second.containers), "idle").state == "created"
    assert not second.truncated
    running.docker("rm", "--force", "shop-web-1", "idle")


async def test_details_of_a_container(
    running: Engine, containers: Containers, tmp_path: Path
) -> None:
    name = running.docker(
        *("run", "--detach", "--name", "told", "--user", "0:0", "--workdir", "/srv"),
        *(
            "--restart",
            "on-failure:3",
            "--memory",
            "48m",
            "--cpus",
            "0.5",
            "--env",
            "TZ=Europe/Vienna",
        ),
        *("--health-cmd", "true", "--volume", f"{tmp_path}:/data:ro"),
        *(IMAGE, "/bin/sleep", "1000"),
    )

    told = (await asked(containers, "INSPECT", name[:12])).last.container

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


async def test_details_fit_into_an_answer(running: Engine, containers: Containers) -> None:
    many = [word for n in range(200) for word in ("--env", f"V{n}={'v' * 4_000}")]
    name = running.docker("create", *many, IMAGE, "/bin/sh", "ä" * 4_000)

    told = (await asked(containers, "INSPECT", name)).last.container

    assert told.ByteSize() < 256 * 1024
    assert len(told.environment) >= 200
    running.docker("rm", name)


async def test_no_secret_of_a_container_is_in_the_answer(
    running: Engine, containers: Containers
) -> None:
    variables = [word for pair in SECRETS.items() for word in ("--env", "=".join(pair))]
    name = running.docker(
        *("create", *variables, "--env", "LANG=C.UTF-8", IMAGE, "/bin/sh", "-c"),
        *(f"PASSWORD={CANARY} /bin/app --dsn 'x:{CANARY}'", f"--api-token={CANARY}"),
        *("--admin-password", CANARY, f"mysql://root:{CANARY}@db/x", "plain"),
    )

    told = (await asked(containers, "INSPECT", name)).last.container
    listed = (await asked(containers, "LIST")).last

    assert CANARY.encode() not in told.SerializeToString()
    assert CANARY.encode() not in listed.SerializeToString()
    shown = {variable.name: variable for variable in told.environment}
    assert shown.keys() >= SECRETS.keys()
    assert all(shown[name].masked and not shown[name].value for name in SECRETS)
    assert (shown["LANG"].value, shown["LANG"].masked) == ("C.UTF-8", False)
    assert told.command[-1] == "plain"
    assert told.command[3] == "--api-token=***"
    running.docker("rm", name)


@pytest.mark.parametrize(
    "target",
    [
        *("../../images/json", "x?force=1", "-", "", "a" * 65, "a" * 11, "A" * 64, "web"),
        *(
            "a" * 12 + "/json",
            "a" * 12 + "\n",
            "a" * 12 + "%2f",
            "\uff41" * 12,
            "a" * 12 + "?all=1",
        ),
    ],
)
@pytest.mark.parametrize("operation", ["INSPECT", "LOGS", "START", "REMOVE"])
async def test_what_is_no_id_reaches_no_engine(tmp_path: Path, target: str, operation: str) -> None:
    def untouched() -> Path:
        raise AssertionError("the engine was asked")

    policy = Policy(docker=Powers.DOCKER_ACCESS_ACTIONS, shell=True)
    containers = Containers(policy, untouched, lambda: None)

    assert (await refused(containers, operation, target))[0] == "INVALID"
    for opening in (containers.open_shell(target, 80, 24), containers.follow_logs(target, 1, 0)):
        with pytest.raises(CommandFailedError) as failed:
            await opening
        assert kind_of(failed.value) == "INVALID"


async def test_a_container_that_is_not_there_is_not_found(containers: Containers) -> None:
    kind, reason = await refused(containers, "INSPECT", "0" * 64)

    assert kind == "NOT_FOUND"
    assert "No such container" in reason


async def test_without_an_engine_the_answer_says_so(tmp_path: Path) -> None:
    policy = Policy(docker=Powers.DOCKER_ACCESS_READ)
    containers = Containers(policy, lambda: tmp_path / "none.sock", lambda: None)

    kind, reason = await refused(containers, "LIST")

    assert kind == "UNAVAILABLE"
    assert f"there is no {tmp_path / 'none.sock'}" in reason


async def test_an_engine_that_stopped_is_unavailable_and_found_again(
    running: Engine, containers: Containers
) -> None:
    await asked(containers, "LIST")
    await asyncio.to_thread(running.stop)

    assert (await refused(containers, "LIST"))[0] == "UNAVAILABLE"

    await asyncio.to_thread(running.start)
    assert (await asked(containers, "LIST")).last.HasField("containers")


async def test_a_policy_off_allows_nothing_and_one_of_reading_no_action(
    manage: Manage, changes: list[None]
) -> None:
    off, reading = manage(Policy()), manage(Policy(docker=Powers.DOCKER_ACCESS_READ, shell=True))

    for operation in ("LIST", "INSPECT", "LOGS", "IMAGES", "START", "PULL"):
        assert (await refused(off, operation, "a" * 12))[0] == "FORBIDDEN"
    assert (await asked(reading, "LIST")).last.HasField("containers")
    for operation in ("START", "STOP", "RESTART", "PAUSE", "UNPAUSE", "KILL", "REMOVE"):
        assert (await refused(reading, operation, "a" * 12))[0] == "FORBIDDEN"
    for operation in ("PULL", "REMOVE_IMAGE", "PRUNE_IMAGES"):
        assert (await refused(reading, operation, "busybox"))[0] == "FORBIDDEN"
    for containers in (off, reading, manage(Policy(docker=Powers.DOCKER_ACCESS_ACTIONS))):
        with pytest.raises(CommandFailedError) as failed:
            await containers.open_shell("a" * 12, 80, 24)
        assert kind_of(failed.value) == "FORBIDDEN"
    assert not changes


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("2026-11-22T23:19:30.417825313Z", 1_795_389_570_418),
        ("2026-11-22T23:19:30Z", 1_795_389_570_000),
        ("2026-11-23T00:19:30.5+01:00", 1_795_389_570_500),
        ("0001-01-01T00:00:00Z", 0),
        ("", 0),
        (None, 0),
        ("yesterday", 0),
    ],
)
def test_times_of_the_engine(told: str | None, expected: int) -> None:
    assert unix_ms(told) == expected
