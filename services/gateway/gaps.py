"""What will never arrive, and why."""

from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from litestar import get
from litestar.params import FromPath, Parameter

from services.gateway import errors
from services.gateway.guard import ACTION, AuthedRequest, owned
from services.gateway.runtime import UseRuntime
from services.gateway.schemas import Gap, GapPage
from services.gateway.store import fleet
from services.gateway.store import gaps as store
from services.kit import database
from services.kit.access import Action

LIMIT = 500


@get(
    "/vps/{vps_id:uuid}/gaps",
    operation_id="listGaps",
    summary="What the agent had to give up, and why",
    tags=["Metrics"],
    opt={ACTION: Action.VPS_READ},
)
async def gaps(
    request: AuthedRequest,
    vps_id: FromPath[UUID],
    runtime: UseRuntime,
    start: Annotated[datetime | None, Parameter(description="Default: a day before `end`")] = None,
    end: Annotated[datetime | None, Parameter(description="Default: now")] = None,
) -> GapPage:
    until = end or datetime.now(UTC)
    since = start or until - timedelta(days=1)
    if since.utcoffset() is None or until.utcoffset() is None:
        raise errors.invalid("`start` and `end` need a time zone, such as `Z`.")
    async with database.transaction(runtime.pool) as connection:
        owned(request, await fleet.get(connection, vps_id=vps_id))
        found = await store.between(connection, vps_id=vps_id, start=since, end=until, limit=LIMIT)
    items = [Gap(g.kind, g.reason, g.count, g.first_at, g.last_at) for g in found]
    return GapPage(items, len(items))
