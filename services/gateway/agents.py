"""The gateway's side of agents: their records on the bus, and enrolment."""

import asyncio
from contextlib import aclosing
from functools import partial
from uuid import UUID

import psycopg
import structlog
from nats.aio.msg import Msg

from flotilla.v1 import agent_pb2, bus_pb2, event_pb2
from services.gateway import records
from services.gateway.credentials import hash_secret
from services.gateway.runtime import Runtime
from services.gateway.store import fleet
from services.kit import bus, database, subjects
from services.kit.errors import PoisonError, TransientError

log = structlog.get_logger(__name__)

RECONCILE_RETRY = 5.0  # seconds


async def publish_record(connection: bus.Bus, vps: fleet.Vps) -> None:
    """Tell edges of an enrolled server's key and settings.

    Raises:
        TransientError: the bus is away.
    """
    if vps.agent_public_key is None:
        return
    await connection.put(subjects.Bucket.AGENTS, str(vps.id), records.agent_record(vps))


async def reconcile(runtime: Runtime) -> None:
    """Make the `agents` bucket say what the database says.

    They can differ after a crash between the two, or when the stream's disk was lost.
    """
    while True:
        try:
            changed = await _reconcile(runtime)
        except TransientError as error:
            log.warning("agents_not_reconciled", error=str(error), retry_in=RECONCILE_RETRY)
            await asyncio.sleep(RECONCILE_RETRY)
        else:
            log.info("agents_reconciled", changed=changed)
            return


async def _reconcile(runtime: Runtime) -> int:
    found: dict[str, bytes] = {}
    async with aclosing(runtime.bus.watch(subjects.Bucket.AGENTS)) as entries:
        async for entry in entries:
            if entry is None:
                break
            if entry.value is not None:
                found[entry.key] = entry.value
    async with database.transaction(runtime.pool) as connection:
        wanted = {
            str(vps.id): records.agent_record(vps).SerializeToString()
            for vps in await fleet.enrolled(connection)
        }
    differing = [
        vps_id for vps_id in found.keys() | wanted.keys() if found.get(vps_id) != wanted.get(vps_id)
    ]
    for vps_id in differing:
        # Locked and read again: enrolment, change and removal go on meanwhile.
        async with database.transaction(runtime.pool) as connection:
            vps = await fleet.lock(connection, vps_id=UUID(vps_id))
            if vps is None or vps.agent_public_key is None:
                await runtime.bus.delete(subjects.Bucket.AGENTS, vps_id)
            else:
                await publish_record(runtime.bus, vps)
    return len(differing)


async def serve_enrolment(runtime: Runtime, message: Msg) -> None:
    """Answer `enrolment.redeem`."""
    refused = bus_pb2.RedeemTokenResponse(outcome=bus_pb2.RedeemTokenResponse.OUTCOME_REFUSED)
    try:
        request = bus.decode(message.data, bus_pb2.RedeemTokenRequest)
        answer = await _redeem(runtime, request) or refused
    except PoisonError:
        log.warning("redeem_unreadable")
        answer = refused
    except TransientError as error:
        # No answer: the edge says "not available now" and the token stays good.
        log.warning("redeem_postponed", error=str(error))
        return
    await runtime.bus.publish(message.reply, answer)


async def _redeem(
    runtime: Runtime, request: bus_pb2.RedeemTokenRequest
) -> bus_pb2.RedeemTokenResponse | None:
    enrolment = request.enrolment
    try:
        async with database.transaction(runtime.pool) as connection:
            vps_id = await fleet.use_token(connection, token_hash=hash_secret(enrolment.token))
            if vps_id is None:
                log.warning("enrolment_refused", peer=request.peer)
                return None
            vps = await fleet.enrol(connection, vps_id=vps_id, public_key=enrolment.public_key)
            assert vps is not None  # the token's row refers to it
            # Before the commit: a token is not spent on a record no edge has.
            await publish_record(runtime.bus, vps)
    except psycopg.errors.UniqueViolation:
        log.warning("enrolment_refused", peer=request.peer, reason="key already enrolled")
        return None
    log.info("enrolled", vps_id=str(vps.id), peer=request.peer)
    await _tell_enrolled(runtime, str(vps.id), request)
    return bus_pb2.RedeemTokenResponse(
        outcome=bus_pb2.RedeemTokenResponse.OUTCOME_REDEEMED,
        enrolment=agent_pb2.EnrolResponse(vps_id=str(vps.id), name=vps.name),
    )


async def _tell_enrolled(
    runtime: Runtime, vps_id: str, request: bus_pb2.RedeemTokenRequest
) -> None:
    subject = subjects.vps_enrolled(vps_id)
    event = event_pb2.VpsEnrolled(vps_id=vps_id, facts=request.enrolment.facts, peer=request.peer)
    try:
        await runtime.refresh_fleet()
        await runtime.bus.store(
            subject, event, msg_id=f"{subject}.{request.enrolment.public_key.hex()}"
        )
    except TransientError as error:
        # The token is spent: the agent is told so, whoever else is not.
        log.warning("enrolment_not_told", vps_id=vps_id, error=str(error))


def enrolment_handler(runtime: Runtime) -> bus.Handler:
    return partial(serve_enrolment, runtime)
