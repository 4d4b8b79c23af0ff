"""The gateway's side of agents: their records on the bus, and enrolment."""

from functools import partial

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
    async with database.transaction(runtime.pool) as connection:
        wanted = {str(vps.id): vps for vps in await fleet.enrolled(connection)}
    found: dict[str, bytes] = {}
    async for entry in runtime.bus.watch(subjects.Bucket.AGENTS):
        if entry is None:
            break
        if entry.value is not None:
            found[entry.key] = entry.value
    for vps_id, vps in wanted.items():
        if found.get(vps_id) != records.agent_record(vps).SerializeToString():
            await publish_record(runtime.bus, vps)
    for vps_id in found.keys() - wanted.keys():
        await runtime.bus.delete(subjects.Bucket.AGENTS, vps_id)
    log.info("agents_reconciled", agents=len(wanted), removed=len(found.keys() - wanted.keys()))


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
    await runtime.refresh_fleet()
    subject = subjects.vps_enrolled(str(vps.id))
    event = event_pb2.VpsEnrolled(vps_id=str(vps.id), facts=enrolment.facts, peer=request.peer)
    await runtime.bus.store(subject, event, msg_id=f"{subject}.{enrolment.public_key.hex()}")
    log.info("enrolled", vps_id=str(vps.id), peer=request.peer)
    return bus_pb2.RedeemTokenResponse(
        outcome=bus_pb2.RedeemTokenResponse.OUTCOME_REDEEMED,
        enrolment=agent_pb2.EnrolResponse(vps_id=str(vps.id), name=vps.name),
    )


def enrolment_handler(runtime: Runtime) -> bus.Handler:
    return partial(serve_enrolment, runtime)
