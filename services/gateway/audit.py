"""The audit trail, for administrators."""

from dataclasses import asdict
from typing import Annotated

import msgspec
from litestar import get
from litestar.params import Parameter

from services.gateway.command_schemas import AuditEntry, AuditPage
from services.gateway.guard import ACTION
from services.gateway.runtime import UseRuntime
from services.gateway.store import audit as store
from services.kit import database
from services.kit.access import Action

MAX_PAGE = 1_000
MAX_OFFSET = 100_000

Text = Annotated[str, Parameter(max_length=200, pattern=r"^[^\x00]*$")]


@get(
    "/audit",
    operation_id="audit",
    summary="Who did what, or was refused it, newest first",
    tags=["Audit"],
    opt={ACTION: Action.AUDIT_READ},
)
async def audit(
    runtime: UseRuntime,
    actor: Text = "",
    object: Text = "",  # noqa: A002  the parameter's name
    limit: Annotated[int, Parameter(ge=1, le=MAX_PAGE)] = 100,
    offset: Annotated[int, Parameter(ge=0, le=MAX_OFFSET)] = 0,
) -> AuditPage:
    async with database.transaction(runtime.pool) as connection:
        entries, total = await store.page(
            connection, actor=actor, object_id=object, limit=limit, offset=offset
        )
    return AuditPage([msgspec.convert(asdict(entry), AuditEntry) for entry in entries], total)
