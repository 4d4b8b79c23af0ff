"""Downloads: chunks from the agent become one response, whole or a byte range."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

import structlog
from litestar import Controller, Response, get, head, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody, Parameter
from litestar.status_codes import HTTP_200_OK, HTTP_206_PARTIAL_CONTENT
from litestar.types import ASGIApp, Receive, Scope, Send

from flotilla.v1.command_pb2 import FileChunk
from services.gateway.accounts import tickets
from services.gateway.accounts.authentication import AuthedRequest
from services.gateway.api.request_audit import Connection
from services.gateway.api.rules import ACTION, TICKET
from services.gateway.api.transaction import UseConnection
from services.gateway.files import chunks, http_headers
from services.gateway.files.schemas import DownloadTicket, FilePath
from services.gateway.files.transfer import PathParameter, Transfer
from services.gateway.servers.access import IN_TRANSACTION, OwnedServer
from services.gateway.servers.agent_calls import UseAgent, disconnected
from services.kit.access import Action
from services.kit.agents.commands import CommandError, OfflineError
from services.kit.errors import PoisonError, TransientError

log = structlog.get_logger(__name__)

TICKET_LIFETIME = timedelta(minutes=10)
SEND_TIMEOUT = 60.0  # seconds until a client must have accepted a chunk
OCTETS = "application/octet-stream"
WHOLE_FILE = ResponseSpec(bytes, description="The file", media_type=OCTETS, generate_examples=False)
BYTE_RANGE = ResponseSpec(
    bytes, description="The bytes that `Range` selects", media_type=OCTETS, generate_examples=False
)


def download_resource(connection: Connection) -> str:
    """Return the resource for which the ticket in a download's URL must be valid."""
    return _resource(connection.path_params["vps_id"], connection.query_params.get("path", ""))


def _resource(vps_id: object, path: str) -> str:
    return f"vps/{vps_id}/files/download?path={path}"


class DownloadController(Controller):
    path = "/vps/{vps_id:uuid}/files"
    tags = ("Files",)

    @post(
        "/download-tickets",
        operation_id="createDownloadTicket",
        summary="Create a ticket for downloading one file, valid for ten minutes",
        dependencies=IN_TRANSACTION,
        opt={ACTION: Action.FILES_READ},
    )
    async def create_ticket(
        self,
        request: AuthedRequest,
        server: OwnedServer,
        data: JSONBody[FilePath],
        db: UseConnection,
    ) -> DownloadTicket:
        secret, expires_at = await tickets.create_ticket(
            db,
            actor=request.user,
            resource=_resource(server.id, data.path),
            lifetime=TICKET_LIFETIME,
        )
        return DownloadTicket(secret, expires_at)

    @get(
        "/download",
        operation_id="downloadFile",
        summary="Download a file or a byte range of it",
        description="No access token is needed when the URL has a `ticket`. If the file changes during"
        " the download, the connection is closed before the end of the response.",
        responses={HTTP_200_OK: WHOLE_FILE, HTTP_206_PARTIAL_CONTENT: BYTE_RANGE},
        opt={ACTION: Action.FILES_READ, TICKET: download_resource},
    )
    async def download(
        self,
        request: AuthedRequest,
        agent: UseAgent,
        path: PathParameter,
        ticket: Annotated[str, Parameter(max_length=100)] = "",  # noqa: ARG002  read by the route guard
    ) -> ASGIApp:
        transfer = Transfer(agent, "file.download", path)
        return _Download(transfer, await _requested_part(transfer, request))

    @head(
        "/download",
        operation_id="measureFile",
        summary="Get the size and the version of a file as headers",
        opt={ACTION: Action.FILES_READ, TICKET: download_resource},
    )
    async def measure(
        self,
        request: AuthedRequest,
        agent: UseAgent,
        path: PathParameter,
        ticket: Annotated[str, Parameter(max_length=100)] = "",  # noqa: ARG002  read by the route guard
    ) -> Response[None]:
        transfer = Transfer(agent, "file.download", path)
        part = await _requested_part(transfer, request)
        return Response(None, status_code=part.status, headers=part.headers)


@dataclass(frozen=True, slots=True)
class _Part:
    """The part of a file that a response has: bytes `start` up to `end` of one version."""

    status: int
    headers: dict[str, str]
    start: int
    end: int
    first: FileChunk


async def _requested_part(transfer: Transfer, request: AuthedRequest) -> _Part:
    """Raises: RequestError, HTTPException."""
    with transfer.failures():
        file = await chunks.head(transfer.caller, transfer.path)
    byte_range = http_headers.byte_range(
        request.headers.get("range", ""),
        if_range=request.headers.get("if-range", ""),
        size=file.size_bytes,
        version=file.version,
    )
    start, end = byte_range or (0, file.size_bytes)
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Disposition": http_headers.attachment(transfer.path),
        "Content-Length": str(end - start),
        "Content-Type": OCTETS,
        "ETag": http_headers.etag(file.version),
    }
    if byte_range:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size_bytes}"
    status = HTTP_206_PARTIAL_CONTENT if byte_range else HTTP_200_OK
    return _Part(status, headers, start, end, file)


class _Download:
    """The response, as an ASGI app: a Litestar stream would end a failed download as if complete."""

    def __init__(self, transfer: Transfer, part: _Part) -> None:
        self._transfer = transfer
        self._part = part

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        agent = self._transfer.agent
        with agent.context.transfers.slot(agent.user_id):
            self._transfer.record(f"bytes {self._part.start} to {self._part.end}")
            tasks = [
                asyncio.create_task(self._send(send)),
                asyncio.create_task(disconnected(receive)),
            ]
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
        blocks = chunks.download(
            transfer.caller,
            transfer.path,
            start=part.start,
            end=part.end,
            first=part.first,
        )
        try:
            async with aclosing(blocks):
                async for block in blocks:
                    async with asyncio.timeout(SEND_TIMEOUT):
                        await send({"type": "http.response.body", "body": block, "more_body": True})
        except (
            chunks.ChangedError,
            CommandError,
            OfflineError,
            TransientError,
            PoisonError,
            TimeoutError,
        ) as error:
            # Without a last message, the HTTP server closes the connection, and the client
            # notices that the file is not complete.
            log.warning(
                "download_aborted",
                vps_id=str(transfer.agent.server.id),
                path=transfer.path,
                reason=str(error) or f"the client accepted no data for {SEND_TIMEOUT:.0f} s",
            )
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})
