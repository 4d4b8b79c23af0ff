"""Files of a server: the actions that an agent answers in one message."""

from typing import Annotated

from litestar import Controller, delete, get, post
from litestar.params import FromQuery, JSONBody, Parameter
from litestar.status_codes import HTTP_200_OK

from flotilla.v1.command_pb2 import CommandResponse, FileAction
from services.gateway.accounts.authentication import AuthedRequest
from services.gateway.api.rules import ACTION
from services.gateway.files.schemas import (
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
from services.gateway.files.transfer import PathParameter
from services.gateway.servers.agent_calls import Agent, UseAgent
from services.kit.access import Action

TIMEOUT = 20.0  # seconds
LONG_TIMEOUT = 1800.0  # seconds, for actions that read a whole file or a tree of folders

Version = Annotated[str, Parameter(max_length=64, description="Version that the file must have")]


class FileController(Controller):
    path = "/vps/{vps_id:uuid}/files"
    tags = ("Files",)

    @get(
        operation_id="listFiles",
        summary="List a folder, at most 5,000 entries",
        opt={ACTION: Action.FILES_READ},
    )
    async def list(
        self,
        agent: UseAgent,
        path: PathParameter,
    ) -> FileListing:
        action = FileAction(operation=FileAction.OPERATION_LIST, path=path)
        listing = (await _call(agent, action)).listing
        entries = [entry_of(entry) for entry in listing.entries]
        return FileListing(listing.path, entries, listing.truncated)

    @get(
        "/stat",
        operation_id="statFile",
        summary="Get one entry; a symbolic link is not followed",
        opt={ACTION: Action.FILES_READ},
    )
    async def stat(
        self,
        agent: UseAgent,
        path: PathParameter,
    ) -> FileEntry:
        action = FileAction(operation=FileAction.OPERATION_STAT, path=path)
        return entry_of((await _call(agent, action)).file)

    @get(
        "/checksum",
        operation_id="checksumFile",
        summary="Get the SHA-256 of a file, as it is now",
        opt={ACTION: Action.FILES_READ},
    )
    async def checksum(
        self,
        agent: UseAgent,
        request: AuthedRequest,
        path: PathParameter,
    ) -> FileChecksum:
        action = FileAction(operation=FileAction.OPERATION_CHECKSUM, path=path)
        response = await agent.call_for_client(request.receive, timeout=LONG_TIMEOUT, file=action)
        file = response.file
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
        data: JSONBody[FilePath],
        agent: UseAgent,
    ) -> FileEntry:
        action = FileAction(operation=FileAction.OPERATION_MAKE_DIRECTORY, path=data.path)
        return entry_of((await _call(agent, action)).file)

    @post(
        "/rename",
        operation_id="renameFile",
        summary="Rename or move a file or folder",
        status_code=HTTP_200_OK,
        opt={ACTION: Action.FILES_WRITE},
    )
    async def rename(
        self,
        data: JSONBody[FileMove],
        agent: UseAgent,
    ) -> FileEntry:
        return await _move(agent, FileAction.OPERATION_RENAME, data)

    @post(
        "/copy",
        operation_id="copyFile",
        summary="Copy a file, or a folder and its contents",
        status_code=HTTP_200_OK,
        opt={ACTION: Action.FILES_WRITE},
    )
    async def copy(
        self,
        data: JSONBody[FileMove],
        agent: UseAgent,
    ) -> FileEntry:
        return await _move(agent, FileAction.OPERATION_COPY, data)

    @post(
        "/chmod",
        operation_id="changeFileMode",
        summary="Set permission bits, including setuid and setgid",
        status_code=HTTP_200_OK,
        opt={ACTION: Action.FILES_WRITE},
    )
    async def change_mode(
        self,
        data: JSONBody[FileMode],
        agent: UseAgent,
    ) -> FileEntry:
        action = FileAction(
            operation=FileAction.OPERATION_CHANGE_MODE,
            path=data.path,
            mode=data.mode,
            recursive=data.recursive,
        )
        return entry_of((await _call(agent, action, LONG_TIMEOUT)).file)

    @post(
        "/chown",
        operation_id="changeFileOwner",
        summary="Set owner and group",
        status_code=HTTP_200_OK,
        opt={ACTION: Action.FILES_WRITE},
    )
    async def change_owner(
        self,
        data: JSONBody[FileOwner],
        agent: UseAgent,
    ) -> FileEntry:
        action = FileAction(
            operation=FileAction.OPERATION_CHANGE_OWNER,
            path=data.path,
            owner=data.owner,
            group=data.group,
            recursive=data.recursive,
        )
        return entry_of((await _call(agent, action, LONG_TIMEOUT)).file)

    @post(
        "/archive",
        operation_id="archiveFiles",
        summary="Pack entries of a folder into a .tar.gz on the server",
        status_code=HTTP_200_OK,
        opt={ACTION: Action.FILES_WRITE},
    )
    async def archive(
        self,
        data: JSONBody[FileArchive],
        agent: UseAgent,
    ) -> FileEntry:
        action = FileAction(
            operation=FileAction.OPERATION_ARCHIVE,
            path=data.path,
            names=data.names,
            destination=data.destination,
            overwrite=data.overwrite,
        )
        return entry_of((await _call(agent, action, LONG_TIMEOUT)).file)

    @post(
        "/extract",
        operation_id="extractArchive",
        summary="Unpack a tar, tar.gz, tar.bz2, tar.xz or zip archive on the server",
        status_code=HTTP_200_OK,
        opt={ACTION: Action.FILES_WRITE},
    )
    async def extract(
        self,
        data: JSONBody[FileMove],
        agent: UseAgent,
    ) -> FileEntry:
        """Unpack into a new or an existing folder.

        Nothing is unpacked if the path of any entry leads out of that folder.
        """
        return await _move(agent, FileAction.OPERATION_EXTRACT, data)

    @delete(
        operation_id="deleteFile",
        summary="Delete a file or a folder",
        opt={ACTION: Action.FILES_WRITE},
    )
    async def delete(
        self,
        agent: UseAgent,
        *,
        path: PathParameter,
        recursive: FromQuery[bool] = False,
        version: Version = "",
    ) -> None:
        action = FileAction(
            operation=FileAction.OPERATION_DELETE, path=path, recursive=recursive, version=version
        )
        await _call(agent, action, LONG_TIMEOUT if recursive else TIMEOUT)


async def _call(agent: Agent, action: FileAction, timeout: float = TIMEOUT) -> CommandResponse:
    return await agent.call(timeout=timeout, file=action)


async def _move(
    agent: Agent, operation: FileAction.Operation.ValueType, data: FileMove
) -> FileEntry:
    action = FileAction(
        operation=operation,
        path=data.path,
        destination=data.destination,
        overwrite=data.overwrite,
    )
    return entry_of((await _call(agent, action, LONG_TIMEOUT)).file)
