"""Uploads: a multipart form or a raw body is sent to the agent in chunks."""

import hashlib
import secrets
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Annotated

from litestar import Controller, delete, get, post, put
from litestar.openapi.spec import (
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    RequestBody,
    Schema,
)
from litestar.params import FromQuery, Parameter
from litestar.status_codes import HTTP_200_OK

from flotilla.v1.command_pb2 import CommandResponse, FileAction
from services.gateway.accounts.authentication import AuthedRequest
from services.gateway.api import errors
from services.gateway.api.problem_types import ProblemType
from services.gateway.api.rules import ACTION, LONG
from services.gateway.files import chunks, multipart
from services.gateway.files.multipart import FIELD
from services.gateway.files.schemas import Uploaded, UploadState, entry_of
from services.gateway.files.transfer import PathParameter, Transfer, partial_upload_action
from services.gateway.servers.agent_calls import UseAgent
from services.kit.access import Action
from services.kit.agents.commands import CommandError, OfflineError

MAX_SIZE = 1 << 53  # bytes; JavaScript has no exact larger integers
TIMEOUT = 20.0  # seconds
UPLOAD_ID = r"^[0-9a-f]{32}$"
OCTETS = "application/octet-stream"

Size = Annotated[int, Parameter(ge=0, le=MAX_SIZE)]
WholeSize = Annotated[
    int | None,
    Parameter(
        ge=0,
        le=MAX_SIZE,
        description="Size of the whole file in bytes; by default the bytes that arrive",
    ),
]
UploadId = Annotated[str, Parameter(pattern=UPLOAD_ID)]
# Not `UploadId | None`: Litestar ignores the constraints of a union's members.
OptionalUploadId = Annotated[str | None, Parameter(pattern=UPLOAD_ID)]
Sha256 = Annotated[str, Parameter(pattern=r"^([0-9a-f]{64})?$")]


@dataclass
class _FormOperation(Operation):
    """Describes the multipart body in the OpenAPI document; Litestar does not parse that body."""

    def __post_init__(self) -> None:
        field = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)
        form = Schema(type=OpenAPIType.OBJECT, properties={FIELD: field}, required=[FIELD])
        self.request_body = RequestBody(
            content={"multipart/form-data": OpenAPIMediaType(schema=form)}, required=True
        )


@dataclass
class _RawOperation(Operation):
    """Describes the raw body in the OpenAPI document; Litestar does not parse that body."""

    def __post_init__(self) -> None:
        file = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)
        self.request_body = RequestBody(
            content={OCTETS: OpenAPIMediaType(schema=file)}, required=True
        )


class UploadController(Controller):
    path = "/vps/{vps_id:uuid}/files/upload"
    tags = ("Files",)

    @post(
        operation_id="uploadFile",
        summary="Upload a file, or the rest of one, as the field `data` of a multipart form",
        status_code=HTTP_200_OK,
        request_max_body_size=None,
        operation_class=_FormOperation,
        opt={ACTION: Action.FILES_WRITE, LONG: True},
    )
    async def upload(
        self,
        request: AuthedRequest,
        agent: UseAgent,
        *,
        path: PathParameter,
        size: WholeSize = None,
        upload_id: OptionalUploadId = None,
        offset: Size = 0,
        sha256: Sha256 = "",
        overwrite: FromQuery[bool] = False,
    ) -> Uploaded:
        """The file appears at `path` once all of its bytes have arrived.

        With an `upload_id`, the server keeps an incomplete upload for a day. Another request with
        the same `upload_id` continues it at `offset`.
        """
        transfer = Transfer(agent, "file.upload", path)
        announced = _Announced(
            upload_id=upload_id or secrets.token_hex(16),
            can_be_continued=upload_id is not None,
            offset=offset,
            size=size,
            sha256=sha256,
            overwrite=overwrite,
            content_length=request.content_length,
        )
        with transfer.failures(), agent.context.transfers.slot(agent.user_id):
            return await _upload(transfer, announced, multipart.file_of(request))

    @put(
        operation_id="putFile",
        summary="Upload a whole file as the body of the request",
        request_max_body_size=None,
        operation_class=_RawOperation,
        opt={ACTION: Action.FILES_WRITE, LONG: True},
    )
    async def put(
        self,
        request: AuthedRequest,
        agent: UseAgent,
        *,
        path: PathParameter,
        sha256: Sha256 = "",
        overwrite: FromQuery[bool] = False,
    ) -> Uploaded:
        """The file appears at `path` once the whole body has arrived."""
        transfer = Transfer(agent, "file.upload", path)
        with transfer.failures(), agent.context.transfers.slot(agent.user_id):
            if request.headers.get("content-type", "").startswith("multipart/"):
                raise errors.RequestError(
                    ProblemType.UNSUPPORTED_MEDIA_TYPE,
                    "The body of PUT must be the file itself, and this one is a form."
                    " Send a form with POST.",
                )
            size = request.content_length
            if size is not None and size > MAX_SIZE:
                raise _too_large(MAX_SIZE)
            announced = _Announced(
                upload_id=secrets.token_hex(16),
                can_be_continued=False,
                offset=0,
                size=size,
                sha256=sha256,
                overwrite=overwrite,
                content_length=size,
            )
            return await _upload(transfer, announced, multipart.body(request))

    @get(
        operation_id="getUpload",
        summary="Get the number of bytes of an upload that have arrived",
        opt={ACTION: Action.FILES_WRITE},
    )
    async def upload_state(
        self,
        agent: UseAgent,
        path: PathParameter,
        upload_id: UploadId,
    ) -> UploadState:
        action = partial_upload_action(FileAction.OPERATION_UPLOAD_STATE, path, upload_id)
        response = await agent.call(timeout=TIMEOUT, repeated=True, file=action)
        return UploadState(response.received_bytes)

    @delete(
        operation_id="dropUpload",
        summary="Delete an incomplete upload",
        opt={ACTION: Action.FILES_WRITE},
    )
    async def drop_upload(
        self,
        agent: UseAgent,
        path: PathParameter,
        upload_id: UploadId,
    ) -> None:
        action = partial_upload_action(FileAction.OPERATION_ABORT, path, upload_id)
        await agent.call(timeout=TIMEOUT, file=action)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Announced:
    """An upload, as its client announced it."""

    upload_id: str
    can_be_continued: bool
    offset: int
    """Offset in the file of the first byte of this request."""
    size: int | None
    """Bytes of the whole file; None for the bytes that arrive."""
    sha256: str
    overwrite: bool
    content_length: int | None
    """Bytes of this request's body, which has more than the file if it is a form."""

    @property
    def limit(self) -> int:
        """Return the largest size, in bytes, that the file may have."""
        return MAX_SIZE if self.size is None else self.size


