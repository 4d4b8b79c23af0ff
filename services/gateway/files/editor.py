"""Reading and saving text files for the editor."""

import hashlib
import secrets

from litestar import Controller, get, put
from litestar.params import JSONBody

from flotilla.v1.command_pb2 import FileAction
from services.gateway.api import errors
from services.gateway.api.problem_types import ProblemType
from services.gateway.api.rules import ACTION
from services.gateway.files import chunks
from services.gateway.files.schemas import FileContent, FileEdit, FileEntry, entry_of
from services.gateway.files.transfer import PathParameter, Transfer, partial_upload_action
from services.gateway.servers.agent_calls import UseAgent
from services.kit.access import Action

MAX_TEXT = 1024 * 1024  # bytes
MAX_BODY = 8 * 1024 * 1024  # bytes; JSON encodes a control character in six bytes


class EditorController(Controller):
    path = "/vps/{vps_id:uuid}/files/content"
    tags = ("Files",)

    @get(
        operation_id="readFile",
        summary="Read a UTF-8 text file of at most 1 MiB",
        opt={ACTION: Action.FILES_READ},
    )
    async def read(
        self,
        agent: UseAgent,
        path: PathParameter,
    ) -> FileContent:
        transfer = Transfer(agent, "file.read", path)
        with transfer.failures(), agent.context.transfers.slot(agent.user_id):
            first = await chunks.head(transfer.caller, path)
            size, version = first.size_bytes, first.version
            if size > MAX_TEXT:
                raise errors.RequestError(
                    ProblemType.FILE_TOO_LARGE_TO_EDIT,
                    f"The file has {size} bytes; the editor opens at most {MAX_TEXT}. Download it.",
                )
            try:
                blocks = chunks.download(transfer.caller, path, start=0, end=size, first=first)
                content = b"".join([block async for block in blocks])
            except chunks.ChangedError:
                raise errors.RequestError(
                    ProblemType.FILE_CHANGED, "The file changed while it was read. Try again."
                ) from None
            try:
                text = content.decode()
            except UnicodeDecodeError:
                text = "\0"
            if "\0" in text:
                raise errors.RequestError(
                    ProblemType.FILE_NOT_TEXT, "The file is not UTF-8 text. Download it."
                )
        transfer.record()
        return FileContent(path, text, version, size)

    @put(
        operation_id="writeFile",
        summary="Save a text file, unless it changed since it was read",
        request_max_body_size=MAX_BODY,
        opt={ACTION: Action.FILES_WRITE},
    )
    async def write(
        self,
        data: JSONBody[FileEdit],
        agent: UseAgent,
        path: PathParameter,
    ) -> FileEntry:
        content = data.content.encode()
        if len(content) > MAX_TEXT:
            raise errors.RequestError(
                ProblemType.FILE_TOO_LARGE_TO_EDIT,
                f"`content` has {len(content)} bytes; the editor saves at most {MAX_TEXT}."
                " Upload the file.",
                fields=("content",),
            )
        transfer = Transfer(agent, "file.edit", path)
        upload_id = secrets.token_hex(16)
        with transfer.failures(), agent.context.transfers.slot(agent.user_id):
            # Fails at once if the agent refuses, before the repeats of a chunk begin.
            await transfer.caller.call(
                partial_upload_action(FileAction.OPERATION_UPLOAD_STATE, path, upload_id)
            )
            try:
                async with chunks.Upload(transfer.caller, path, upload_id, 0) as upload:
                    await upload.write(content)
                    await upload.flush()
                await transfer.begin()
                entry = await chunks.commit(
                    transfer.caller,
                    path,
                    upload_id,
                    len(content),
                    sha256=hashlib.sha256(content).digest(),
                    version=data.version or "",
                )
            except BaseException:
                await transfer.drop(upload_id)
                raise
        return entry_of(entry)
