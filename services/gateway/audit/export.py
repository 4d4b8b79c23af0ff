"""Download of audit entries, read from the database in short transactions."""

import csv
import io
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import msgspec
import structlog
from litestar.types import Receive, Scope, Send

from services.gateway.api import ndjson
from services.gateway.audit.schemas import AuditEntry
from services.kit.bus.audit import escaped
from services.kit.errors import TransientError

log = structlog.get_logger(__name__)

MAX_ENTRIES = 100_000  # of one download
STEP = 1_000  # entries per transaction
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # beginnings of a cell that a spreadsheet calculates

Format = Literal["ndjson", "csv"]
Read = Callable[[int, int], Awaitable[Sequence[AuditEntry]]]

RESPONSE = ndjson.response_spec(AuditEntry)
_MEDIA_TYPES: dict[Format, str] = {"ndjson": ndjson.MEDIA_TYPE, "csv": "text/csv; charset=utf-8"}
_COLUMNS = AuditEntry.__struct_fields__


@dataclass(frozen=True, slots=True)
class Export:
    """The response, as an ASGI app: a Litestar stream would end a failed download as if complete."""

    read: Read
    """Returns up to a number of entries whose numbers are below another one, newest first."""
    format: Format
    before: int
    headers: Mapping[str, str]
    slot: AbstractContextManager[None]

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        with self.slot:
            headers = {
                "Content-Type": _MEDIA_TYPES[self.format],
                "Content-Disposition": f'attachment; filename="{file_name(self.format)}"',
                **self.headers,
            }
            encoded = [(name.lower().encode(), text.encode()) for name, text in headers.items()]
            entries = await self.read(self.before, STEP)
            await send({"type": "http.response.start", "status": 200, "headers": encoded})
            body, left = (header() if self.format == "csv" else b""), MAX_ENTRIES
            while entries:
                body += lines(entries, self.format)
                await send({"type": "http.response.body", "body": body, "more_body": True})
                left -= len(entries)
                try:
                    entries = await self.read(entries[-1].seq, min(STEP, left))
                except TransientError as error:
                    # Without a last message, the HTTP server closes the connection, and the client
                    # notices that the file is not complete.
                    log.warning("audit_export_aborted", error=str(error))
                    return
                body = b""
            await send({"type": "http.response.body", "body": body, "more_body": False})


def file_name(format_: Format) -> str:
    return f"flotilla-audit-{datetime.now(UTC):%Y-%m-%dT%H%MZ}.{format_}"


def header() -> bytes:
    return _csv([_COLUMNS])


def lines(entries: Sequence[AuditEntry], format_: Format) -> bytes:
    """Encode entries, one per line."""
    if format_ == "ndjson":
        return b"".join(ndjson.encode(entry) for entry in entries)
    return _csv([_cells(entry) for entry in entries])


def _cells(entry: AuditEntry) -> list[str]:
    cells = [escaped(_text(getattr(entry, name))) for name in _COLUMNS]
    return [f"'{cell}" if cell.startswith(FORMULA) else cell for cell in cells]


def _text(value: object) -> str:
    if value is None:
        return ""
    text = msgspec.to_builtins(value)
    return str(text).lower() if isinstance(text, bool) else str(text)


def _csv(rows: Sequence[Sequence[str]]) -> bytes:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue().encode()
