"""What is never touched, whatever folders the policy names."""

import contextlib
import os
import re
import stat
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

from agent.execute import failure

# File systems that speak to the kernel.
KERNEL = {
    *("binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "efivarfs"),
    *("fusectl", "mqueue", "nfsd", "nsfs", "proc", "pstore", "resctrl", "rpc_pipefs"),
    *("securityfs", "selinuxfs", "smackfs", "sysfs", "tracefs"),
}
OWN_LIMIT = 10_000  # names in the agent's own folders
_MOUNT_ID = re.compile(rb"^mnt_id:\s*(\d+)$", re.MULTILINE)

Inode = tuple[int, int]


def inode(status: os.stat_result) -> Inode:
    return status.st_dev, status.st_ino


class Ground:
    """The agent's own files and the kernel's file systems, as they are at this moment.

    The agent's own are told by device and inode, so that a bind mount or a hard link to one is
    that one.
    """

    def __init__(self, own: Iterable[Path]) -> None:
        self._own: set[Inode] = set()
        self._above: set[Inode] = set()
        self._names: set[tuple[Inode, str]] = set()
        for path in own:
            # What it is configured as may be a link.
            for spelled in {path.absolute(), path.resolve()}:
                self._learn(spelled)

    def _learn(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            self._names.add((inode(path.parent.stat()), path.name))
        self._own.update(map(inode, _all(path)))
        for folder in path.parents:
            with contextlib.suppress(OSError):
                self._above.add(inode(folder.stat()))

    def check(self, status: os.stat_result, path: str) -> None:
        """Raises: CommandFailedError."""
        if inode(status) in self._own:
            raise failure.forbidden(f"{path} is the agent's own and is never touched")
        kind = self._kernel_file_system(status.st_dev)
        if kind:
            raise failure.forbidden(f"{path} is on {kind}, which is the kernel's and never touched")

    def check_name(self, folder: os.stat_result, name: str, path: str) -> None:
        """Raises: CommandFailedError: this is where the agent keeps its own."""
        if (inode(folder), name) in self._names:
            raise failure.forbidden(f"{path} is the agent's own and is never touched")

    def check_whole(self, status: os.stat_result, path: str) -> None:
        """Raises: CommandFailedError: the agent's own files are somewhere in it."""
        if inode(status) in self._above:
            raise failure.forbidden(f"{path} holds the agent's own files, which are never touched")

    def _kernel_file_system(self, device: int) -> str:
        # None of them is on a disk, and only those on no disk have major number 0.
        if os.major(device):
            return ""
        kind = self._mounted.get(f"{os.major(device)}:{os.minor(device)}", "")
        return kind if kind in KERNEL else ""

    @cached_property
    def _mounted(self) -> dict[str, str]:
        """File systems by device, after proc(5), mountinfo."""
        try:
            lines = Path("/proc/self/mountinfo").read_bytes().decode(errors="replace").splitlines()
        except OSError:
            raise failure.unavailable("/proc is not mounted there, and files need it") from None
        found = {}
        for line in lines:
            fields = line.split(" ")
            found[fields[2]] = fields[fields.index("-") + 1]
        return found


def _all(path: Path) -> Iterator[os.stat_result]:
    """What `path` is and all that is in it."""
    waiting = [path]
    for _ in range(OWN_LIMIT):
        if not waiting:
            return
        thing = waiting.pop()
        with contextlib.suppress(OSError):
            status = thing.lstat()
            yield status
            if stat.S_ISDIR(status.st_mode):
                waiting += thing.iterdir()


def mount_id(descriptor: int) -> int:
    """Of the mount that a descriptor was opened on: bind mounts of one disk differ."""
    found = _MOUNT_ID.search(Path(f"/proc/self/fdinfo/{descriptor}").read_bytes())
    if found is None:
        raise failure.unavailable("/proc does not tell mounts apart there")
    return int(found[1])
