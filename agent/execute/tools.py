from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agent.execute.policy import Policy

if TYPE_CHECKING:
    from agent.execute.containers import Containers
    from agent.execute.files import Files

Rotate = Callable[[bytes], Awaitable[None]]


class Tools:
    """What commands are carried out with; each is loaded when it is first asked for."""

    def __init__(
        self,
        policy: Policy,
        *,
        forbidden: Sequence[Path],
        docker_socket: Callable[[], Path],
        docker_changed: Callable[[], None],
        mark: str,
        rotate: Rotate,
    ) -> None:
        self.rotate = rotate
        self._policy = policy
        self._forbidden = forbidden
        self._docker_socket = docker_socket
        self._docker_changed = docker_changed
        self._mark = mark
        self._files: Files | None = None
        self._containers: Containers | None = None

    def files(self) -> "Files":
        if self._files is None:
            from agent.execute.files import Files  # noqa: PLC0415  # hosts without need not pay

            self._files = Files(self._policy, self._forbidden)
        return self._files

    def containers(self) -> "Containers":
        if self._containers is None:
            from agent.execute.containers import Containers  # noqa: PLC0415  # 6 MB

            self._containers = Containers(
                self._policy, self._docker_socket, self._docker_changed, mark=self._mark
            )
        return self._containers

    async def close(self) -> None:
        if self._files:
            self._files.close()
        if self._containers:
            await self._containers.close()
