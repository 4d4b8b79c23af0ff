"""The walk from a folder of the policy to a path, name by name.

Each name is opened without following links. If it is a symbolic link, its target is walked in the
same way. A process that exchanges names during the walk can therefore only select other files that
are allowed.
"""

import dataclasses
import os
import stat
from collections import deque
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from agent.commands.errors import CommandFailedError, forbidden, invalid, not_found
from agent.files.names import CURRENT_FOLDER, check_path, to_os_name
from agent.files.os_errors import translate_os_errors
from agent.files.protected_paths import ProtectedPaths

LINK_LIMIT = 40
STEP_LIMIT = 20_000  # names of one path, because links can lead in circles
OPEN_PATH = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclasses.dataclass(frozen=True, slots=True)
class Root:
    """A folder of the policy: the path in the policy file, and the path that it resolves to."""

    written: PurePosixPath
    real: PurePosixPath

    @classmethod
    def resolve(cls, path: Path) -> "Root":
        return cls(PurePosixPath(path), PurePosixPath(path.resolve()))


class PathWalk:
    """Walks to a path. After `run`, the path is `name` in `folder`.

    `folder` is a descriptor opened with O_PATH, which `close` closes. `name` is "." if the path is
    the folder itself.
    """

    def __init__(self, protected: ProtectedPaths, roots: Sequence[Root], path: str) -> None:
        self.folder = -1
        self.name = CURRENT_FOLDER
        self._protected = protected
        self._roots = roots
        self._path = path
        self._root = PurePosixPath()
        self._links = 0
        self._passed: list[str] = []  # names from the root to `folder`
        self._ahead: deque[str] = deque()  # names that are still to be walked

    def close(self) -> None:
        if self.folder >= 0:
            os.close(self.folder)
            self.folder = -1

    def run(self, *, follow: bool) -> None:
        """Walk to the end; with `follow`, also through a link that the last name may be.

        Raises:
            CommandFailedError: the path leads out of the policy's folders, or nowhere.
            OSError: a name on the way does not exist or cannot be opened.
        """
        check_path(self._path)
        self._start(_absolute(to_os_name(self._path)))
        for _ in range(STEP_LIMIT):
            if not self._ahead:
                self.name = CURRENT_FOLDER
                return
            name = self._ahead.popleft()
            if name == "..":
                self._go_up()
            elif not self._ahead and not follow:
                self.name = name
                return
            elif self._step(name):
                return
        raise invalid(f"{self._path} leads through more than {STEP_LIMIT} folders.")

    def _step(self, name: str) -> bool:
        """Enter a folder or follow a link; return True if the walk ends at this name."""
        is_last = not self._ahead
        try:
            child = os.open(name, OPEN_PATH, dir_fd=self.folder)
        except FileNotFoundError:
            if not is_last:
                raise not_found(self._missing_folder()) from None
            self.name = name
            return True
        status = os.fstat(child)
        if stat.S_ISLNK(status.st_mode):
            self._follow(child)
            return False
        if stat.S_ISDIR(status.st_mode):
            self._enter(child, name, status)
            return False
        os.close(child)
        if not is_last:
            raise not_found(f"There is no {self._path}: a part of the path is not a folder.")
        self.name = name
        return True

    def _missing_folder(self) -> str:
        if self._links:
            return f"There is no {self._path}: a link in it leads to a folder that does not exist."
        return f"The folder {PurePosixPath(self._path).parent} does not exist."

    def _enter(self, child: int, name: str, status: os.stat_result) -> None:
        os.close(self.folder)
        self.folder = child
        self._passed.append(name)
        self._protected.check(status, self._path)

    def _follow(self, link: int) -> None:
        """Walk the target of a link next."""
        self._links += 1
        try:
            target = os.readlink("", dir_fd=link)
        finally:
            os.close(link)
        if self._links > LINK_LIMIT:
            raise invalid(f"{self._path} leads through more than {LINK_LIMIT} links.")
        if target.startswith("/"):
            self._start(_absolute(target).joinpath(*self._ahead))
        else:
            self._ahead.extendleft(reversed(PurePosixPath(target).parts))

    def _go_up(self) -> None:
        # Walk again from the root. If another process has moved `folder`, its `..` is no longer the
        # folder that the walk came from.
        if self._passed:
            self._ahead.extendleft(reversed(self._passed[:-1]))
            self._open_root()
        elif self._root != self._root.parent:
            above = self._root.parent.joinpath(*self._ahead)
            # Folders above a root are never opened, so `..` can only be resolved by name.
            self._start(PurePosixPath(os.path.normpath(above)))

    def _start(self, path: PurePosixPath) -> None:
        """Start at the innermost root that holds `path`, which is absolute and may contain `..`."""
        candidates = [
            (spelling, root)
            for root in self._roots
            for spelling in (root.written, root.real)
            if path.is_relative_to(spelling)
        ]
        if not candidates:
            raise self._not_allowed()
        spelling, root = max(candidates, key=lambda candidate: len(candidate[0].parts))
        self._ahead = deque(path.relative_to(spelling).parts)
        self._root = root.real
        self._open_root()

    def _open_root(self) -> None:
        """Open the root through folders only: its path is resolved, so it contains no link."""
        self.close()
        self._passed = []
        with translate_os_errors(str(self._root)):
            self.folder = os.open("/", OPEN_PATH | os.O_DIRECTORY)
            for name in self._root.parts[1:]:
                child = os.open(name, OPEN_PATH | os.O_DIRECTORY, dir_fd=self.folder)
                os.close(self.folder)
                self.folder = child
        self._protected.check(os.fstat(self.folder), str(self._root))

    def _not_allowed(self) -> CommandFailedError:
        allowed = ", ".join(str(root.written) for root in self._roots) or "none"
        how = "leads out of" if self._links else "is not in"
        return forbidden(
            f"{self._path} {how} the folders that the policy of this server allows ({allowed})."
            " Its owner can add folders to file_roots in the agent's policy.toml."
        )


def _absolute(path: str) -> PurePosixPath:
    # POSIX keeps two leading slashes, which mean the same as one on Linux.
    return PurePosixPath("/" + path.lstrip("/"))
