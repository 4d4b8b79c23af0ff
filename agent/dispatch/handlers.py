from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agent.commands.policy import Policy

if TYPE_CHECKING:
    from agent.docker.actions import DockerActions
    from agent.files.actions import Files

RotateKey = Callable[[bytes], Awaitable[None]]


class Handlers:
    """Handlers of file and Docker actions, each imported when it is first used."""

    def __init__(
        self,
        policy: Policy,
        *,
        protected: Sequence[Path],
        docker_socket: Callable[[], Path],
        docker_changed: Callable[[], None],
        agent_tag: str,
        rotate_key: RotateKey,
    ) -> None:
        """`agent_tag` marks the shells in containers, so that a later process finds them."""
        self.rotate_key = rotate_key
        self._policy = policy
        self._protected = protected
        self._docker_socket = docker_socket
        self._docker_changed = docker_changed
        self._agent_tag = agent_tag
        self._files: Files | None = None
        self._docker: DockerActions | None = None

    def files(self) -> "Files":
        if self._files is None:
            from agent.files.actions import Files  # noqa: PLC0415  # only when it is used

            self._files = Files(self._policy, self._protected)
        return self._files

    def docker(self) -> "DockerActions":
        if self._docker is None:
            from agent.docker.actions import DockerActions  # noqa: PLC0415  # 6 MB

            self._docker = DockerActions(
                self._policy,
                socket=self._docker_socket,
                changed=self._docker_changed,
                agent_tag=self._agent_tag,
            )
        return self._docker

    async def close(self) -> None:
        if self._files:
            self._files.close()
        if self._docker:
            await self._docker.close()
