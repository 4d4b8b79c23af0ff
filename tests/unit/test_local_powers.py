"""What `make up POWERS=…` makes of its words."""

from pathlib import Path

import pytest

from agent.execute import policy
from agent.execute.policy import Policy
from deploy.local import powers
from deploy.local.settings import Settings
from deploy.local.waiting import StackError
from flotilla.v1.agent_pb2 import Powers


def written(tmp_path: Path, words: str) -> Policy:
    settings = Settings(tmp_path, {}, own_database=True)
    powers.write(settings, powers.chosen(words))
    return policy.load(settings.policy)


@pytest.mark.parametrize("words", ["shell files docker commands", "commands,docker, files shell"])
def test_all_words_are_all_powers(tmp_path: Path, words: str) -> None:
    assert written(tmp_path, words) == Policy(
        shell=True,
        commands=True,
        files=Powers.FILE_ACCESS_WRITE,
        file_roots=(Path("/"),),
        docker=Powers.DOCKER_ACCESS_ACTIONS,
    )


def test_what_is_not_said_is_off(tmp_path: Path) -> None:
    assert written(tmp_path, "commands") == Policy(commands=True)


@pytest.mark.parametrize("words", ["none", ""])
def test_none_turns_all_of_them_off(tmp_path: Path, words: str) -> None:
    written(tmp_path, "shell commands")

    assert written(tmp_path, words) == Policy()


@pytest.mark.parametrize("words", ["sudo", "shell sudo", "none shell", "Shell"])
def test_a_word_that_is_no_power_is_refused(words: str) -> None:
    with pytest.raises(StackError, match="is no power"):
        powers.chosen(words)
