"""The agent on a full disk.

The spool leaves some space to the host. If less is free, `SpoolDatabase` stores no new measurements,
and `SpoolThread` logs that. Measurements then stay in memory. If memory has no room for them either,
`Delivery` reports them as lost. If the disk is completely full, SQLite fails, and
`base/sqlite_file.py` raises `StorageFullError`. The command history keeps its entries in memory,
so commands still run. File actions answer with `DISK_FULL` of `files/os_errors.py`.
"""

import os
from pathlib import Path

# Space that is left to the host: this share of the disk, but at most this number of bytes.
SPARE_SHARE, SPARE_BYTES = 0.05, 100_000_000


def is_short_of_space(folder: Path) -> bool:
    """Tell whether the disk of this folder has less free space than the host needs."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return True
    spare = min(disk.f_blocks * disk.f_frsize * SPARE_SHARE, SPARE_BYTES)
    return disk.f_bavail * disk.f_frsize < spare