@dataclass(frozen=True, slots=True)
class _Received:
    size: int
    """Bytes of the file that the agent has."""
    is_complete: bool
    """The client sent its body to the end."""
    digest: bytes
    """SHA-256 of the file; empty if the client sent it, or if the body is not the whole file."""


async def _upload(
    transfer: Transfer, announced: _Announced, blocks: AsyncGenerator[bytes, None]
) -> Uploaded:
    """Receive the file, and move it to its path when it is complete.

    Raises:
        RequestError, CommandError, OfflineError, TransientError.
    """
    entry = None
    try:
        await _check_start(transfer, announced)
        try:
            received = await _receive(transfer, announced, blocks)
        except OfflineError:
            raise _interrupted(announced) from None
        size = announced.size
        if size is None and received.is_complete:
            size = received.size
        if received.is_complete and received.size != size and not announced.can_be_continued:
            raise errors.invalid(
                f"The body ended after {received.size} bytes, but `size` is {size}, so nothing was"
                " stored. Send the right size, or an `upload_id` to continue the upload later.",
                "size",
            )
        if received.size == size:
            await transfer.begin(f"{size} bytes")
            entry = await chunks.commit(
                transfer.caller,
                transfer.path,
                announced.upload_id,
                size,
                sha256=bytes.fromhex(announced.sha256) or received.digest,
                overwrite=announced.overwrite,
            )
    finally:
        await blocks.aclose()
        if entry is None and not announced.can_be_continued:
            await transfer.drop(announced.upload_id)
    if entry is None:
        total = "an unknown number of" if size is None else size
        transfer.record(f"{received.size} of {total} bytes")
        return Uploaded(received.size, complete=False, sha256=None, entry=None)
    return Uploaded(received.size, complete=True, sha256=entry.sha256.hex(), entry=entry_of(entry))


async def _check_start(transfer: Transfer, announced: _Announced) -> None:
    """Check what can be checked before the body is read.

    Raises:
        RequestError, CommandError, OfflineError, TransientError.
    """
    length = announced.content_length
    most = announced.limit - announced.offset + multipart.MAX_OVERHEAD
    if length is not None and length > most:
        raise _too_large(announced.limit)
    state = partial_upload_action(
        FileAction.OPERATION_UPLOAD_STATE, transfer.path, announced.upload_id
    )
    received = (await transfer.caller.call(state)).received_bytes
    if not announced.overwrite and await _exists(transfer):
        raise errors.RequestError(
            ProblemType.ALREADY_EXISTS,
            f"{transfer.path} exists already. Choose another path, or send `overwrite=true`.",
        )
    if received < announced.offset:
        raise errors.RequestError(
            ProblemType.UPLOAD_BYTES_MISSING,
            f"Only {received} bytes have arrived. Continue the upload from there.",
        )
    if received > announced.limit:
        raise errors.RequestError(
            ProblemType.UPLOAD_TOO_LONG,
            f"{received} bytes of this upload have arrived, which is more than `size`."
            " Start a new upload.",
        )


async def _exists(transfer: Transfer) -> bool:
    try:
        await transfer.caller.call(
            FileAction(operation=FileAction.OPERATION_STAT, path=transfer.path)
        )
    except CommandError as error:
        if error.failure == CommandResponse.FAILURE_NOT_FOUND:
            return False
        raise
    return True


async def _receive(
    transfer: Transfer, announced: _Announced, blocks: AsyncGenerator[bytes, None]
) -> _Received:
    """Send the file to the agent as it arrives.

    Raises:
        RequestError, CommandError, OfflineError, TransientError.
    """
    digest = None if announced.sha256 or announced.offset else hashlib.sha256()
    ended = True
    async with chunks.Upload(
        transfer.caller, transfer.path, announced.upload_id, announced.offset
    ) as upload:
        try:
            async for block in blocks:
                if upload.next_offset + len(block) > announced.limit:
                    await transfer.drop(announced.upload_id)
                    raise _too_large(announced.limit)
                if digest is not None:
                    digest.update(block)
                await upload.write(block)
        except multipart.ClientGoneError:
            digest, ended = None, False
        received = await upload.flush()
    return _Received(received, ended, b"" if digest is None else digest.digest())


def _interrupted(announced: _Announced) -> errors.RequestError:
    advice = (
        "Continue the upload when the server is online again."
        if announced.can_be_continued
        else "Upload the file again when the server is online again."
    )
    return errors.RequestError(ProblemType.AGENT_OFFLINE, f"The server went offline. {advice}")


def _too_large(limit: int) -> errors.RequestError:
    return errors.RequestError(
        ProblemType.PAYLOAD_TOO_LARGE,
        f"The upload has more than {limit} bytes. Send the correct `size`, or a smaller file.",
    )
