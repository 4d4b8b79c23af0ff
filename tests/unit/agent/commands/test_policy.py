import os
from pathlib import Path

import pytest

from agent.base.errors import ConfigError
from agent.commands.policy import Policy, load, load_or_deny_all
from flotilla.v1.agent_pb2 import Powers


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "policy.toml"


def write(file: Path, text: str, mode: int = 0o644) -> Path:
    file.write_text(text)
    file.chmod(mode)
    return file


def test_every_key_is_read(file: Path) -> None:
    text = """
        shell = true
        commands = true
        files = "write"
        file_roots = ["/srv/", "//var/log/./app"]
        docker = "actions"
    """

    assert load(write(file, text)) == Policy(
        shell=True,
        commands=True,
        files=Powers.FILE_ACCESS_WRITE,
        file_roots=(Path("/srv"), Path("/var/log/app")),
        docker=Powers.DOCKER_ACCESS_ACTIONS,
    )


def test_without_a_file_and_with_an_empty_one_nothing_is_allowed(file: Path) -> None:
    assert load(file) == Policy()
    assert load(write(file, "")) == Policy()
    assert not Policy()


@pytest.mark.parametrize(
    "text",
    [
        "shell = true",
        "commands = true",
        'files = "read"\nfile_roots = ["/"]',
        'docker = "read"',
    ],
)
def test_permissions_that_are_not_named_stay_off(file: Path, text: str) -> None:
    policy = load(write(file, text))

    assert policy
    assert sum(map(bool, (policy.shell, policy.commands, policy.files, policy.docker))) == 1


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('shell = "yes"', "shell"),
        ("commands = 1", "commands"),
        ("files = true", "files"),
        ('files = "all"\nfile_roots = ["/"]', "files"),
        ('files = "read"', "file_roots"),
        ('files = "read"\nfile_roots = []', "file_roots"),
        ('file_roots = "/"', "file_roots"),
        ('file_roots = ["srv"]', "file_roots"),
        ('file_roots = ["/srv/../etc"]', "file_roots"),
        ("file_roots = [1]", "file_roots"),
        (f"file_roots = {['/x'] * 33}", "file_roots"),
        ('docker = "socket"', "docker"),
        ("Shell = true", "Shell"),
        ("terminal = true", "terminal"),
        ("shell", "file"),
        (f"# {'x' * 70_000}", "file"),
    ],
)
def test_a_bad_value_is_reported_with_its_key_and_allows_nothing(
    file: Path, caplog: pytest.LogCaptureFixture, text: str, key: str
) -> None:
    write(file, text)

    with pytest.raises(ConfigError, match=f"{file}: {key} "):
        load(file)
    assert load_or_deny_all(file) == Policy()
    assert "nothing is allowed until this is fixed" in caplog.text


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_a_file_that_others_can_write_allows_nothing(
    file: Path, caplog: pytest.LogCaptureFixture, mode: int
) -> None:
    write(file, "shell = true", mode)

    with pytest.raises(ConfigError, match="chmod go-w"):
        load(file)
    assert load_or_deny_all(file) == Policy()
    assert "nothing is allowed until this is fixed" in caplog.text


@pytest.mark.skipif(os.geteuid() != 0, reason="a file of somebody else's needs root")
def test_a_file_of_another_user_allows_nothing(file: Path) -> None:
    os.chown(write(file, "shell = true"), 12345, 0)

    with pytest.raises(ConfigError, match="must belong to root"):
        load(file)
    assert load_or_deny_all(file) == Policy()
