"""The mounted file systems that store data of this host, each once.

psutil.disk_partitions() is not used. It returns neither the device number, which identifies a device
with two names, nor the parent of a mount, which shows that a mount is hidden by another one. It also
leaves out every file system without a block device, so a container would have no disk at all.
"""

import dataclasses
import re
from collections.abc import Iterator

# File systems that store data of this host but have no block device of their own. Network file
# systems are not listed: their space is not the host's, and statvfs() hangs if their server is down.
WITHOUT_BLOCK_DEVICE = frozenset(
    {"bcachefs", "btrfs", "fuseblk", "jffs2", "nilfs2", "simfs", "ubifs", "vzfs", "zfs"}
)
# They are always full.
IMAGES = frozenset({"cramfs", "erofs", "iso9660", "romfs", "squashfs", "udf"})


@dataclasses.dataclass(frozen=True, slots=True)
class Mount:
    """A mounted file system. Names can hold any bytes, as `surrogateescape` decodes them."""

    point: str
    device: str
    filesystem: str
    # True for a root that reports the numbers of the file system below it, such as an overlay.
    is_on_another: bool = False
    # Mount points of the other data sets of the same ZFS pool. They share its space.
    data_sets: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """A line of /proc/self/mountinfo; see proc(5)."""

    id: str
    parent: str
    number: str  # of the device, as major:minor
    root: str
    mount: Mount
    keeps_data: bool


def read_mounts(mountinfo: str) -> list[Mount]:
    """Return one mount per file system, the one that shows the most of it, by mount point."""
    seen: set[str] = set()
    mounts: dict[str, Mount] = {}
    for line in sorted(_visible(list(_lines(mountinfo))), key=_preference):
        mount = line.mount
        # Subvolumes of one device can have device numbers of their own.
        names = {line.number, mount.device if "/" in mount.device else line.number}
        if not seen.isdisjoint(names):
            continue
        seen |= names
        pool = mount.device.partition("/")[0]
        name = f"zfs {pool}" if mount.filesystem == "zfs" else line.number
        if first := mounts.get(name):
            mount = dataclasses.replace(first, data_sets=(*first.data_sets, mount.point))
        mounts[name] = mount
    return sorted(mounts.values(), key=lambda mount: mount.point)


def _lines(mountinfo: str) -> Iterator[Line]:
    # Only \n ends a line, and only a space ends a field.
    for text in mountinfo.split("\n"):
        mounted, separator, source = text.partition(" - ")
        fields = mounted.split(" ")
        if not separator or len(fields) < 5:
            continue
        filesystem, _, rest = source.partition(" ")
        device = rest.partition(" ")[0]
        keeps_data = filesystem in WITHOUT_BLOCK_DEVICE or not fields[2].startswith("0:")
        # The root is always included: in containers and on small devices it can be an overlay, a
        # share of the host, or anything else.
        is_on_another = fields[4] == "/" and not keeps_data
        mount = Mount(_unescape(fields[4]), _unescape(device), filesystem, is_on_another)
        keeps_data = (keeps_data or is_on_another) and filesystem not in IMAGES
        yield Line(fields[0], fields[1], fields[2], fields[3], mount, keeps_data)


def _visible(lines: list[Line]) -> Iterator[Line]:
    """Yield mounts that keep data and can be reached: no other mount lies over their files.

    `lines` are in the order of mounting.
    """
    positions = {line.id: position for position, line in enumerate(lines)}
    hidden: dict[str, bool] = {}

    def is_hidden(line: Line) -> bool:
        if line.id not in hidden:
            hidden[line.id] = False  # the parent of the topmost mount can be itself
            later = lines[positions[line.id] + 1 :]
            parent = _below(line, lines, positions)
            hidden[line.id] = any(_covers(other, line) for other in later) or (
                parent is not None and is_hidden(parent)
            )
        return hidden[line.id]

    return (line for line in lines if line.keeps_data and not is_hidden(line))


def _below(line: Line, lines: list[Line], positions: dict[str, int]) -> Line | None:
    """Return the mount below `line` and below all other mounts on the same folder."""
    seen = {line.id}
    below = line
    while (position := positions.get(below.parent)) is not None and below.parent not in seen:
        below = lines[position]
        seen.add(below.id)
        if below.mount.point != line.mount.point:
            return below
    return None


def _covers(later: Line, line: Line) -> bool:
    if later.mount.point == line.mount.point:
        return True
    folder = later.mount.point.rstrip("/") + "/"
    return later.parent == line.parent and line.mount.point.startswith(folder)


def _preference(line: Line) -> tuple[bool, int]:
    """Return a sort key that puts whole devices before bind mounts, then short paths first."""
    return line.root != "/", len(line.mount.point)


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
