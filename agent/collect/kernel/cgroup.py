"""The memory limit of the container that the agent runs in."""

import dataclasses
from pathlib import Path, PurePosixPath

# A limit on one of these is a limit on the agent or a group of services, not on the container.
SYSTEMD_UNITS = (".service", ".scope", ".slice")


@dataclasses.dataclass(frozen=True, slots=True)
class Limit:
    """Memory of a container in bytes. `swap_total` is None if swap has no limit of its own."""

    total: int
    used: int
    cached: int
    swap_total: int | None
    swap_used: int


class MemoryCgroup:
    """Reads the smallest memory limit above the agent, with cgroup v1 and v2.

    This is needed in containers without lxcfs, where /proc/meminfo shows the host's memory.
    """

    def __init__(self, proc: Path, sys: Path) -> None:
        self._limits = _limit_files(proc, sys)

    def read(self, host_total: int) -> Limit | None:
        """Return the limit, if it is below the memory of the host in bytes.

        A limit of v1 that is not set is a huge number.
        """
        limits = [(total, file) for file in self._limits if (total := _number(file)) is not None]
        total, file = min(limits, default=(host_total, None))
        return _read(file, total) if file is not None and total < host_total else None


def _limit_files(proc: Path, sys: Path) -> list[Path]:
    """Return the files of the cgroups that can have a limit of the container."""
    mount = _memory_mount(proc)
    own = _own_cgroup(proc)
    if mount is None or own is None:
        return []
    root, point = mount
    # In a container without a cgroup namespace, only a part of the tree is mounted.
    below = own.relative_to(root) if own.is_relative_to(root) else PurePosixPath()
    top = sys / point.relative_to("/sys") if point.is_relative_to("/sys") else Path(point)
    folders = [top]
    for part in below.parts:
        if part not in ("/", ".."):
            folders.append(folders[-1] / part)
    return [
        folder / name
        for folder in folders
        if folder == top or not folder.name.endswith(SYSTEMD_UNITS)
        for name in ("memory.max", "memory.limit_in_bytes")
        if (folder / name).exists()
    ]


def _memory_mount(proc: Path) -> tuple[PurePosixPath, PurePosixPath] | None:
    """Return the root and the mount point of the tree that has the memory controller."""
    found: dict[str, tuple[PurePosixPath, PurePosixPath]] = {}
    for line in _text(proc / "self/mountinfo").split("\n"):
        mounted, _, source = line.partition(" - ")
        fields, (filesystem, *words) = mounted.split(" "), source.split(" ")
        if len(fields) < 5:
            continue
        if filesystem == "cgroup2" or (
            filesystem == "cgroup" and words and "memory" in words[-1].split(",")
        ):
            found.setdefault(filesystem, (PurePosixPath(fields[3]), PurePosixPath(fields[4])))
    return found.get("cgroup") or found.get("cgroup2")


def _own_cgroup(proc: Path) -> PurePosixPath | None:
    """Return the agent's cgroup: of the memory controller of v1, or of v2."""
    unified = None
    for line in _text(proc / "self/cgroup").split("\n"):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if "memory" in controllers.split(","):
            return PurePosixPath(path)
        if line.startswith("0::"):
            unified = PurePosixPath(path)
    return unified


def _read(limit: Path, total: int) -> Limit | None:
    """Return the use of one cgroup, or None if it cannot be read."""
    folder, v2 = limit.parent, limit.name == "memory.max"
    used = _number(folder / ("memory.current" if v2 else "memory.usage_in_bytes"))
    if used is None:
        return None
    fields = dict(
        line.split(" ", 1) for line in _text(folder / "memory.stat").split("\n") if " " in line
    )
    # The kernel takes inactive pages of files back before it refuses memory.
    inactive = int(fields.get("inactive_file" if v2 else "total_inactive_file", 0))
    cached = int(fields.get("file" if v2 else "total_cache", 0))
    swap_total = _number(folder / "memory.swap.max")
    swap_used = _number(folder / "memory.swap.current") or 0
    return Limit(total, max(used - inactive, 0), cached, swap_total, swap_used)


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdecimal() else None


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError:
        return ""
