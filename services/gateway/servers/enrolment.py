"""Enrolment of agents, and their records on the bus."""

import asyncio
from contextlib import aclosing
from functools import partial
from uuid import UUID

import psycopg
import structlog
from nats.aio.msg import Msg

from flotilla.v1 import agent_pb2, bus_pb2, event_pb2
from services.gateway.accounts.tokens import hash_secret
from services.gateway.context import Context
from services.gateway.servers import live_refresh
from services.gateway.servers import mapping as server_mapping
from services.gateway.servers import store as server_store
from services.kit.bus import connection as bus
from services.kit.bus import subjects
from services.kit.database import pool as database
from services.kit.errors import PoisonError, TransientError

log = structlog.get_logger(__name__)

RECONCILE_RETRY = 5.0  # seconds


async def publish_record(connection: bus.Bus, vps: server_store.Vps) -> None:
    """Publish an enrolled server's key and settings, which the edges read.

    Raises:
        TransientError: the bus is away.
    """
    if vps.agent_public_key is None:
        return
    await connection.put(subjects.Bucket.AGENTS, str(vps.id), server_mapping.agent_record(vps))


async def reconcile(context: Context) -> None:
    """Update the `agents` bucket from the database.

    They differ if the gateway stopped between the two writes, or if NATS lost its disk.
    """
    while True:
        try:
            changed = await _reconcile(context)
        except TransientError as error:
            log.warning("agents_not_reconciled", error=str(error), retry_in=RECONCILE_RETRY)
            await asyncio.sleep(RECONCILE_RETRY)
        else:
            log.info("agents_reconciled", changed=changed)
            return


async def _reconcile(context: Context) -> int:
    found: dict[str, bytes] = {}
    async with aclosing(context.bus.watch(subjects.Bucket.AGENTS)) as entries:
        async for entry in entries:
            if entry is None:
                break
            if entry.value is not None:
                found[entry.key] = entry.value
    async with database.transaction(context.pool) as connection:
        wanted = {
            str(vps.id): server_mapping.agent_record(vps).SerializeToString()
            for vps in await server_store.enrolled(connection)
        }
    differing = [
        vps_id for vps_id in found.keys() | wanted.keys() if found.get(vps_id) != wanted.get(vps_id)
    ]
    for vps_id in differing:
        # Lock and read again: the server may have been enrolled, changed or removed since.
        async with database.transaction(context.pool) as connection:
            vps = await server_store.lock(connection, vps_id=UUID(vps_id))
            if vps is None or vps.agent_public_key is None:
                await context.bus.delete(subjects.Bucket.AGENTS, vps_id)
            else:
                await publish_record(context.bus, vps)
    return len(differing)


async def serve_enrolment(context: Context, message: Msg) -> None:
    """Answer a request to redeem an enrolment token."""
    refused = bus_pb2.RedeemTokenResponse(outcome=bus_pb2.RedeemTokenResponse.OUTCOME_REFUSED)
    try:
        request = bus.decode(message.data, bus_pb2.RedeemTokenRequest)
        answer = await _redeem(context, request) or refused
    except PoisonError:
        log.warning("enrolment_unreadable")
        answer = refused
    except TransientError as error:
        # Without an answer the edge reports "unavailable", and the token stays valid.
        log.warning("enrolment_postponed", error=str(error))
        return
    await context.bus.publish(message.reply, answer)


async def _redeem(
    context: Context, request: bus_pb2.RedeemTokenRequest
) -> bus_pb2.RedeemTokenResponse | None:
    enrolment = request.enrolment
    try:
        async with database.transaction(context.pool) as connection:
            vps_id = await server_store.use_token(
                connection, token_hash=hash_secret(enrolment.token)
            )
            if vps_id is None:
                log.warning("enrolment_refused", peer=request.peer)
                return None
            vps = await server_store.enrol(
                connection, vps_id=vps_id, public_key=enrolment.public_key
            )
            assert vps is not None  # a foreign key of the token
            # Published before the commit, so that no token is used for a record that no edge can read.
            await publish_record(context.bus, vps)
    except psycopg.errors.UniqueViolation:
        log.warning("enrolment_refused", peer=request.peer, reason="key already enrolled")
        return None
    log.info("enrolled", vps_id=str(vps.id), peer=request.peer)
    await _announce_enrolled(context, str(vps.id), request)
    return bus_pb2.RedeemTokenResponse(
        outcome=bus_pb2.RedeemTokenResponse.OUTCOME_REDEEMED,
        enrolment=agent_pb2.EnrolResponse(vps_id=str(vps.id), name=vps.name),
    )


async def _announce_enrolled(
    context: Context, vps_id: str, request: bus_pb2.RedeemTokenRequest
) -> None:
    subject = subjects.vps_enrolled(vps_id)
    event = event_pb2.VpsEnrolled(vps_id=vps_id, facts=request.enrolment.facts, peer=request.peer)
    try:
        await live_refresh.refresh(context)
        await context.bus.store(
            subject, event, msg_id=f"{subject}.{request.enrolment.public_key.hex()}"
        )
    except TransientError as error:
        # The token is used, so the agent must get its answer anyway.
        log.warning("enrolment_not_announced", vps_id=vps_id, error=str(error))


def enrolment_handler(context: Context) -> bus.Handler:
    return partial(serve_enrolment, context)
