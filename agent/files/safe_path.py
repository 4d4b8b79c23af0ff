"""Access to files by open descriptors, without a way out of the policy's folders."""

import contextlib
import dataclasses
import os
import stat
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.commands.errors import conflict, invalid, unavailable
from agent.files.names import CURRENT_FOLDER
from agent.files.os_errors import translate_os_errors
from agent.files.path_walk import OPEN_PATH, PathWalk, Root
from agent.files.protected_paths import ProtectedPaths


@dataclasses.dataclass(slots=True)
class Place:
    """A name in an open folder; the name need not exist."""

    folder: int
    """Descriptor opened with O_PATH."""
    name: str
    path: str
    """Text for messages."""

    def stat(self) -> os.stat_result | None:
        """Return the status of the name now, without following a link; None if it is free."""
        try:
            return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
        except FileNotFoundError:
            return None


@dataclasses.dataclass(slots=True)
class Handle:
    """An open file, folder or link. It stays the same object if its name is reused."""

    descriptor: int
    """Descriptor opened with O_PATH."""
    status: os.stat_result
    path: str
    """Text for messages."""

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.status.st_mode)

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.status.st_mode)

    @property
    def proc_path(self) -> Path:
        """Path to this very file, for calls that accept no O_PATH descriptor."""
        return Path(f"/proc/self/fd/{self.descriptor}")

    def open(self, flags: int) -> int:
        """Raises: CommandFailedError: this is not a regular file, or it cannot be opened."""
        if self.is_folder:
            raise invalid(f"{self.path} is a folder.")
        if not self.is_file:
            raise invalid(f"{self.path} is a device, socket or pipe, which the agent never opens.")
        with translate_os_errors(self.path):
            return os.open(self.proc_path, flags | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)


class SafeFileSystem:
    """The files that the policy allows, for the time of one action."""

    def __init__(self, roots: Sequence[Root], own: Sequence[Path], stop: threading.Event) -> None:
        """`own` are the agent's own files; `stop` is set when the action is cancelled."""
        self.protected = ProtectedPaths(own)
        self._roots = roots
        self._stop = stop

    def check_cancelled(self) -> None:
        """Raises: CommandFailedError: the action was cancelled."""
        if self._stop.is_set():
            raise unavailable("The action was cancelled, or it took too long.")

    @contextlib.contextmanager
    def place(self, path: str, *, follow: bool) -> Iterator[Place]:
        """Walk to `path`; with `follow`, also through a link that its last name may be.

        Raises:
            CommandFailedError: the path leads out of the policy's folders, or nowhere.
        """
        walk = PathWalk(self.protected, self._roots, path)
        try:
            with translate_os_errors(path):
                walk.run(follow=follow)
            if walk.name != CURRENT_FOLDER:
                self.protected.check_name(os.fstat(walk.folder), walk.name, path)
            yield Place(walk.folder, walk.name, path)
        finally:
            walk.close()

    @contextlib.contextmanager
    def handle(self, place: Place) -> Iterator[Handle]:
        """Raises: CommandFailedError: nothing is there, or it is protected."""
        with translate_os_errors(place.path):
            descriptor = os.open(place.name, OPEN_PATH, dir_fd=place.folder)
        try:
            status = os.fstat(descriptor)
            self.protected.check(status, place.path)
            yield Handle(descriptor, status, place.path)
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def resolve(self, path: str) -> Iterator[Handle]:
        """Walk to `path`, follow links, and open what is there.

        Raises:
            CommandFailedError: nothing is there, or it is not allowed.
        """
        with self.place(path, follow=True) as place, self.handle(place) as found:
            if found.is_link:
                # The walk saw something else under this name a moment ago.
                raise conflict(f"{path} was changed at the same time. Try again.")
            yield found

    @contextlib.contextmanager
    def open_file(self, path: str) -> Iterator[int]:
        """Raises: CommandFailedError: this is not a regular file, among others."""
        with self.resolve(path) as found:
            descriptor = found.open(os.O_RDONLY)
            try:
                yield descriptor
            finally:
                os.close(descriptor)

    @contextlib.contextmanager
    def open_folder(self, path: str) -> Iterator[int]:
        """Raises: CommandFailedError: this is not a folder, among others."""
        with self.resolve(path) as found:
            if not found.is_folder:
                raise invalid(f"{path} is not a folder.")
            with translate_os_errors(path), open_for_reading(found.descriptor) as descriptor:
                yield descriptor

    @contextlib.contextmanager
    def open_subfolder(self, folder: int, name: str, path: str) -> Iterator[int]:
        """Open a folder in a folder with O_PATH."""
        with translate_os_errors(path):
            child = os.open(name, OPEN_PATH | os.O_DIRECTORY, dir_fd=folder)
        try:
            self.protected.check(os.fstat(child), path)
            yield child
        finally:
            os.close(child)


@contextlib.contextmanager
def open_for_reading(folder: int) -> Iterator[int]:
    """Open a folder, which is open with O_PATH, so that its names can be read."""
    descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
