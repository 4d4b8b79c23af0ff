from pathlib import Path

import pytest

from agent.commands.errors import CommandFailedError
from agent.commands.policy import Policy
from agent.docker.actions import DockerActions
from flotilla.v1.agent_pb2 import Powers
from tests.fixtures.agent.docker_actions import ALL_ACTIONS, failure_of, kind_of

BAD_REFERENCES = (
    "../../containers/json",
    "x?force=1",
    "-",
    "",
    "UPPER",
    "a..b",
    "a/../b",
    "a b",
    "a\n",
    "a#b",
    "a%2fb",
    "/a",
    "a/",
    "a:",
    "a@sha256:short",
    "a" * 257,
    "http://host/a",
    "ä",
)


@pytest.mark.parametrize(
    "target",
    [
        "../../images/json",
        "x?force=1",
        "-",
        "",
        "a" * 65,
        "a" * 11,
        "A" * 64,
        "web",
        "a" * 12 + "/json",
        "a" * 12 + "\n",
        "a" * 12 + "%2f",
        "\uff41" * 12,
        "a" * 12 + "?all=1",
    ],
)
@pytest.mark.parametrize("operation", ["INSPECT", "LOGS", "START", "REMOVE"])
async def test_a_malformed_container_id_does_not_reach_the_engine(
    tmp_path: Path, target: str, operation: str
) -> None:
    def untouched() -> Path:
        raise AssertionError("the engine was called")

    policy = Policy(docker=Powers.DOCKER_ACCESS_ACTIONS, shell=True)
    docker = DockerActions(policy, socket=untouched, changed=lambda: None)

    assert (await failure_of(docker, operation, target))[0] == "INVALID"
    for opening in (docker.open_shell(target, 80, 24), docker.follow_logs(target, 1, 0)):
        with pytest.raises(CommandFailedError) as failed:
            await opening
        assert kind_of(failed.value) == "INVALID"


async def test_a_missing_socket_is_reported(tmp_path: Path) -> None:
    policy = Policy(docker=Powers.DOCKER_ACCESS_READ)
    docker = DockerActions(policy, socket=lambda: tmp_path / "none.sock", changed=lambda: None)

    kind, reason = await failure_of(docker, "LIST")

    assert kind == "UNAVAILABLE"
    assert f"there is no socket {tmp_path / 'none.sock'}" in reason


@pytest.mark.parametrize("reference", BAD_REFERENCES)
@pytest.mark.parametrize("operation", ["PULL", "REMOVE_IMAGE"])
async def test_a_malformed_image_reference_does_not_reach_the_engine(
    operation: str, reference: str
) -> None:
    def untouched() -> None:
        raise AssertionError("the engine was called")

    docker = DockerActions(ALL_ACTIONS, socket=untouched, changed=lambda: None)  # type: ignore[arg-type]

    assert (await failure_of(docker, operation, reference))[0] == "INVALID"
