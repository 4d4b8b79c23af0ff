"""From a path to open descriptors, without a way out of the policy's folders.

A path is walked name by name from one of these folders, each name opened as what it is at that
moment and never followed by the kernel. A symbolic link is replaced by its words, which are then
walked the same way, so whoever swaps names meanwhile only chooses between things that are inside.
"""

import contextlib
import dataclasses
import os
import stat
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from agent.execute import failure
from agent.execute.files.ground import Ground
from agent.execute.files.reasons import explained

PATH_LIMIT = 4096  # bytes
LINK_LIMIT = 40
STEP_LIMIT = 20_000  # names looked at for one path, since links may lead in circles
ITSELF = "."
_PIN = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclasses.dataclass(frozen=True, slots=True)
class Root:
    """A folder of the policy, as it is written there and where that led when the agent began."""

    written: PurePosixPath
    real: PurePosixPath

    @classmethod
    def of(cls, path: Path) -> "Root":
        return cls(PurePosixPath(path), PurePosixPath(path.resolve()))


@dataclasses.dataclass(slots=True)
class Place:
    """A name, which need not exist, in a folder that was walked to."""

    folder: int
    """Open as O_PATH."""
    name: str
    path: str
    """For people."""

    def look(self) -> os.stat_result | None:
        """What is there now, a link unfollowed."""
        try:
            return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
        except FileNotFoundError:
            return None


@dataclasses.dataclass(slots=True)
class Pinned:
    """A thing itself, whatever its name leads to by now."""

    descriptor: int
    """Open as O_PATH."""
    status: os.stat_result
    path: str

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.status.st_mode)

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def again(self) -> Path:
        """A path to this very thing, for calls that take no O_PATH."""
        return Path(f"/proc/self/fd/{self.descriptor}")

    def open(self, flags: int) -> int:
        """Raises: CommandFailedError: it is not a regular file."""
        if not self.is_file:
            kind = "a folder" if self.is_folder else "a device, socket or pipe, never opened"
            raise failure.invalid(f"{self.path} is {kind}")
        with explained(self.path):
            return os.open(self.again, flags | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)


class Tree:
    """The folders of the policy, for one action."""

    def __init__(self, roots: Sequence[Root], own: Sequence[Path], stop: threading.Event) -> None:
        self.ground = Ground(own)
        self._roots = roots
        self._stop = stop

    def go_on(self) -> None:
        """Raises: CommandFailedError: nobody waits for this action any more."""
        if self._stop.is_set():
            raise failure.unavailable("it took too long, or was cancelled")

    @contextlib.contextmanager
    def place(self, path: str, *, follow: bool) -> Iterator[Place]:
        """Where `path` leads; with `follow`, through a link that its last name may be.

        Raises:
            CommandFailedError: out of the policy's folders, or nowhere.
        """
        walk = _Walk(self, self._roots, path)
        try:
            with explained(path):
                walk.go(follow=follow)
            place = Place(walk.folder, walk.name, path)
            if walk.name != ITSELF:
                self.ground.check_name(os.fstat(walk.folder), walk.name, path)
            yield place
        finally:
            walk.close()

    @contextlib.contextmanager
    def pinned(self, path: str) -> Iterator[Pinned]:
        """What is at `path`, links followed."""
        with self.place(path, follow=True) as place, self.pin(place) as found:
            if stat.S_ISLNK(found.status.st_mode):
                raise failure.conflict(f"{path} is being changed just now")
            yield found

    @contextlib.contextmanager
    def pin(self, place: Place) -> Iterator[Pinned]:
        """Raises: CommandFailedError: nothing is there, or what is never touched."""
        with explained(place.path):
            descriptor = os.open(place.name, _PIN, dir_fd=place.folder)
        try:
            status = os.fstat(descriptor)
            self.ground.check(status, place.path)
            yield Pinned(descriptor, status, place.path)
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def opened_file(self, path: str) -> Iterator[int]:
        """Raises: CommandFailedError: it is not a regular file, among others."""
        with self.pinned(path) as found:
            descriptor = found.open(os.O_RDONLY)
            try:
                yield descriptor
            finally:
                os.close(descriptor)

    @contextlib.contextmanager
    def opened_folder(self, path: str) -> Iterator[int]:
        """Raises: CommandFailedError: it is not a folder, among others."""
        with self.pinned(path) as found:
            if not found.is_folder:
                raise failure.invalid(f"{path} is not a folder")
            with explained(path), reading(found.descriptor) as descriptor:
                yield descriptor

    @contextlib.contextmanager
    def inside(self, folder: int, name: str, path: str) -> Iterator[int]:
        """A folder in a folder, open as O_PATH."""
        with explained(path):
            child = os.open(name, _PIN | os.O_DIRECTORY, dir_fd=folder)
        try:
            self.ground.check(os.fstat(child), path)
            yield child
        finally:
            os.close(child)


