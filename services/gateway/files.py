"""Files of a server: what one answer of its agent is enough for."""

from typing import Annotated
from uuid import UUID

from litestar import Controller, delete, get, post
from litestar.params import FromPath, FromQuery, JSONBody, Parameter
from litestar.status_codes import HTTP_200_OK

from flotilla.v1.command_pb2 import CommandResponse, FileAction
from services.gateway.file_schemas import (
    FileArchive,
    FileChecksum,
    FileEntry,
    FileListing,
    FileMode,
    FileMove,
    FileOwner,
    FilePath,
    entry_of,
)
from services.gateway.guard import ACTION, AuthedRequest
from services.gateway.orders import order
from services.gateway.runtime import Runtime, UseRuntime
from services.gateway.transfers import AskedPath, vps_of
from services.kit.access import Action

TIMEOUT = 20.0  # seconds
# Of what goes through whole folders, or through all of a file.
LONG_TIMEOUT = 1800.0  # seconds

Version = Annotated[str, Parameter(max_length=64, description="It must still be of this version")]


class FileController(Controller):
    path = "/vps/{vps_id:uuid}/files"
    tags = ("Files",)

    @get(
        operation_id="listFiles",
        summary="What is in a folder, at most 5,000 entries",
        opt={ACTION: Action.FILES_READ},
    )
    async def list(
        self,
        request: AuthedRequest,
        vps_id: FromPath[UUID],
        runtime: UseRuntime,
        path: AskedPath,
    ) -> FileListing:
        action = FileAction(operation=FileAction.OPERATION_LIST, path=path)
        listing = (await _ask(request, runtime, vps_id, action)).listing
        entries = [entry_of(entry) for entry in listing.entries]
        return FileListing(listing.path, entries, listing.truncated)

    @get(
        "/stat",
        operation_id="statFile",
        summary="One entry; a link is not followed",
        opt={ACTION: Action.FILES_READ},
    )
    async def stat(
        self,
        request: AuthedRequest,
        vps_id: FromPath[UUID],
        runtime: UseRuntime,
        path: AskedPath,
    ) -> FileEntry:
        action = FileAction(operation=FileAction.OPERATION_STAT, path=path)
        return entry_of((await _ask(request, runtime, vps_id, action)).file)

    @get(
        "/checksum",
        operation_id="checksumFile",
        summary="A file's SHA-256",
        opt={ACTION: Action.FILES_READ},
    )
    async def checksum(
        self,
        request: AuthedRequest,
        vps_id: FromPath[UUID],
        runtime: UseRuntime,
        path: AskedPath,
    ) -> FileChecksum:
        action = FileAction(operation=FileAction.OPERATION_CHECKSUM, path=path)
        file = (await _ask(request, runtime, vps_id, action, LONG_TIMEOUT)).file
        return FileChecksum(file.sha256.hex(), file.size_bytes, file.version)

    @post(
        "/mkdir",
        operation_id="makeFolder",
        summary="Make a folder",
        status_code=HTTP_200_OK,
        opt={ACTION: Action.FILES_WRITE},
    )
    async def make_directory(
        self,
        request: AuthedRequest,
        vps_id: FromPath[UUID],
        data: JSONBody[FilePath],
        runtime: UseRuntime,
    ) -> FileEntry:
        action = FileAction(operation=FileAction.OPERATION_MAKE_DIRECTORY, path=data.path)
        return entry_of((await _ask(request, runtime, vps_id, action)).file)

    @post(
        "/rename",
        operation_id="renameFile",
        summary="Rename or move a file or folder",
        status_code=HTTP_200_OK,
        opt={ACTION: Action.FILES_WRITE},
    )
    async def rename(
        self,
        request: AuthedRequest,
        vps_id: FromPath[UUID],
        data: JSONBody[FileMove],
        runtime: UseRuntime,
    ) -> FileEntry:
        return await _move(request, runtime, vps_id, FileAction.OPERATION_RENAME, data)

    @post(
        "/copy",
        operation_id="copyFile",
        summary="Copy a file, or a folder with all in it",
        status_code=HTTP_200_OK,
        opt={ACTION: Action.FILES_WRITE},
    )
    async def copy(
        self,
        request: AuthedRequest,
        vps_id: FromPath[UUID],
        data: JSONBody[FileMove],
        runtime: UseRuntime,
    ) -> FileEntry:
        return await _move(request, runtime, vps_id, FileAction.OPERATION_COPY, data)

    @post(
        "/chmod",
        operation_id="changeFileMode",
        summary="Set permission bits, setuid and setgid too",
        status_code=HTTP_200_OK,
        opt={ACTION: Action.FILES_WRITE},
    )
    async def change_mode(
        self,
        request: AuthedRequest,
        vps_id: FromPath[UUID],
        data: JSONBody[FileMode],
        runtime: UseRuntime,
    ) -> FileEntry:
        action = FileAction(
            operation=FileAction.OPERATION_CHANGE_MODE,
            path=data.path,
            mode=data.mode,
            recursive=data.recursive,
        )
        return entry_of((await _ask(request, runtime, vps_id, action, LONG_TIMEOUT)).file)

    @post(
        "/chown",
        operation_id="changeFileOwner",
        summary="Set owner and group",
        status_code=HTTP_200_OK,
        opt={ACTION: Action.FILES_WRITE},
    )
    async def change_owner(
        self,
        request: AuthedRequest,
        vps_id: FromPath[UUID],
        data: JSONBody[FileOwner],
        runtime: UseRuntime,
    ) -> FileEntry:
        action = FileAction(
            operation=FileAction.OPERATION_CHANGE_OWNER,
            path=data.path,
            owner=data.owner,
            group=data.group,
            recursive=data.recursive,
        )
        return entry_of((await _ask(request, runtime, vps_id, action, LONG_TIMEOUT)).file)

    @post(
        "/archive",
        operation_id="archiveFiles",
        summary="Pack things of a folder into a .tar.gz on the server",
        status_code=HTTP_200_OK,
        opt={ACTION: Action.FILES_WRITE},
    )
    async def archive(
        self,
        request: AuthedRequest,
        vps_id: FromPath[UUID],
        data: JSONBody[FileArchive],
        runtime: UseRuntime,
    ) -> FileEntry:
        action = FileAction(
            operation=FileAction.OPERATION_ARCHIVE,
            path=data.path,
            names=data.names,
            destination=data.destination,
            overwrite=data.overwrite,
        )
        return entry_of((await _ask(request, runtime, vps_id, action, LONG_TIMEOUT)).file)

    @post(
        "/extract",
        operation_id="extractArchive",
        summary="Unpack a tar, tar.gz, tar.bz2, tar.xz or zip on the server",
        status_code=HTTP_200_OK,
        opt={ACTION: Action.FILES_WRITE},
    )
    async def extract(
        self,
        request: AuthedRequest,
        vps_id: FromPath[UUID],
        data: JSONBody[FileMove],
        runtime: UseRuntime,
    ) -> FileEntry:
        """Into a new folder, or into one that is there. Nothing, where any of it would escape."""
        return await _move(request, runtime, vps_id, FileAction.OPERATION_EXTRACT, data)

    @delete(
        operation_id="deleteFile",
        summary="Delete a file, or a folder",
        opt={ACTION: Action.FILES_WRITE},
    )
    async def delete(
        self,
        request: AuthedRequest,
        vps_id: FromPath[UUID],
        runtime: UseRuntime,
        *,
        path: AskedPath,
        recursive: FromQuery[bool] = False,
        version: Version = "",
    ) -> None:
        action = FileAction(
            operation=FileAction.OPERATION_DELETE, path=path, recursive=recursive, version=version
        )
        await _ask(request, runtime, vps_id, action, LONG_TIMEOUT if recursive else TIMEOUT)


async def _ask(
    request: AuthedRequest,
    runtime: Runtime,
    vps_id: UUID,
    action: FileAction,
    timeout: float = TIMEOUT,
) -> CommandResponse:
    vps = await vps_of(request, runtime, vps_id)
    return await order(request, runtime, vps, timeout=timeout, file=action)


async def _move(
    request: AuthedRequest,
    runtime: Runtime,
    vps_id: UUID,
    operation: FileAction.Operation.ValueType,
    data: FileMove,
) -> FileEntry:
    action = FileAction(
        operation=operation,
        path=data.path,
        destination=data.destination,
        overwrite=data.overwrite,
    )
    return entry_of((await _ask(request, runtime, vps_id, action, LONG_TIMEOUT)).file)
