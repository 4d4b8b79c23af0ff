"""Archives into folders, without a way out of them."""

import contextlib
import os
import stat
from pathlib import PurePosixPath

from agent.execute import failure
from agent.execute.files import drafts, members, renaming
from agent.execute.files.ground import mount_id
from agent.execute.files.members import Budget, Kind, Member
from agent.execute.files.moving import FOLDER_MODE, described
from agent.execute.files.reasons import explained
from agent.execute.files.removing import DEPTH_LIMIT
from agent.execute.files.tree import Place, Tree, outward, reading
from flotilla.v1.command_pb2 import FileAction, FileEntry

BYTES_LIMIT = 10 * 1024**3
# What deflate does to a text that repeats itself, and more than it does to most.
RATIO_LIMIT = 250
RATIO_FREE = 64 * 1024 * 1024  # bytes that may come out of the smallest archive
NAME_BYTES = 255
_INSIDE = os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
_MAKE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def extract(tree: Tree, action: FileAction) -> FileEntry:
    """Whole, in a folder of its own, which then becomes the destination or is merged into it."""
    with (
        tree.opened_file(action.path) as archive,
        tree.place(action.destination, follow=True) as place,
        contextlib.ExitStack() as stack,
    ):
        beside = place
        there = None
        if place.look() is not None:
            there = stack.enter_context(tree.opened_folder(action.destination))
            beside = Place(there, "extract", action.destination)
        draft = stack.enter_context(drafts.scratch(tree, beside))
        with explained(action.destination):
            os.mkdir(draft, 0o700, dir_fd=beside.folder)
            with tree.inside(beside.folder, draft, action.destination) as top:
                _fill(tree, archive, top)
                if there is not None:
                    merging = _Merging(tree, mount_id(there), replace=action.overwrite)
                    merging.check(top, there, action.destination)
                    merging.move(top, there, action.destination)
            if there is None:
                renaming.rename(beside.folder, draft, place.folder, place.name, replace=False)
            drafts.sync(beside.folder)
        return described(tree, place)


def _fill(tree: Tree, archive: int, top: int) -> None:
    disk = os.fstatvfs(top)
    room = disk.f_bavail * disk.f_frsize
    honest = max(RATIO_FREE, RATIO_LIMIT * os.fstat(archive).st_size)
    with contextlib.closing(_Unpacking(top)) as unpacking:
        for count, member in enumerate(
            members.members(tree, archive, Budget(min(BYTES_LIMIT, room, honest))), start=1
        ):
            tree.go_on()
            if count > members.ENTRY_LIMIT:
                raise members.too_many()
            unpacking.add(member)
        unpacking.finish()


class _Unpacking:
    """A folder that nobody else knows yet, as it fills."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._modes: dict[tuple[str, ...], int] = {(): FOLDER_MODE}
        self._parent: tuple[str, ...] = ()
        self._folder = os.dup(top)

    def close(self) -> None:
        os.close(self._folder)

    def add(self, member: Member) -> None:
        """Raises: CommandFailedError: it would lie elsewhere, or lead there."""
        parts = _parts(member.name)
        if not parts:
            if member.kind is Kind.FOLDER:
                return
            raise _leads_out(member.name)
        with explained(outward(member.name)):
            if member.kind is Kind.FOLDER:
                self._go_to(parts, member.name)
                # For its owner it stays open: whoever made it can remove it.
                self._modes[parts] = (member.mode or FOLDER_MODE) | stat.S_IRWXU
                return
            self._go_to(parts[:-1], member.name)
            self._make_way(parts[-1], member.name)
            if member.kind is Kind.FILE:
                self._file(parts[-1], member)
            elif member.kind is Kind.LINK:
                _check_target(member, len(parts) - 1)
                os.symlink(member.target, parts[-1], dir_fd=self._folder)
            else:
                self._hard_link(parts[-1], member)

    def finish(self) -> None:
        """Give folders their modes, with which they might not have been filled."""
        for parts, mode in sorted(self._modes.items(), reverse=True):
            self._go_to(parts, "/".join(parts))
            with reading(self._folder) as descriptor:
                os.fchmod(descriptor, mode)

    def _go_to(self, parts: tuple[str, ...], name: str) -> None:
        """To a folder of ours, made where it is not there; a link is none."""
        if parts == self._parent:
            return
        folder = os.dup(self._top)
        try:
            for count, part in enumerate(parts, start=1):
                try:
                    child = os.open(part, _INSIDE, dir_fd=folder)
                except FileNotFoundError:
                    os.mkdir(part, 0o700, dir_fd=folder)
                    self._modes.setdefault(parts[:count], FOLDER_MODE)
                    child = os.open(part, _INSIDE, dir_fd=folder)
                except NotADirectoryError:
                    raise failure.invalid(
                        f"{outward(name)} in this archive passes through a link or a file"
                    ) from None
                os.close(folder)
                folder = child
        except BaseException:
            os.close(folder)
            raise
        os.close(self._folder)
        self._folder, self._parent = folder, parts

    def _make_way(self, last: str, name: str) -> None:
        """A later member of the same name takes the earlier one's place."""
        try:
            os.unlink(last, dir_fd=self._folder)
        except FileNotFoundError:
            return
        except IsADirectoryError:
            raise failure.invalid(f"{outward(name)} is a folder and a file in it") from None

    def _file(self, last: str, member: Member) -> None:
        made = os.open(last, _MAKE, 0o600, dir_fd=self._folder)
        try:
            for block in member.content:
                rest = memoryview(block)
                while rest:
                    rest = rest[os.write(made, rest) :]
            os.fchmod(made, member.mode or drafts.FILE_MODE)
        finally:
            os.close(made)

    def _hard_link(self, last: str, member: Member) -> None:
        parts = _parts(member.target)
        if not parts:
            raise _leads_out(member.name)
        here = os.dup(self._folder)
        try:
            self._go_to(parts[:-1], member.name)
            status = os.stat(parts[-1], dir_fd=self._folder, follow_symlinks=False)
            if not stat.S_ISREG(status.st_mode):
                raise failure.invalid(f"{outward(member.name)} is a link to what is no file")
            os.link(
                parts[-1], last, src_dir_fd=self._folder, dst_dir_fd=here, follow_symlinks=False
            )
        finally:
            os.close(here)


