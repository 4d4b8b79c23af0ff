"""Downloads: pieces on one side, an answer with ranges on the other."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated
from uuid import UUID

import structlog
from litestar import Controller, Response, get, head, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, JSONBody, Parameter
from litestar.status_codes import HTTP_200_OK, HTTP_206_PARTIAL_CONTENT
from litestar.types import ASGIApp, Receive, Scope, Send

from services.gateway import pieces, ranges
from services.gateway.credentials import hash_secret, new_secret
from services.gateway.file_schemas import DownloadTicket, FilePath
from services.gateway.guard import ACTION, TICKET, AuthedRequest, Connection
from services.gateway.runtime import UseRuntime
from services.gateway.store import accounts
from services.gateway.transfers import AskedPath, Transfer, vps_of
from services.kit import database
from services.kit.access import Action
from services.kit.commands import CommandError, OfflineError
from services.kit.errors import PoisonError, TransientError

log = structlog.get_logger(__name__)

TICKET_LIFETIME = timedelta(minutes=10)
SEND_TIMEOUT = 60.0  # seconds in which a client has to take some of it
OCTETS = "application/octet-stream"
WHOLE = ResponseSpec(bytes, description="The file", media_type=OCTETS, generate_examples=False)
PART = ResponseSpec(
    bytes, description="What `Range` asked for", media_type=OCTETS, generate_examples=False
)


def download_resource(connection: Connection) -> str:
    """What a ticket in a download's address has to be for."""
    return _resource(connection.path_params["vps_id"], connection.query_params.get("path", ""))


def _resource(vps_id: object, path: str) -> str:
    return f"vps/{vps_id}/files/download?path={path}"


class DownloadController(Controller):
    path = "/vps/{vps_id:uuid}/files"
    tags = ("Files",)

    @post(
        "/download-tickets",
        operation_id="createDownloadTicket",
        summary="A ticket with which a browser downloads one file, for ten minutes",
        opt={ACTION: Action.FILES_READ},
    )
    async def create_ticket(
        self,
        request: AuthedRequest,
        vps_id: FromPath[UUID],
        data: JSONBody[FilePath],
        runtime: UseRuntime,
    ) -> DownloadTicket:
        await vps_of(request, runtime, vps_id)
        secret = new_secret()
        async with database.transaction(runtime.pool) as connection:
            expires_at = await accounts.insert_ticket(
                connection,
                secret_hash=hash_secret(secret),
                user_id=request.user.id,
                session_id=request.user.session_id,
                resource=_resource(vps_id, data.path),
                lifetime=TICKET_LIFETIME,
            )
        return DownloadTicket(secret, expires_at)

    @get(
        "/download",
        operation_id="downloadFile",
        summary="A file, or a part of it",
        description="Needs no token where the address has a `ticket`.",
        responses={HTTP_200_OK: WHOLE, HTTP_206_PARTIAL_CONTENT: PART},
        opt={ACTION: Action.FILES_READ, TICKET: download_resource},
    )
    async def download(
        self,
        request: AuthedRequest,
        vps_id: FromPath[UUID],
        runtime: UseRuntime,
        path: AskedPath,
        ticket: Annotated[str, Parameter(max_length=100)] = "",  # noqa: ARG002  the guard's
    ) -> ASGIApp:
        """When the file is changed meanwhile the answer is cut off, never mixed."""
        transfer = await Transfer.of(request, runtime, vps_id, "file.download", path)
        return _Download(transfer, await _asked(transfer))

    @head(
        "/download",
        operation_id="measureFile",
        summary="A file's size and version, as headers",
        opt={ACTION: Action.FILES_READ, TICKET: download_resource},
    )
    async def measure(
        self,
        request: AuthedRequest,
        vps_id: FromPath[UUID],
        runtime: UseRuntime,
        path: AskedPath,
        ticket: Annotated[str, Parameter(max_length=100)] = "",  # noqa: ARG002  the guard's
    ) -> Response[None]:
        transfer = await Transfer.of(request, runtime, vps_id, "file.download", path)
        part = await _asked(transfer)
        return Response(None, status_code=part.status, headers=part.headers)


@dataclass(frozen=True, slots=True)
class _Part:
    """What of a file is asked for."""

    status: int
    headers: dict[str, str]
    start: int
    end: int
    version: str


async def _asked(transfer: Transfer) -> _Part:
    """Raises: RequestError, HTTPException."""
    with transfer.told():
        file = await pieces.head(transfer.carrier, transfer.path)
    given = transfer.request.headers
    part = ranges.wanted(
        *(given.get("range", ""), given.get("if-range", "")), file.size_bytes, file.version
    )
    start, end = part or (0, file.size_bytes)
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Disposition": ranges.attachment(transfer.path),
        "Content-Length": str(end - start),
        "Content-Type": OCTETS,
        "ETag": ranges.etag(file.version),
    }
    if part:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size_bytes}"
    status = HTTP_206_PARTIAL_CONTENT if part else HTTP_200_OK
    return _Part(status, headers, start, end, file.version)


class _Download:
    """The answer, as ASGI has it: one that is cut off must not look whole."""

    def __init__(self, transfer: Transfer, part: _Part) -> None:
        self._transfer = transfer
        self._part = part

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        with self._transfer.runtime.transfers.taken():
            self._transfer.note(f"bytes {self._part.start} to {self._part.end}")
            tasks = [asyncio.create_task(self._send(send)), asyncio.create_task(_gone(receive))]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _send(self, send: Send) -> None:
        transfer, part = self._transfer, self._part
        headers = [(name.lower().encode(), text.encode()) for name, text in part.headers.items()]
        await send({"type": "http.response.start", "status": part.status, "headers": headers})
        blocks = pieces.download(
            *(transfer.carrier, transfer.path, part.start, part.end, part.version)
        )
        try:
            async with aclosing(blocks):
                async for block in blocks:
                    async with asyncio.timeout(SEND_TIMEOUT):
                        await send({"type": "http.response.body", "body": block, "more_body": True})
        except (
            *(pieces.ChangedError, CommandError, OfflineError, TransientError, PoisonError),
            TimeoutError,
        ) as error:
            # The server closes the connection of an answer without an end.
            log.warning(
                "download_cut",
                vps_id=str(transfer.vps.id),
                path=transfer.path,
                reason=str(error) or "the client took nothing for too long",
            )
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
