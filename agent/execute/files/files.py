"""Files of this host, as far as its owner's policy goes."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from agent.execute import failure
from agent.execute.files import content, drafts, entries, moving, removing, rights
from agent.execute.files.tree import Root, Tree
from agent.execute.policy import Policy
from flotilla.v1.agent_pb2 import Powers
from flotilla.v1.command_pb2 import CommandResponse, FileAction, FileEntry

THREADS = 4
WAITING_LIMIT = 64  # actions under way and waiting for a thread
HOLE_PATIENCE = 5.0  # seconds for the bytes before these to arrive

OFF = (
    'files are off on this host; its owner enables them with files = "read" or files = "write"'
    " in the agent's policy.toml there"
)
READ_ONLY = (
    'files may only be read on this host; its owner allows changes with files = "write"'
    " in the agent's policy.toml there"
)

Work = Callable[[Tree, FileAction], CommandResponse]


class Files:
    """Carries out file actions. What blocks is done in a few threads."""

    def __init__(self, policy: Policy, forbidden: Sequence[Path]) -> None:
        self._policy = policy
        self._forbidden = forbidden
        self._roots = [Root.of(path) for path in policy.file_roots]
        self._threads = ThreadPoolExecutor(THREADS, "files")
        self._drafts: dict[str, _Turns] = {}
        self._stops: set[threading.Event] = set()

    async def run(self, action: FileAction) -> CommandResponse:
        """The response with its result alone.

        Raises:
            CommandFailedError: refused, or it did not succeed.
        """
        if self._policy.files == Powers.FILE_ACCESS_UNSPECIFIED:
            raise failure.forbidden(OFF)
        if action.operation == FileAction.OPERATION_WRITE:
            self._check_write()
            return await self._write(action)
        writes = self._policy.files == Powers.FILE_ACCESS_WRITE
        if action.operation == FileAction.OPERATION_LIST and writes:
            return await self._in_thread(_tidied_listing, action)
        if work := READING.get(action.operation):
            return await self._in_thread(work, action)
        if work := CHANGING.get(action.operation):
            self._check_write()
            return await self._in_thread(work, action)
        raise failure.invalid("this agent does not know this file operation")

    def close(self) -> None:
        """Have what is under way stop soon."""
        for stop in self._stops:
            stop.set()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _check_write(self) -> None:
        if self._policy.files != Powers.FILE_ACCESS_WRITE:
            raise failure.forbidden(READ_ONLY)

    async def _in_thread(self, work: Work, action: FileAction) -> CommandResponse:
        if len(self._stops) >= WAITING_LIMIT:
            raise failure.busy("too many file actions are under way there; try again soon")
        stop = threading.Event()

        def perform() -> CommandResponse:
            tree = Tree(self._roots, self._forbidden, stop)
            tree.go_on()
            try:
                return work(tree, action)
            except UnicodeError:
                raise failure.invalid("that host's locale has no such name") from None

        self._stops.add(stop)
        future = asyncio.get_running_loop().run_in_executor(self._threads, perform)
        try:
            return await future
        finally:
            # Of no effect but where the wait was cancelled.
            stop.set()
            self._stops.discard(stop)

    async def _write(self, action: FileAction) -> CommandResponse:
        """Pieces of one draft in turn; one that comes too early waits for those before it."""
        turns = self._drafts.setdefault(action.upload_id, _Turns())
        turns.users += 1
        try:
            async with turns.changed:
                response = await self._in_thread(_write, action)
                if response.received_bytes < action.offset:
                    try:
                        await asyncio.wait_for(turns.reached(action.offset), HOLE_PATIENCE)
                    except asyncio.TimeoutError:
                        return response
                    response = await self._in_thread(_write, action)
                turns.received = response.received_bytes
                turns.changed.notify_all()
                return response
        finally:
            turns.users -= 1
            if not turns.users:
                del self._drafts[action.upload_id]


class _Turns:
    def __init__(self) -> None:
        self.changed = asyncio.Condition()
        self.received = 0
        self.users = 0

    async def reached(self, offset: int) -> None:
        while self.received < offset:
            await self.changed.wait()


def _listing(tree: Tree, action: FileAction) -> CommandResponse:
    return CommandResponse(listing=entries.listing(tree, action.path))


def _tidied_listing(tree: Tree, action: FileAction) -> CommandResponse:
    """Drafts that were given up go when they are seen."""
    with tree.pinned(action.path) as folder:
        if folder.is_folder:
            drafts.remove_stale(tree, folder.descriptor)
    return _listing(tree, action)


def _chunk(tree: Tree, action: FileAction) -> CommandResponse:
    return CommandResponse(chunk=content.chunk(tree, action.path, action.offset, action.length))


def _write(tree: Tree, action: FileAction) -> CommandResponse:
    return CommandResponse(received_bytes=drafts.write(tree, action))


def _received(tree: Tree, action: FileAction) -> CommandResponse:
    return CommandResponse(received_bytes=drafts.received(tree, action))


def _abort(tree: Tree, action: FileAction) -> CommandResponse:
    drafts.abort(tree, action)
    return CommandResponse()


def _delete(tree: Tree, action: FileAction) -> CommandResponse:
    removing.delete(tree, action)
    return CommandResponse()


def _archive(tree: Tree, action: FileAction) -> CommandResponse:
    from agent.execute.files import packing  # noqa: PLC0415  # memory that only its users pay

    return CommandResponse(file=packing.archive(tree, action))


def _extract(tree: Tree, action: FileAction) -> CommandResponse:
    from agent.execute.files import unpacking  # noqa: PLC0415  # as packing

    return CommandResponse(file=unpacking.extract(tree, action))


def _entry_of(make: Callable[[Tree, FileAction], FileEntry]) -> Work:
    def work(tree: Tree, action: FileAction) -> CommandResponse:
        return CommandResponse(file=make(tree, action))

    return work


READING: dict[FileAction.Operation.ValueType, Work] = {
    FileAction.OPERATION_LIST: _listing,
    FileAction.OPERATION_STAT: _entry_of(lambda tree, action: entries.entry(tree, action.path)),
    FileAction.OPERATION_READ: _chunk,
    FileAction.OPERATION_CHECKSUM: _entry_of(
        lambda tree, action: content.checksum(tree, action.path)
    ),
}
CHANGING: dict[FileAction.Operation.ValueType, Work] = {
    FileAction.OPERATION_UPLOAD_STATE: _received,
    FileAction.OPERATION_COMMIT: _entry_of(drafts.commit),
    FileAction.OPERATION_ABORT: _abort,
    FileAction.OPERATION_MAKE_DIRECTORY: _entry_of(moving.make_directory),
    FileAction.OPERATION_RENAME: _entry_of(moving.rename),
    FileAction.OPERATION_COPY: _entry_of(moving.copy),
    FileAction.OPERATION_DELETE: _delete,
    FileAction.OPERATION_CHANGE_MODE: _entry_of(rights.change_mode),
    FileAction.OPERATION_CHANGE_OWNER: _entry_of(rights.change_owner),
    FileAction.OPERATION_ARCHIVE: _archive,
    FileAction.OPERATION_EXTRACT: _extract,
}
