from typing import Protocol


class Channel(Protocol):
    """The program side of a session: a PTY, a shell in a container, or a container's log."""

    program: str

    async def read(self, most: int) -> bytes:
        """Return 1 to `most` bytes of output as soon as there are any; none at the end."""
        ...

    async def write(self, data: bytes) -> None:
        """Return when the program has received all of `data`."""
        ...

    async def resize(self, columns: int, rows: int) -> None: ...

    async def close(self) -> int:
        """End the program with all processes that it started.

        Return its exit code, or the negative number of the signal that ended it.
        """
        ...
