"""The policy that `make up POWERS=…` writes."""

from pathlib import Path

import pytest

from agent.commands import policy
from agent.commands.policy import Policy
from deploy.local import policy as local_policy
from deploy.local.settings import Settings
from deploy.local.waiting import StackError
from flotilla.v1.agent_pb2 import Powers


def written(tmp_path: Path, words: str) -> Policy:
    settings = Settings(tmp_path, {}, own_database=True)
    local_policy.write(settings, local_policy.parse(words))
    return policy.load(settings.policy)


@pytest.mark.parametrize("words", ["shell files docker commands", "commands,docker, files shell"])
def test_all_words_give_all_permissions(tmp_path: Path, words: str) -> None:
    assert written(tmp_path, words) == Policy(
        shell=True,
        commands=True,
        files=Powers.FILE_ACCESS_WRITE,
        file_roots=(Path("/"),),
        docker=Powers.DOCKER_ACCESS_ACTIONS,
    )


def test_a_permission_that_is_not_named_is_off(tmp_path: Path) -> None:
    assert written(tmp_path, "commands") == Policy(commands=True)


@pytest.mark.parametrize("words", ["none", ""])
def test_none_turns_all_of_them_off(tmp_path: Path, words: str) -> None:
    written(tmp_path, "shell commands")

    assert written(tmp_path, words) == Policy()


@pytest.mark.parametrize("words", ["sudo", "shell sudo", "none shell", "Shell"])
def test_an_unknown_word_is_refused(words: str) -> None:
    with pytest.raises(StackError, match="is not known"):
        local_policy.parse(words)
