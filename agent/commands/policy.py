import dataclasses
import logging
import os
import pwd
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.base.config import FILE_LIMIT, Check, parse_boolean, parse_table
from agent.base.errors import ConfigError
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
    """Permissions that the host's owner gives the server. The server cannot change them."""

    shell: bool = False
    commands: bool = False
    files: Powers.FileAccess.ValueType = Powers.FILE_ACCESS_UNSPECIFIED
    file_roots: tuple[Path, ...] = ()
    docker: Powers.DockerAccess.ValueType = Powers.DOCKER_ACCESS_UNSPECIFIED

    def __bool__(self) -> bool:
        """Return False if nothing is allowed."""
        return bool(self.shell or self.commands or self.files or self.docker)

    def permissions(self, command_keys: Sequence[bytes]) -> Powers:
        return Powers(
            shell=self.shell,
            commands=self.commands,
            files=self.files,
            docker=self.docker,
            file_roots=[str(root) for root in self.file_roots],
            user=agent_user(),
            command_keys=command_keys if self else (),
        )

    def summary(self) -> dict[str, str]:
        """Return each permission in words, by its key in the policy file."""
        files = _name(FILES, self.files)
        if self.files:
            files += f" below {', '.join(str(root) for root in self.file_roots)}"
        return {
            "shell": "on" if self.shell else "off",
            "commands": "on" if self.commands else "off",
            "files": files,
            "docker": _name(DOCKER, self.docker),
        }


def agent_user() -> str:
    """Return the name of the user as whom commands, terminals and file actions run."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def load(path: Path) -> Policy:
    """Read the policy file; without a file nothing is allowed.

    Raises:
        ConfigError: the file is malformed, or another user than the host's owner can write it.
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
        raise ConfigError("file", f"must belong to root; run `chown root {path}`", str(path))
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError(
            "file", f"must be writable only by its owner; run `chmod go-w {path}`", str(path)
        )
    if len(content) > FILE_LIMIT:
        raise ConfigError("file", f"must have at most {FILE_LIMIT} bytes", str(path))
    policy = Policy(**parse_table(content, str(path), CHECKS))
    # An empty list means no file, so access to all files must be asked for.
    if policy.files and not policy.file_roots:
        raise ConfigError("file_roots", 'must list folders; use ["/"] for all files', str(path))
    return policy


def load_or_deny_all(path: Path) -> Policy:
    """Read the policy file; allow nothing if it is invalid, so that the agent can still report."""
    try:
        policy = load(path)
    except ConfigError as error:
        log.error("%s; nothing is allowed until this is fixed", error)  # noqa: TRY400  # no bug here
        return Policy()
    permissions = (f"{name} {value}" for name, value in policy.summary().items())
    log.info("allowed on this server: %s", ", ".join(permissions))
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
        raise ValueError(f"must list at most {ROOT_LIMIT} folders")
    for root in value:
        if not root.startswith("/") or "\0" in root or ".." in root.split("/"):
            raise ValueError(f"{root!r} must be an absolute path without ..")
    # normpath() keeps two leading slashes, which mean the same as one on Linux.
    return tuple(Path("/" + os.path.normpath(root).lstrip("/")) for root in value)


def _name(names: Mapping[str, int], value: int) -> str:
    return next(name for name, number in names.items() if number == value)


CHECKS: dict[str, Check] = {
    "shell": parse_boolean,
    "commands": parse_boolean,
    "files": _files,
    "file_roots": _roots,
    "docker": _docker,
}
