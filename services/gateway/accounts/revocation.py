"""Ends open requests whose caller lost the right to them, no matter which gateway removed the right.

Each gateway compares its open requests with the database. It needs no message from another gateway,
so no message can be lost.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from uuid import UUID

import structlog
from psycopg import AsyncConnection

from services.gateway.accounts import actor_store
from services.gateway.api.open_requests import OpenRequest
from services.gateway.context import Context
from services.kit.access import allow
from services.kit.database import pool as database
from services.kit.errors import TransientError

log = structlog.get_logger(__name__)


async def keep_checking(context: Context) -> None:
    """Check the open requests in intervals; while the database is away, they stay open."""
    while True:
        await asyncio.sleep(context.timing.revocation_interval)
        requests = [request for request in context.open_requests if request.can_be_revoked]
        if not requests:
            continue
        with suppress(TransientError):
            async with database.transaction(context.pool) as connection:
                lost = await without_right(connection, requests)
            for request in lost:
                log.info("request_revoked", user=request.actor.username, action=request.action)
                request.revoke()


async def without_right(
    connection: AsyncConnection, requests: Iterable[OpenRequest]
) -> list[OpenRequest]:
    """Return the requests whose login session ended, whose user changed or whose object is gone."""
    requests = list(requests)
    ids = [request.actor.session_id for request in requests]
    actors = await actor_store.actors_of_sessions(connection, session_ids=ids)
    actors |= await actor_store.actors_of_tokens(connection, token_ids=ids)
    runs = await actor_store.servers_of_runs(
        connection, run_ids=[request.run_id for request in requests if request.run_id is not None]
    )
    named = {request.vps_id for request in requests if request.vps_id is not None}
    servers = await actor_store.servers(connection, vps_ids=[*named.union(*runs.values())])

    def may(request: OpenRequest, vps_id: UUID) -> bool:
        server = servers.get(vps_id)
        return server is not None and allow(request.actor, request.action, server)

    def has_right(request: OpenRequest) -> bool:
        if actors.get(request.actor.session_id) != request.actor:
            return False
        if request.run_id is not None:
            left = {one for one in runs.get(request.run_id, ()) if may(request, one)}
            if request.run_servers is None:
                request.run_servers = frozenset(left)
            return bool(left) and request.run_servers <= left
        return request.vps_id is None or may(request, request.vps_id)

    return [request for request in requests if not has_right(request)]
