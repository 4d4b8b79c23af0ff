"""What is in a file."""

import hashlib
import os
import time

from agent.execute import failure
from agent.execute.files.entries import describe, last_name, version
from agent.execute.files.reasons import explained
from agent.execute.files.tree import Tree
from flotilla.v1.command_pb2 import FileChunk, FileEntry

CHUNK = 256 * 1024  # bytes
BLOCK = 256 * 1024  # bytes; the digest of one of them holds up all threads
ATTEMPTS = 5  # to meet a file that is written to at rest
# Changes closer to each other may have the same time stamp: the kernel's clock for it ticks
# a hundred times a second at the slowest.
TICK = 11_000_000  # ns
FARTHEST = 1 << 62  # no file ends beyond, and the kernel takes no larger offset


def chunk(tree: Tree, path: str, offset: int, length: int) -> FileChunk:
    """At most `CHUNK` bytes of one version; without a length, its size and version alone."""
    with tree.opened_file(path) as descriptor, explained(path):
        for _ in range(ATTEMPTS):
            before = _settled(descriptor, path)
            data = os.pread(descriptor, min(length, CHUNK), min(offset, FARTHEST))
            if version(os.fstat(descriptor)) == version(before):
                return FileChunk(
                    offset=offset, data=data, size_bytes=before.st_size, version=version(before)
                )
    raise _changing(path)


def checksum(tree: Tree, path: str) -> FileEntry:
    with tree.opened_file(path) as descriptor, explained(path):
        before = _settled(descriptor, path)
        digest = sha256(tree, descriptor)
        after = os.fstat(descriptor)
        if version(before) != version(after):
            raise _changing(path)
        described = describe("", after)
        described.name, described.sha256 = last_name(path), digest
        return described


def sha256(tree: Tree, descriptor: int) -> bytes:
    digest = hashlib.sha256()
    offset = 0
    while block := os.pread(descriptor, BLOCK, offset):
        tree.go_on()
        digest.update(block)
        offset += len(block)
    return digest.digest()


def _settled(descriptor: int, path: str) -> os.stat_result:
    """Of a file whose next change is bound to show.

    Raises:
        CommandFailedError: it is changed all the time.
    """
    for _ in range(ATTEMPTS):
        status = os.fstat(descriptor)
        if not 0 <= time.time_ns() - status.st_ctime_ns < TICK:
            return status
        time.sleep(TICK / 1e9)
    raise _changing(path)


def _changing(path: str) -> failure.CommandFailedError:
    return failure.conflict(f"{path} is being changed just now; try again")
