"""Routes to read and export the audit log, for administrators."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Literal
from urllib.parse import urlencode

import msgspec
from litestar import get
from litestar.di import NamedDependency, Provide
from litestar.params import FromQuery, Parameter
from litestar.status_codes import HTTP_200_OK
from litestar.types import ASGIApp

from services.gateway.accounts.authentication import AuthedRequest
from services.gateway.api import errors
from services.gateway.api.compression import COMPRESSED
from services.gateway.api.pagination import Limit, Offset
from services.gateway.api.request_audit import UseAudit
from services.gateway.api.rules import ACTION, LONG
from services.gateway.api.transaction import UseConnection
from services.gateway.audit import export, store
from services.gateway.audit.schemas import AuditEntry, AuditPage
from services.gateway.context import Context, UseContext
from services.kit.access import Action
from services.kit.database import pool as database

MAX_SEQ = 2**53  # the largest integer that JavaScript represents exactly

Before = Annotated[
    int,
    Parameter(ge=1, le=MAX_SEQ, description="Only entries whose number is below this one"),
]
UseFilters = NamedDependency[store.Filters]


def provide_filters(
    *,
    actor: Annotated[
        str,
        Parameter(max_length=200, pattern=r"^[^\x00]*$", description="Actor, or name of a user"),
    ] = "",
    object: Annotated[  # noqa: A002  the parameter's name
        str,
        Parameter(
            max_length=200,
            pattern=r"^[^\x00]*$",
            description="Object, or name of a server or user",
        ),
    ] = "",
    action: Annotated[
        str,
        Parameter(
            max_length=200,
            pattern=r"^[a-z_.,-]*$",
            description="Actions, such as `file.delete`, or kinds of actions, such as `file`,"
            " separated by commas",
        ),
    ] = "",
    allowed: FromQuery[bool | None] = None,
    since: FromQuery[datetime | None] = None,
    until: FromQuery[datetime | None] = None,
    text: Annotated[
        str,
        Parameter(
            max_length=200,
            pattern=r"^[^\x00]*$",
            description="Text in the action, detail, reason or address; case does not matter",
        ),
    ] = "",
) -> store.Filters:
    """Provide the filters of a request. Times without a zone are in UTC.

    Raises:
        RequestError: `since` is not before `until`.
    """
    since, until = (
        time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time
        for time in (since, until)
    )
    if since is not None and until is not None and since >= until:
        raise errors.invalid("`since` must be before `until`.", "since", "until")
    actions = [name for name in action.split(",") if name]
    return store.Filters(actor, object, actions, allowed, since, until, text)


FILTERS = {"filters": Provide(provide_filters, sync_to_thread=False)}


@get(
    "/audit",
    operation_id="audit",
    summary="List the audit log: actions that were done, refused or failed, newest first",
    description="To read further pages, send the `next_before` of the last one as `before`."
    " Entries that are added meanwhile do not shift these pages.",
    tags=["Audit"],
    dependencies=FILTERS,
    opt={ACTION: Action.AUDIT_READ},
    middleware=COMPRESSED,
)
async def audit(
    *,
    db: UseConnection,
    filters: UseFilters,
    before: Before = MAX_SEQ,
    limit: Limit = 100,
    offset: Offset = 0,
) -> AuditPage:
    entries, total = await store.page(db, filters, before=before, limit=limit + 1, offset=offset)
    shown = entries[:limit]
    return AuditPage(
        await named(db, shown),
        total,
        next_before=shown[-1].seq if len(entries) > limit else None,
    )


@get(
    "/audit/export",
    operation_id="exportAudit",
    summary="Download entries of the audit log, newest first, as NDJSON or CSV",
    description=f"At most {export.MAX_ENTRIES:,} entries are sent. If there are more, the header"
    ' `Link` has the address of the next ones (`rel="next"`). The download is itself audited.',
    tags=["Audit"],
    dependencies=FILTERS,
    responses={HTTP_200_OK: export.RESPONSE},
    opt={ACTION: Action.AUDIT_READ, LONG: True},
)
async def export_audit(
    *,
    request: AuthedRequest,
    context: UseContext,
    filters: UseFilters,
    audit: UseAudit,
    format: FromQuery[Literal["ndjson", "csv"]] = "ndjson",  # noqa: A002  the parameter's name
    before: Before = MAX_SEQ,
) -> ASGIApp:
    beyond = await _entry_beyond(context, filters, before)
    headers = {}
    if beyond is not None:
        query = urlencode({**request.query_params.dict(), "before": beyond.seq + 1}, doseq=True)
        headers["Link"] = f'<{request.url.path}?{query}>; rel="next"'
    audit.record("", format, action="audit.export")
    slot = context.transfers.slot(request.user.id)
    read = partial(_read, context, filters)
    return export.Export(read, format, before=before, headers=headers, slot=slot)


async def _entry_beyond(
    context: Context, filters: store.Filters, before: int
) -> store.StoredEntry | None:
    """Return the newest entry that an export leaves out; None if it leaves out none."""
    async with database.transaction(context.pool) as connection:
        beyond = await store.listed(
            connection, filters, before=before, limit=1, offset=export.MAX_ENTRIES
        )
    return beyond[0] if beyond else None


async def _read(
    context: Context, filters: store.Filters, before: int, limit: int
) -> Sequence[AuditEntry]:
    async with database.transaction(context.pool) as connection:
        entries = await store.listed(connection, filters, before=before, limit=limit)
        return await named(connection, entries)


async def named(
    connection: database.Connection, entries: Sequence[store.StoredEntry]
) -> list[AuditEntry]:
    """Return entries with the names of users and servers."""
    names = await store.names(
        connection, {id_ for one in entries for id_ in (one.actor, one.object)}
    )
    return [
        msgspec.convert(
            asdict(replace(entry, hash=b""))
            | {
                "hash": entry.hash.hex(),
                "username": names.get(entry.actor),
                "object_name": names.get(entry.object),
            },
            AuditEntry,
        )
        for entry in entries
    ]
