from typing import Protocol


class Channel(Protocol):
    """What a session reads and writes: a PTY, a shell in a container, a container's log."""

    program: str

    async def read(self, most: int) -> bytes:
        """At most so many bytes of output as soon as there are any; empty at the end."""
        ...

    async def write(self, data: bytes) -> None:
        """Return when all of it was taken."""
        ...

    async def resize(self, columns: int, rows: int) -> None: ...

    async def close(self) -> int:
        """End it with all that it started; its exit code, or minus the signal that ended it."""
        ...
