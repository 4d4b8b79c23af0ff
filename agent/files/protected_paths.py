"""Files that no action touches, whatever folders the policy allows."""

import contextlib
import os
import re
import stat
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

from agent.commands.errors import CommandFailedError, forbidden, unavailable

# File systems that are interfaces of the kernel.
KERNEL_FILE_SYSTEMS = frozenset(
    [
        "binfmt_misc",
        "bpf",
        "cgroup",
        "cgroup2",
        "configfs",
        "debugfs",
        "devpts",
        "efivarfs",
        "fusectl",
        "mqueue",
        "nfsd",
        "nsfs",
        "proc",
        "pstore",
        "resctrl",
        "rpc_pipefs",
        "securityfs",
        "selinuxfs",
        "smackfs",
        "sysfs",
        "tracefs",
    ]
)
OWN_LIMIT = 10_000  # files in the agent's own folders
_MOUNT_ID = re.compile(rb"^mnt_id:\s*(\d+)$", re.MULTILINE)

Inode = tuple[int, int]  # device and number


def inode(status: os.stat_result) -> Inode:
    return status.st_dev, status.st_ino


class ProtectedPaths:
    """The agent's own files and the kernel's file systems, read when this object is made.

    The agent's own files are identified by device and inode, so that a bind mount of or a hard
    link to one of them is protected too.
    """

    def __init__(self, own: Iterable[Path]) -> None:
        self._own: set[Inode] = set()
        self._parents: set[Inode] = set()
        self._names: set[tuple[Inode, str]] = set()
        for path in own:
            # The configured path may be a link.
            for spelling in {path.absolute(), path.resolve()}:
                self._add(spelling)

    def _add(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            self._names.add((inode(path.parent.stat()), path.name))
        self._own.update(map(inode, _statuses(path)))
        for folder in path.parents:
            with contextlib.suppress(OSError):
                self._parents.add(inode(folder.stat()))

    def check(self, status: os.stat_result, path: str) -> None:
        """Raises: CommandFailedError: this file is protected."""
        if inode(status) in self._own:
            raise _own_file(path)
        kind = self._kernel_file_system(status.st_dev)
        if kind:
            raise forbidden(
                f"{path} is on the kernel's file system {kind}, which the agent never accesses."
            )

    def check_name(self, folder: os.stat_result, name: str, path: str) -> None:
        """Raises: CommandFailedError: this name is protected, even if it does not exist yet."""
        if (inode(folder), name) in self._names:
            raise _own_file(path)

    def check_contents(self, status: os.stat_result, path: str) -> None:
        """Raises: CommandFailedError: the agent's own files are somewhere in this folder."""
        if inode(status) in self._parents:
            raise forbidden(
                f"{path} contains the agent's own files, which cannot be changed from the console."
            )

    def _kernel_file_system(self, device: int) -> str:
        # The kernel's file systems have no disk, and such file systems have major number 0.
        if os.major(device):
            return ""
        kind = self._file_systems.get(f"{os.major(device)}:{os.minor(device)}", "")
        return kind if kind in KERNEL_FILE_SYSTEMS else ""

    @cached_property
    def _file_systems(self) -> dict[str, str]:
        """Mounted file systems by device; format: proc(5), mountinfo."""
        try:
            lines = Path("/proc/self/mountinfo").read_bytes().decode(errors="replace").splitlines()
        except OSError:
            raise unavailable(
                "/proc is not mounted on this server. The agent needs it for file actions."
            ) from None
        found = {}
        for line in lines:
            fields = line.split(" ")
            found[fields[2]] = fields[fields.index("-") + 1]
        return found


def _own_file(path: str) -> CommandFailedError:
    return forbidden(
        f"{path} is one of the agent's own files, which cannot be accessed from the console."
    )


def _statuses(path: Path) -> Iterator[os.stat_result]:
    """Yield the status of `path` and of everything in it."""
    waiting = [path]
    for _ in range(OWN_LIMIT):
        if not waiting:
            return
        current = waiting.pop()
        with contextlib.suppress(OSError):
            status = current.lstat()
            yield status
            if stat.S_ISDIR(status.st_mode):
                waiting += current.iterdir()


def mount_id(descriptor: int) -> int:
    """Return the mount of an open file; it differs between bind mounts of one disk."""
    found = _MOUNT_ID.search(Path(f"/proc/self/fdinfo/{descriptor}").read_bytes())
    if found is None:
        raise unavailable(
            "/proc of this server does not show mounts. The agent needs them for this action."
        )
    return int(found[1])