class _Walk:
    def __init__(self, tree: Tree, roots: Sequence[Root], path: str) -> None:
        self.folder = -1
        self.name = ITSELF
        self._tree = tree
        self._roots = roots
        self._path = path
        self._root = PurePosixPath()
        self._links = 0
        self._names: list[str] = []  # from the root to where the walk is
        self._rest: deque[str] = deque()
        _check_spelling(path)
        self._begin(_absolute(inward(path)))

    def close(self) -> None:
        if self.folder >= 0:
            os.close(self.folder)
            self.folder = -1

    def go(self, *, follow: bool) -> None:
        for _ in range(STEP_LIMIT):
            if not self._rest:
                self.name = ITSELF
                return
            name = self._rest.popleft()
            if name == "..":
                self._go_up()
                continue
            if not self._rest and not follow:
                self.name = name
                return
            try:
                child = os.open(name, _PIN, dir_fd=self.folder)
            except FileNotFoundError:
                if self._rest:
                    raise
                self.name = name
                return
            status = os.fstat(child)
            if stat.S_ISLNK(status.st_mode):
                self._follow(child)
            elif stat.S_ISDIR(status.st_mode):
                self._enter(child, name, status)
            else:
                os.close(child)
                if self._rest:
                    raise failure.not_found(
                        f"there is no {self._path}: a part of it is not a folder"
                    )
                self.name = name
                return
        raise failure.invalid(f"{self._path} leads through too many folders")

    def _begin(self, path: PurePosixPath) -> None:
        """Walk from the root that holds `path`, an absolute path whose `..` are still in it."""
        held = [
            (spelled, root)
            for root in self._roots
            for spelled in (root.written, root.real)
            if path.is_relative_to(spelled)
        ]
        if not held:
            allowed = ", ".join(str(root.written) for root in self._roots) or "none"
            how = "leads out of" if self._links else "is not in"
            raise failure.forbidden(
                f"{self._path} {how} the folders that this host's policy allows ({allowed})"
            )
        spelled, root = max(held, key=lambda pair: len(pair[0].parts))
        self._rest = deque(path.relative_to(spelled).parts)
        self._root = root.real
        self._restart()

    def _restart(self) -> None:
        """To the root, through folders alone: where it led is known, so no link is met."""
        self.close()
        self._names = []
        with explained(str(self._root)):
            self.folder = os.open("/", _PIN | os.O_DIRECTORY)
            for name in self._root.parts[1:]:
                child = os.open(name, _PIN | os.O_DIRECTORY, dir_fd=self.folder)
                os.close(self.folder)
                self.folder = child
        self._tree.ground.check(os.fstat(self.folder), str(self._root))

    def _enter(self, child: int, name: str, status: os.stat_result) -> None:
        os.close(self.folder)
        self.folder = child
        self._names.append(name)
        self._tree.ground.check(status, self._path)

    def _go_up(self) -> None:
        # By name and from the start: what `..` of a descriptor is, others may have moved.
        if self._names:
            self._rest.extendleft(reversed(self._names[:-1]))
            self._restart()
        elif self._root != self._root.parent:
            self._begin(_plain(self._root.parent.joinpath(*self._rest)))

    def _follow(self, link: int) -> None:
        self._links += 1
        try:
            words = os.readlink("", dir_fd=link)
        finally:
            os.close(link)
        if self._links > LINK_LIMIT:
            raise failure.invalid(f"{self._path} leads through more than {LINK_LIMIT} links")
        if words.startswith("/"):
            self._begin(_absolute(words).joinpath(*self._rest))
        else:
            self._rest.extendleft(reversed(PurePosixPath(words).parts))


def _check_spelling(path: str) -> None:
    if not path.startswith("/"):
        raise failure.invalid("a path begins with /")
    if "\0" in path:
        raise failure.invalid("a path has no NUL in it")
    if len(path.encode()) > PATH_LIMIT:
        raise failure.invalid(f"a path has at most {PATH_LIMIT} bytes")
    if ".." in path.split("/"):
        raise failure.invalid("a path has no .. in it")


@contextlib.contextmanager
def reading(folder: int) -> Iterator[int]:
    """A folder open as O_PATH, open for its names too."""
    descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def inward(text: str) -> str:
    """As this process spells it to the kernel, whatever the locale."""
    return os.fsdecode(text.encode())


def outward(name: str) -> str:
    """Text that a message takes; what is not UTF-8 is replaced, and cannot be asked for."""
    return os.fsencode(name).decode(errors="replace")


def _absolute(path: str) -> PurePosixPath:
    # Two slashes at the start would be kept, as POSIX has it.
    return PurePosixPath("/" + path.lstrip("/"))


def _plain(path: PurePosixPath) -> PurePosixPath:
    """Without `..`, which above a root cannot be looked up."""
    return PurePosixPath(os.path.normpath(path))
