"""File actions, as far as the policy of the host allows them."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from agent.commands.errors import busy, forbidden, invalid
from agent.commands.policy import Policy
from agent.files import delete, listing, move, partial_uploads, permissions, read
from agent.files.path_walk import Root
from agent.files.safe_path import SafeFileSystem
from flotilla.v1.agent_pb2 import Powers
from flotilla.v1.command_pb2 import CommandResponse, FileAction, FileEntry

THREADS = 4
# Actions that may take long do not keep the others waiting.
LONG_THREADS = 2
MAX_ACTIONS = 64  # in progress or waiting for a thread
GAP_TIMEOUT = 5.0  # seconds in which the chunks before a chunk should arrive

SWITCHED_OFF = (
    'Files are switched off on this server. Its owner can allow them with files = "read" or files ='
    ' "write" in the agent\'s policy.toml.'
)
READ_ONLY = (
    'Files can only be read on this server. Its owner can allow changes with files = "write" in the'
    " agent's policy.toml."
)

Work = Callable[[SafeFileSystem, FileAction], CommandResponse]


class Files:
    """Executes file actions; blocking work runs in a few threads."""

    def __init__(self, policy: Policy, protected: Sequence[Path]) -> None:
        self._policy = policy
        self._protected = protected
        self._roots = [Root.resolve(path) for path in policy.file_roots]
        self._threads = ThreadPoolExecutor(THREADS, "files")
        self._long_threads = ThreadPoolExecutor(LONG_THREADS, "long-files")
        self._uploads: dict[str, _ChunkOrder] = {}
        self._stops: set[threading.Event] = set()

    async def run(self, action: FileAction) -> CommandResponse:
        """Return a response that has only its result set.

        Raises:
            CommandFailedError: the action was refused or failed.
        """
        operation = action.operation
        if self._policy.files == Powers.FILE_ACCESS_UNSPECIFIED:
            raise forbidden(SWITCHED_OFF)
        can_write = self._policy.files == Powers.FILE_ACCESS_WRITE
        if not can_write and (operation in CHANGES or operation == FileAction.OPERATION_WRITE):
            raise forbidden(READ_ONLY)
        if operation == FileAction.OPERATION_WRITE:
            return await self._write(action)
        if operation == FileAction.OPERATION_LIST and can_write:
            return await self._in_thread(_tidy_and_list, action)
        work = READS.get(operation) or CHANGES.get(operation)
        if work is None:
            raise invalid(
                "The agent does not know this file operation. Update the agent if it is older than"
                " the console."
            )
        return await self._in_thread(work, action)

    def close(self) -> None:
        """Cancel the actions in progress."""
        for stop in self._stops:
            stop.set()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._long_threads.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, work: Work, action: FileAction) -> CommandResponse:
        if len(self._stops) >= MAX_ACTIONS:
            raise busy(
                f"{MAX_ACTIONS} file actions are in progress on this server, which is the limit."
                " Try again soon."
            )
        stop = threading.Event()

        def perform() -> CommandResponse:
            fs = SafeFileSystem(self._roots, self._protected, stop)
            fs.check_cancelled()
            try:
                return work(fs, action)
            except UnicodeError:
                raise invalid(
                    "The locale of the agent cannot represent this name. Start the agent with a"
                    " UTF-8 locale."
                ) from None

        self._stops.add(stop)
        threads = self._long_threads if action.operation in LONG else self._threads
        future = asyncio.get_running_loop().run_in_executor(threads, perform)
        try:
            return await future
        finally:
            # This stops the work if the wait for it was cancelled.
            stop.set()
            self._stops.discard(stop)

    async def _write(self, action: FileAction) -> CommandResponse:
        """Write the chunks of an upload one after another; a chunk waits for those before it."""
        order = self._uploads.setdefault(action.upload_id, _ChunkOrder())
        order.users += 1
        try:
            async with order.changed:
                response = await self._in_thread(_write_chunk, action)
                if response.received_bytes < action.offset:
                    try:
                        await asyncio.wait_for(order.wait_for(action.offset), GAP_TIMEOUT)
                    except asyncio.TimeoutError:
                        return response
                    response = await self._in_thread(_write_chunk, action)
                order.received = response.received_bytes
                order.changed.notify_all()
                return response
        finally:
            order.users -= 1
            if not order.users:
                del self._uploads[action.upload_id]


class _ChunkOrder:
    """The progress of one upload, for chunks that arrive too early."""

    def __init__(self) -> None:
        self.changed = asyncio.Condition()
        self.received = 0  # bytes
        self.users = 0

    async def wait_for(self, offset: int) -> None:
        """Wait until the upload has reached `offset`; the caller holds `changed`."""
        while self.received < offset:
            await self.changed.wait()


def _list(fs: SafeFileSystem, action: FileAction) -> CommandResponse:
    return CommandResponse(listing=listing.list_folder(fs, action.path))


def _tidy_and_list(fs: SafeFileSystem, action: FileAction) -> CommandResponse:
    """Remove abandoned uploads from a folder before it is listed."""
    with fs.resolve(action.path) as found:
        if found.is_folder:
            partial_uploads.remove_stale_parts(fs, found.descriptor)
    return _list(fs, action)


def _read_chunk(fs: SafeFileSystem, action: FileAction) -> CommandResponse:
    chunk = read.read_chunk(fs, action.path, action.offset, action.length, action.snapshot)
    return CommandResponse(chunk=chunk)


def _write_chunk(fs: SafeFileSystem, action: FileAction) -> CommandResponse:
    return CommandResponse(received_bytes=partial_uploads.write_chunk(fs, action))


def _received_bytes(fs: SafeFileSystem, action: FileAction) -> CommandResponse:
    return CommandResponse(received_bytes=partial_uploads.received_bytes(fs, action))


def _abort(fs: SafeFileSystem, action: FileAction) -> CommandResponse:
    partial_uploads.abort(fs, action)
    return CommandResponse()


def _delete(fs: SafeFileSystem, action: FileAction) -> CommandResponse:
    delete.delete(fs, action)
    return CommandResponse()


def _create_archive(fs: SafeFileSystem, action: FileAction) -> CommandResponse:
    from agent.files import archive_create  # noqa: PLC0415  # only when it is used

    return CommandResponse(file=archive_create.create_archive(fs, action))


def _extract_archive(fs: SafeFileSystem, action: FileAction) -> CommandResponse:
    from agent.files import archive_extract  # noqa: PLC0415  # only when it is used

    return CommandResponse(file=archive_extract.extract_archive(fs, action))


def _entry_of(work: Callable[[SafeFileSystem, FileAction], FileEntry]) -> Work:
    return lambda fs, action: CommandResponse(file=work(fs, action))


READS: dict[FileAction.Operation.ValueType, Work] = {
    FileAction.OPERATION_LIST: _list,
    FileAction.OPERATION_STAT: _entry_of(lambda fs, action: listing.stat_entry(fs, action.path)),
    FileAction.OPERATION_READ: _read_chunk,
    FileAction.OPERATION_CHECKSUM: _entry_of(lambda fs, action: read.checksum(fs, action.path)),
}
CHANGES: dict[FileAction.Operation.ValueType, Work] = {
    FileAction.OPERATION_UPLOAD_STATE: _received_bytes,
    FileAction.OPERATION_COMMIT: _entry_of(partial_uploads.commit),
    FileAction.OPERATION_ABORT: _abort,
    FileAction.OPERATION_MAKE_DIRECTORY: _entry_of(move.make_directory),
    FileAction.OPERATION_RENAME: _entry_of(move.rename),
    FileAction.OPERATION_COPY: _entry_of(move.copy),
    FileAction.OPERATION_DELETE: _delete,
    FileAction.OPERATION_CHANGE_MODE: _entry_of(permissions.change_mode),
    FileAction.OPERATION_CHANGE_OWNER: _entry_of(permissions.change_owner),
    FileAction.OPERATION_ARCHIVE: _create_archive,
    FileAction.OPERATION_EXTRACT: _extract_archive,
}
LONG = frozenset(
    (
        FileAction.OPERATION_CHECKSUM,
        FileAction.OPERATION_COPY,
        FileAction.OPERATION_ARCHIVE,
        FileAction.OPERATION_EXTRACT,
    )
)
