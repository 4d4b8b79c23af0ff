"""Texts on a server, to edit."""

import hashlib
import secrets
from uuid import UUID

from litestar import Controller, get, put
from litestar.params import FromPath, JSONBody

from flotilla.v1.command_pb2 import FileAction
from services.gateway import errors, pieces
from services.gateway.file_schemas import FileContent, FileEdit, FileEntry, entry_of
from services.gateway.guard import ACTION, AuthedRequest
from services.gateway.runtime import UseRuntime
from services.gateway.transfers import AskedPath, Transfer, draft
from services.kit.access import Action

TEXT_LIMIT = 1024 * 1024  # bytes
MAX_BODY = 8 * 1024 * 1024  # bytes; in JSON a control character takes six


class TextController(Controller):
    path = "/vps/{vps_id:uuid}/files/content"
    tags = ("Files",)

    @get(
        operation_id="readFile",
        summary="A text of at most 1 MiB, to edit",
        opt={ACTION: Action.FILES_READ},
    )
    async def read(
        self,
        request: AuthedRequest,
        vps_id: FromPath[UUID],
        runtime: UseRuntime,
        path: AskedPath,
    ) -> FileContent:
        transfer = await Transfer.of(request, runtime, vps_id, "file.read", path)
        with transfer.told(), runtime.transfers.taken():
            first = await pieces.head(transfer.carrier, path)
            size, version = first.size_bytes, first.version
            if size > TEXT_LIMIT:
                raise errors.RequestError(
                    413, "Too large", f"It has {size} bytes; a text to edit has at most 1 MiB."
                )
            try:
                blocks = pieces.download(transfer.carrier, path, 0, size, version)
                content = b"".join([block async for block in blocks])
            except pieces.ChangedError:
                raise errors.conflict("In conflict", "It is changed just now. Try again.") from None
            try:
                text = content.decode()
            except UnicodeDecodeError:
                text = "\0"
            if "\0" in text:
                raise errors.invalid("It is no text. Download it instead.")
        transfer.note()
        return FileContent(path, text, version, size)

    @put(
        operation_id="writeFile",
        summary="Save a text, unless it was changed meanwhile",
        request_max_body_size=MAX_BODY,
        opt={ACTION: Action.FILES_WRITE},
    )
    async def write(
        self,
        request: AuthedRequest,
        vps_id: FromPath[UUID],
        data: JSONBody[FileEdit],
        runtime: UseRuntime,
        path: AskedPath,
    ) -> FileEntry:
        content = data.content.encode()
        if len(content) > TEXT_LIMIT:
            raise errors.RequestError(413, "Too large", "A text to edit has at most 1 MiB.")
        transfer = await Transfer.of(request, runtime, vps_id, "file.edit", path)
        name = secrets.token_hex(16)
        with transfer.told(), runtime.transfers.taken():
            # Says at once what no patience would change.
            await transfer.carrier.ask(draft(FileAction.OPERATION_UPLOAD_STATE, path, name))
            try:
                async with pieces.Upload(transfer.carrier, path, name, 0) as upload:
                    await upload.put(content)
                    await upload.flush()
                entry = await pieces.commit(
                    transfer.carrier,
                    path,
                    name,
                    len(content),
                    sha256=hashlib.sha256(content).digest(),
                    version=data.version or "",
                )
            except BaseException:
                await transfer.drop(name)
                raise
        transfer.note()
        return entry_of(entry)
