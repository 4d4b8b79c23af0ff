"""Content and checksum of a file."""

import hashlib
import os
import time
from dataclasses import dataclass

from agent.commands.errors import CommandFailedError, conflict
from agent.files.listing import file_version, make_entry
from agent.files.names import last_name
from agent.files.os_errors import translate_os_errors
from agent.files.safe_path import SafeFileSystem
from flotilla.v1.command_pb2 import FileChunk, FileEntry

CHUNK = 256 * 1024  # bytes
BLOCK = 256 * 1024  # bytes; hashing one block blocks all threads
ATTEMPTS = 5  # to read a file that is being written
# Two changes within this time may get the same time stamp, because the kernel updates the clock of
# time stamps only about a hundred times per second.
TIMESTAMP_STEP = 11_000_000  # ns
TAIL = 4096  # bytes that are compared to find out whether a file was rewritten
MAX_OFFSET = 1 << 62  # larger than any file, and within the kernel's limit


@dataclass(frozen=True)
class Snapshot:
    """A file at one moment. If the file has only grown since, the snapshot is still valid."""

    version: str
    device: int
    inode: int
    size: int  # bytes
    tail: bytes
    """Hash of the last bytes before `size`."""

    @classmethod
    def take(cls, descriptor: int, status: os.stat_result) -> "Snapshot":
        return cls(
            file_version(status),
            status.st_dev,
            status.st_ino,
            status.st_size,
            _tail(descriptor, status.st_size),
        )

    @classmethod
    def parse(cls, data: bytes) -> "Snapshot | None":
        """Return the snapshot of an earlier chunk; None if it is not one."""
        try:
            version, device, inode, size, tail = data.decode().split()
            return cls(version, int(device), int(inode), int(size), bytes.fromhex(tail))
        except ValueError:
            return None

    def serialise(self) -> bytes:
        parts = (self.version, self.device, self.inode, self.size, self.tail.hex())
        return " ".join(map(str, parts)).encode()

    def still_holds(self, descriptor: int) -> bool:
        """Return True if the file is unchanged, or has grown and has the same bytes before."""
        status = os.fstat(descriptor)
        if file_version(status) == self.version:
            return True
        is_grown = (status.st_dev, status.st_ino) == (self.device, self.inode) and (
            status.st_size > self.size
        )
        return is_grown and _tail(descriptor, self.size) == self.tail


def _tail(descriptor: int, size: int) -> bytes:
    start = max(size - TAIL, 0)
    return hashlib.blake2b(os.pread(descriptor, size - start, start), digest_size=12).digest()


def read_chunk(
    fs: SafeFileSystem, path: str, offset: int, length: int, snapshot: bytes = b""
) -> FileChunk:
    """Return at most `CHUNK` bytes of one version of a file.

    A length of 0 returns only its size, version and snapshot. A file that has only grown since
    `snapshot` is read as it was then.
    """
    with fs.open_file(path) as descriptor, translate_os_errors(path):
        earlier = Snapshot.parse(snapshot)
        for _ in range(ATTEMPTS):
            if earlier is None or not earlier.still_holds(descriptor):
                earlier = Snapshot.take(descriptor, _settled_status(descriptor, path))
            left = max(earlier.size - offset, 0)
            data = os.pread(descriptor, min(length, CHUNK, left), min(offset, MAX_OFFSET))
            if earlier.still_holds(descriptor):
                return FileChunk(
                    offset=offset,
                    data=data,
                    size_bytes=earlier.size,
                    version=earlier.version,
                    snapshot=earlier.serialise(),
                )
    raise _being_changed(path)


def checksum(fs: SafeFileSystem, path: str) -> FileEntry:
    """Return the file with its checksum, as it was when the checksum began."""
    with fs.open_file(path) as descriptor, translate_os_errors(path):
        before = _settled_status(descriptor, path)
        snapshot = Snapshot.take(descriptor, before)
        digest = sha256(fs, descriptor, snapshot.size)
        if not snapshot.still_holds(descriptor):
            raise _being_changed(path)
    entry = make_entry("", before)
    entry.name, entry.sha256 = last_name(path), digest
    return entry


def sha256(fs: SafeFileSystem, descriptor: int, size: int = MAX_OFFSET) -> bytes:
    """Hash at most `size` bytes from the start of the file."""
    digest = hashlib.sha256()
    offset = 0
    while block := os.pread(descriptor, min(BLOCK, size - offset), offset):
        fs.check_cancelled()
        digest.update(block)
        offset += len(block)
    return digest.digest()


def _settled_status(descriptor: int, path: str) -> os.stat_result:
    """Return a status that is old enough for the next change to get another time stamp.

    A file that grows all the time needs no such time: its growth shows in its size.

    Raises:
        CommandFailedError: the file is being changed all the time.
    """
    first = os.fstat(descriptor)
    for _ in range(ATTEMPTS):
        status = os.fstat(descriptor)
        if not 0 <= time.time_ns() - status.st_ctime_ns < TIMESTAMP_STEP:
            return status
        time.sleep(TIMESTAMP_STEP / 1e9)
    last = os.fstat(descriptor)
    if last.st_size > first.st_size:
        return last
    raise _being_changed(path)


def _being_changed(path: str) -> CommandFailedError:
    return conflict(f"{path} is being changed by another program. Try again.")