def _parts(name: str) -> tuple[str, ...]:
    """Raises: CommandFailedError: the name is absolute, leads up, or is no name."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise _leads_out(name)
    if len(path.parts) > DEPTH_LIMIT:
        raise failure.invalid(f"{outward(name)} lies more than {DEPTH_LIMIT} folders deep")
    if "\0" in name or any(len(os.fsencode(part)) > NAME_BYTES for part in path.parts):
        raise failure.invalid(f"{outward(name[:NAME_BYTES])} is no name that a file can have")
    return path.parts


def _check_target(member: Member, depth: int) -> None:
    """Raises: CommandFailedError: the link leads out, or could.

    It may go up, at its beginning and not farther than the top. Farther on `..` is not what it
    seems where another link comes before it.
    """
    path = PurePosixPath(member.target)
    ups = 0
    while ups < len(path.parts) and path.parts[ups] == "..":
        ups += 1
    if (
        not member.target
        or "\0" in member.target
        or path.is_absolute()
        or ups > depth
        or ".." in path.parts[ups:]
    ):
        raise _leads_out(member.name)


def _leads_out(name: str) -> failure.CommandFailedError:
    return failure.invalid(
        f"{outward(name)} in this archive leads out of the folder; nothing was extracted"
    )


class _Merging:
    """Into a folder that is there: files come beside or in place of others, folders join."""

    def __init__(self, tree: Tree, mount: int, *, replace: bool) -> None:
        self._tree = tree
        self._mount = mount
        self._replace = replace

    def check(self, new: int, old: int, path: str) -> None:
        """Raises: CommandFailedError: something may not be replaced."""
        if mount_id(old) != self._mount:
            raise failure.conflict(f"another disk is mounted at {path}; extract elsewhere")
        for name, is_folder, status, inside in self._pairs(new, old, path):
            self._tree.ground.check_name(os.fstat(old), name, inside)
            if status is None:
                continue
            self._tree.ground.check(status, inside)
            if is_folder and stat.S_ISDIR(status.st_mode):
                with (
                    self._tree.inside(new, name, inside) as ours,
                    self._tree.inside(old, name, inside) as theirs,
                ):
                    self.check(ours, theirs, inside)
            elif is_folder or stat.S_ISDIR(status.st_mode):
                raise failure.conflict(f"{inside} is there already and of another kind")
            elif not self._replace:
                raise failure.conflict(f"{inside} is there already")

    def move(self, new: int, old: int, path: str) -> None:
        for name, is_folder, status, inside in self._pairs(new, old, path):
            with explained(inside):
                if is_folder and status is not None:
                    with (
                        self._tree.inside(new, name, inside) as ours,
                        self._tree.inside(old, name, inside) as theirs,
                    ):
                        self.move(ours, theirs, inside)
                else:
                    renaming.rename(new, name, old, name, replace=self._replace)

    def _pairs(
        self, new: int, old: int, path: str
    ) -> list[tuple[str, bool, os.stat_result | None, str]]:
        """Names of `new`, whether each is a folder, and what `old` has of that name."""
        with reading(new) as descriptor, os.scandir(descriptor) as items:
            found = [(item.name, item.is_dir(follow_symlinks=False)) for item in items]
        pairs = []
        for name, is_folder in found:
            self._tree.go_on()
            try:
                status = os.stat(name, dir_fd=old, follow_symlinks=False)
            except FileNotFoundError:
                status = None
            pairs.append((name, is_folder, status, f"{path.rstrip('/')}/{outward(name)}"))
        return pairs
