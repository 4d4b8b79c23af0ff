"""Uploads: a multipart form on one side, pieces on the other."""

import hashlib
import secrets
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from litestar import Controller, delete, get, post
from litestar.openapi.spec import (
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    RequestBody,
    Schema,
)
from litestar.params import FromPath, FromQuery, Parameter
from litestar.status_codes import HTTP_200_OK

from flotilla.v1.command_pb2 import CommandResponse, FileAction
from services.gateway import errors, forms, pieces
from services.gateway.file_schemas import Uploaded, UploadState, entry_of
from services.gateway.forms import FIELD
from services.gateway.guard import ACTION, AuthedRequest
from services.gateway.orders import order
from services.gateway.runtime import UseRuntime
from services.gateway.transfers import AskedPath, Transfer, draft, vps_of
from services.kit.access import Action
from services.kit.commands import CommandError, OfflineError

MAX_SIZE = 1 << 53  # bytes; what JavaScript counts exactly
TIMEOUT = 20.0  # seconds

Size = Annotated[int, Parameter(ge=0, le=MAX_SIZE)]
UploadName = Annotated[str, Parameter(pattern=r"^[0-9a-f]{32}$")]
Sha256 = Annotated[str, Parameter(pattern=r"^([0-9a-f]{64})?$")]


@dataclass
class _Form(Operation):
    """The body, which Litestar does not see, since it is not read whole."""

    def __post_init__(self) -> None:
        field = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)
        form = Schema(type=OpenAPIType.OBJECT, properties={FIELD: field}, required=[FIELD])
        self.request_body = RequestBody(
            content={"multipart/form-data": OpenAPIMediaType(schema=form)}, required=True
        )


class UploadController(Controller):
    path = "/vps/{vps_id:uuid}/files/upload"
    tags = ("Files",)

    @post(
        operation_id="uploadFile",
        summary="Upload a file or the rest of one, as `data` of a multipart form",
        status_code=HTTP_200_OK,
        request_max_body_size=None,
        operation_class=_Form,
        opt={ACTION: Action.FILES_WRITE},
    )
    async def upload(
        self,
        request: AuthedRequest,
        vps_id: FromPath[UUID],
        runtime: UseRuntime,
        *,
        path: AskedPath,
        size: Size,
        upload_id: FromQuery[UploadName | None] = None,
        offset: Size = 0,
        sha256: Sha256 = "",
        overwrite: FromQuery[bool] = False,
    ) -> Uploaded:
        """It is in its place when all `size` bytes are there, and not before.

        What has arrived is kept for a day, and another call goes on from there.
        """
        transfer = await Transfer.of(request, runtime, vps_id, "file.upload", path)
        wanted = _Wanted(upload_id or secrets.token_hex(16), offset, size, sha256)
        with transfer.told(), runtime.transfers.taken():
            await _check_begin(transfer, wanted, overwrite=overwrite)
            try:
                received, digest = await _receive(transfer, wanted)
            except OfflineError:
                raise _interrupted() from None
            entry = None
            if received == size:
                entry = await pieces.commit(
                    transfer.carrier,
                    path,
                    wanted.upload_id,
                    size,
                    sha256=bytes.fromhex(sha256) or digest,
                    overwrite=overwrite,
                )
        transfer.note(f"{received} of {size} bytes")
        if entry is None:
            return Uploaded(received, complete=False, sha256=None, entry=None)
        return Uploaded(received, complete=True, sha256=entry.sha256.hex(), entry=entry_of(entry))

    @get(
        operation_id="getUpload",
        summary="How much of an upload is there",
        opt={ACTION: Action.FILES_WRITE},
    )
    async def upload_state(
        self,
        request: AuthedRequest,
        vps_id: FromPath[UUID],
        runtime: UseRuntime,
        path: AskedPath,
        upload_id: UploadName,
    ) -> UploadState:
        action = draft(FileAction.OPERATION_UPLOAD_STATE, path, upload_id)
        vps = await vps_of(request, runtime, vps_id)
        response = await order(request, runtime, vps, timeout=TIMEOUT, repeated=True, file=action)
        return UploadState(response.received_bytes)

    @delete(
        operation_id="dropUpload",
        summary="Drop what of an upload is there",
        opt={ACTION: Action.FILES_WRITE},
    )
    async def drop_upload(
        self,
        request: AuthedRequest,
        vps_id: FromPath[UUID],
        runtime: UseRuntime,
        path: AskedPath,
        upload_id: UploadName,
    ) -> None:
        action = draft(FileAction.OPERATION_ABORT, path, upload_id)
        vps = await vps_of(request, runtime, vps_id)
        await order(request, runtime, vps, timeout=TIMEOUT, file=action)


@dataclass(frozen=True, slots=True)
class _Wanted:
    upload_id: str
    offset: int
    """Of the first byte that comes now."""
    size: int
    """Of the whole."""
    sha256: str


async def _check_begin(transfer: Transfer, wanted: _Wanted, *, overwrite: bool) -> None:
    """Tell what can be known before a byte is sent.

    Raises:
        RequestError, CommandError, OfflineError, TransientError.
    """
    state = draft(FileAction.OPERATION_UPLOAD_STATE, transfer.path, wanted.upload_id)
    received = (await transfer.carrier.ask(state)).received_bytes
    if not overwrite and await _is_there(transfer):
        raise errors.conflict("In conflict", f"{transfer.path} is there already.")
    if received < wanted.offset:
        raise errors.conflict(
            "Bytes are missing", f"{received} bytes are there: go on with the upload from there."
        )
    if received > wanted.size:
        raise errors.conflict(
            "In conflict", f"{received} bytes of this upload are there: begin a new one."
        )


async def _is_there(transfer: Transfer) -> bool:
    try:
        await transfer.carrier.ask(
            FileAction(operation=FileAction.OPERATION_STAT, path=transfer.path)
        )
    except CommandError as error:
        if error.failure == CommandResponse.FAILURE_NOT_FOUND:
            return False
        raise
    return True


async def _receive(transfer: Transfer, wanted: _Wanted) -> tuple[int, bytes]:
    """How many bytes are there then, and the SHA-256 of the whole where it came in one.

    Raises:
        RequestError, CommandError, OfflineError, TransientError.
    """
    request, path = transfer.request, transfer.path
    boundary = forms.boundary(request)
    left = wanted.size - wanted.offset
    announced = request.content_length
    if announced is not None and announced > left + forms.MAX_AROUND:
        raise _too_much(wanted)
    digest = None if wanted.sha256 or wanted.offset else hashlib.sha256()
    async with (
        pieces.Upload(transfer.carrier, path, wanted.upload_id, wanted.offset) as upload,
        aclosing(forms.file_of(request, boundary)) as blocks,
    ):
        try:
            async for block in blocks:
                if upload.taken + len(block) > wanted.size:
                    await transfer.drop(wanted.upload_id)
                    raise _too_much(wanted)
                if digest is not None:
                    digest.update(block)
                await upload.put(block)
        except forms.ClientGoneError:
            digest = None
        received = await upload.flush()
    return received, b"" if digest is None else digest.digest()


def _interrupted() -> errors.RequestError:
    return errors.conflict(
        "Offline", "The server went offline. What has arrived is kept: go on when it is back."
    )


def _too_much(wanted: _Wanted) -> errors.RequestError:
    return errors.RequestError(
        413, "Too large", f"More bytes came than the {wanted.size} that were announced."
    )
