import dataclasses
import logging
import os
import pwd
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.config import FILE_LIMIT, Check, boolean, checked
from agent.errors import ConfigError
from flotilla.v1.agent_pb2 import Powers

log = logging.getLogger(__name__)

ROOT_LIMIT = 32
FILES = {
    "off": Powers.FILE_ACCESS_UNSPECIFIED,
    "read": Powers.FILE_ACCESS_READ,
    "write": Powers.FILE_ACCESS_WRITE,
}
DOCKER = {
    "off": Powers.DOCKER_ACCESS_UNSPECIFIED,
    "read": Powers.DOCKER_ACCESS_READ,
    "actions": Powers.DOCKER_ACCESS_ACTIONS,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """What the host's owner allows. Nothing that the server sends changes it."""

    shell: bool = False
    commands: bool = False
    files: Powers.FileAccess.ValueType = Powers.FILE_ACCESS_UNSPECIFIED
    file_roots: tuple[Path, ...] = ()
    docker: Powers.DockerAccess.ValueType = Powers.DOCKER_ACCESS_UNSPECIFIED

    def __bool__(self) -> bool:
        """Whether it allows anything at all."""
        return bool(self.shell or self.commands or self.files or self.docker)

    def powers(self, command_keys: Sequence[bytes]) -> Powers:
        return Powers(
            shell=self.shell,
            commands=self.commands,
            files=self.files,
            docker=self.docker,
            file_roots=[str(root) for root in self.file_roots],
            user=user(),
            command_keys=command_keys if self else (),
        )

    def words(self) -> dict[str, str]:
        """As a person reads it."""
        files = _word(FILES, self.files)
        if self.files:
            files += f" below {', '.join(str(root) for root in self.file_roots)}"
        return {
            "shell": "on" if self.shell else "off",
            "commands": "on" if self.commands else "off",
            "files": files,
            "docker": _word(DOCKER, self.docker),
        }


def user() -> str:
    """Whose rights all of this has."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def load(path: Path) -> Policy:
    """What the file allows, which is nothing where there is none.

    Raises:
        ConfigError: it is malformed, or somebody other than the host's owner may have written it.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            content = file.read(FILE_LIMIT + 1)
    except FileNotFoundError:
        return Policy()
    except OSError as error:
        raise ConfigError("file", error.strerror or "cannot be read", str(path)) from None
    if status.st_uid not in {0, os.geteuid()}:
        raise ConfigError("file", "must belong to root: chown root it", str(path))
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError("file", "others may write to it: chmod go-w it", str(path))
    if len(content) > FILE_LIMIT:
        raise ConfigError("file", f"is larger than {FILE_LIMIT} bytes", str(path))
    policy = Policy(**checked(content, str(path), CHECKS))
    # No root would be no file; all of them is what has to be said.
    if policy.files and not policy.file_roots:
        raise ConfigError("file_roots", 'must say which, such as ["/"] for all', str(path))
    return policy


def load_or_nothing(path: Path) -> Policy:
    """A policy that cannot be relied upon allows nothing; the agent reports nevertheless."""
    try:
        policy = load(path)
    except ConfigError as error:
        log.error("%s; all powers are off", error)  # noqa: TRY400  # no bug here
        return Policy()
    words = (f"{name} {allowed}" for name, allowed in policy.words().items())
    log.info("the server's powers here: %s", ", ".join(words))
    return policy


def _files(value: object) -> Powers.FileAccess.ValueType:
    if not isinstance(value, str) or value not in FILES:
        raise ValueError(f"must be one of {', '.join(FILES)}")
    return FILES[value]


def _docker(value: object) -> Powers.DockerAccess.ValueType:
    if not isinstance(value, str) or value not in DOCKER:
        raise ValueError(f"must be one of {', '.join(DOCKER)}")
    return DOCKER[value]


def _roots(value: object) -> tuple[Path, ...]:
    if not isinstance(value, list) or not all(isinstance(root, str) for root in value):
        raise ValueError("must be a list of folders")
    if len(value) > ROOT_LIMIT:
        raise ValueError(f"may name {ROOT_LIMIT} folders")
    for root in value:
        if not root.startswith("/") or "\0" in root or ".." in root.split("/"):
            raise ValueError(f"{root!r} must be an absolute path without ..")
    # Two slashes at the beginning are kept by POSIX, and mean nothing on Linux.
    return tuple(Path("/" + os.path.normpath(root).lstrip("/")) for root in value)


def _word(words: Mapping[str, int], value: int) -> str:
    return next(word for word, number in words.items() if number == value)


CHECKS: dict[str, Check] = {
    "shell": boolean,
    "commands": boolean,
    "files": _files,
    "file_roots": _roots,
    "docker": _docker,
}
