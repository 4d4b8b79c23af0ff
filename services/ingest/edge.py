"""The thin edge agents talk to. It knows the bus and nothing else."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import grpc
import structlog
from google.protobuf.message import DecodeError
from nats.aio.msg import Msg
from prometheus_client import Counter, Gauge

from flotilla.v1 import agent_pb2, bus_pb2
from services.ingest.announcer import Announcer
from services.ingest.directory import Directory, signed_by
from services.ingest.errors import IntakeError, Reason
from services.ingest.intake import Intake
from services.ingest.settings import EdgeSettings
from services.ingest.stream import MAX_MESSAGE_BYTES, AgentStream, Context
from services.kit import bus, subjects
from services.kit.errors import PoisonError, TransientError
from services.kit.health import Health

log = structlog.get_logger(__name__)

BEAT_INTERVAL = 5.0  # seconds between signs of this edge's life
# Twice what `stream` takes: gRPC ends a stream over it by itself, unseen and uncounted.
TRANSPORT_LIMIT = 2 * MAX_MESSAGE_BYTES
HANDSHAKES_AT_ONCE = 64
HANDSHAKES_WAITING = 512
DRAIN_GRACE = 5.0  # seconds
ENROL_CONTEXT = b"flotilla-enrol-v1\0"
PUBLIC_KEY_LENGTH = 32  # bytes
TOKEN_MAX_LENGTH = 256  # characters
TAKEN_OVER = "a newer stream of this agent took over"

STREAMS = Gauge("flotilla_edge_streams", "Agents connected to this edge")
REFUSALS = Counter("flotilla_edge_refusals_total", "Streams and calls ended", ["reason"])

SERVER_OPTIONS = [
    ("grpc.max_receive_message_length", TRANSPORT_LIMIT),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    # Agents move on now and then, so that a new edge gets its share; gRPC adds 10 % of jitter.
    ("grpc.max_connection_age_ms", 6 * 3_600_000),
    ("grpc.max_connection_age_grace_ms", 10_000),
    ("grpc.so_reuseport", 0),
]


class Edge:
    def __init__(self, connection: bus.Bus, max_streams: int) -> None:
        self.id = secrets.token_hex(4)
        self.bus = connection
        self.intake = Intake(connection, self.id)
        self.directory = Directory(self._agent_changed)
        self.streams: dict[str, AgentStream] = {}
        self._announcer = Announcer(connection, self.id)
        self._max_streams = max_streams
        self._open = 0
        self._waiting = 0
        self._handshakes = asyncio.Semaphore(HANDSHAKES_AT_ONCE)
        self._draining = False

    def record_of(self, vps_id: str) -> bus_pb2.AgentRecord | None:
        return self.directory.get(vps_id)

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[None]:
        """A place among the handshakes under way.

        Raises:
            IntakeError: too many wait already. Taking all of a returning fleet at once would
                be slower than their patience, so that none gets in and all come again.
        """
        if self._waiting >= HANDSHAKES_WAITING:
            raise IntakeError(Reason.BUSY, "many agents connect just now: come back")
        self._waiting += 1
        try:
            await self._handshakes.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._handshakes.release()

    async def communicate(self, _requests: object, context: Context) -> None:
        """`AgentCommunication.EstablishCommunicationStream`."""
        stream = AgentStream(self, context, peer_address(context.peer()))
        self._open += 1
        STREAMS.set(self._open)
        try:
            self._admit()
            await stream.run()
        except IntakeError as error:
            self._refused(error, stream.vps_id or stream.handshake.vps_id, stream.peer)
            await context.abort(error.status, str(error))
        finally:
            self._open -= 1
            STREAMS.set(self._open)

    async def enrol(self, raw: bytes, context: Context) -> bytes:
        """`EnrolmentService.Enrol`."""
        peer = peer_address(context.peer())
        try:
            return (await self._enrol(raw, peer)).SerializeToString()
        except IntakeError as error:
            self._refused(error, "", peer)
            await context.abort(error.status, str(error))
            raise

    async def _enrol(self, raw: bytes, peer: str) -> agent_pb2.EnrolResponse:
        try:
            request = agent_pb2.EnrolRequest.FromString(raw)
        except DecodeError:
            raise IntakeError(Reason.MALFORMED, "not an EnrolRequest") from None
        if len(request.public_key) != PUBLIC_KEY_LENGTH or not request.token:
            raise IntakeError(Reason.MALFORMED, "a token and an Ed25519 public key are needed")
        if len(request.token) > TOKEN_MAX_LENGTH:
            raise IntakeError(Reason.TOKEN, "the token is wrong, used or expired")
        if not signed_by(request.public_key, request.proof, ENROL_CONTEXT + request.token.encode()):
            raise IntakeError(Reason.MALFORMED, "the proof does not match the public key")
        redeem = bus_pb2.RedeemTokenRequest(enrolment=request, peer=peer)
        try:
            answer = await self.bus.request(
                subjects.ENROLMENT_REDEEM, redeem, bus_pb2.RedeemTokenResponse
            )
        except (TransientError, PoisonError) as error:
            raise IntakeError(Reason.BUS_AWAY, "enrolment is not available now") from error
        if answer.outcome != bus_pb2.RedeemTokenResponse.OUTCOME_REDEEMED:
            raise IntakeError(Reason.TOKEN, "the token is wrong, used or expired")
        await self._await_record(answer.enrolment.vps_id)
        log.info("agent_enrolled", vps_id=answer.enrolment.vps_id, peer=peer)
        return answer.enrolment

    async def _await_record(self, vps_id: str) -> None:
        # The agent connects at once; its record reaches this edge a moment later.
        for _ in range(60):
            if self.directory.get(vps_id) is not None:
                return
            await asyncio.sleep(0.05)

    async def opened(self, stream: AgentStream) -> None:
        older = self.streams.get(stream.vps_id)
        self.streams[stream.vps_id] = stream
        if older is not None:
            older.end(IntakeError(Reason.REPLACED, TAKEN_OVER))
            boot_id = stream.handshake.facts.boot_id
            await self._announcer.taken_over(older, stream.peer, boot_id)
        record = self.record_of(stream.vps_id)
        if record != stream.record:  # it changed before this stream was known here
            self._agent_changed(stream.vps_id, record)
        log.info("agent_connected", vps_id=stream.vps_id, peer=stream.peer)
        await self._announcer.connected(stream)

    async def taken(self, stream: AgentStream, notice: bus_pb2.StreamTaken) -> None:
        if notice.edge_id == self.id or self.streams.get(stream.vps_id) is not stream:
            return
        stream.end(IntakeError(Reason.REPLACED, TAKEN_OVER))
        await self._announcer.taken_over(stream, notice.peer, notice.boot_id)

    async def told_durable(self, message: Msg) -> None:
        """Pass the writer's word on to agents, by way of their edge where that changed."""
        try:
            notice = bus.decode(message.data, bus_pb2.DurableNotice)
        except PoisonError as error:
            log.warning("notice_unreadable", subject=message.subject, error=str(error))
            return
        for batches in notice.batches:
            stream = self.streams.get(batches.vps_id)
            if stream is not None:
                stream.told_durable(batches)
            else:
                with suppress(TransientError):
                    await self.bus.publish(subjects.agent_durable(batches.vps_id), batches)
        for batch in notice.refused:
            if (stream := self.streams.get(batch.vps_id)) is not None:
                stream.told_refused(batch)

    async def closed(self, stream: AgentStream, reason: str) -> None:
        if not stream.vps_id or self.streams.get(stream.vps_id) is not stream:
            return
        del self.streams[stream.vps_id]
        log.info("agent_disconnected", vps_id=stream.vps_id, reason=reason)
        await self._announcer.disconnected(stream, reason)

    async def keep_alive(self) -> None:
        """Renew this edge's beat, ask agents for theirs, until cancelled."""
        while True:
            await self._announcer.beat(len(self.streams))
            self._announcer.forget_old_takeovers()
            now = time.monotonic()
            announcing = self.bus.connected
            for stream in list(self.streams.values()):
                stream.acknowledge(now)
                if self.streams.get(stream.vps_id) is not stream:
                    continue  # it ended while others were announced
                if announcing and not stream.announced:
                    # One failure is enough to know: this edge's own beat must not wait for all.
                    announcing = await self._announcer.connected(stream)
                stream.beat(now)
            await asyncio.sleep(BEAT_INTERVAL)

    def drain(self) -> None:
        self._draining = True
        for stream in self.streams.values():
            stream.end(IntakeError(Reason.DRAINING, "this edge is restarting: come back"))

    def _admit(self) -> None:
        if self._draining:
            raise IntakeError(Reason.DRAINING, "this edge is restarting: come back")
        if self._open > self._max_streams:
            raise IntakeError(Reason.TOO_MANY_STREAMS, "this edge is full: come back later")

    def _agent_changed(self, vps_id: str, record: bus_pb2.AgentRecord | None) -> None:
        stream = self.streams.get(vps_id)
        if stream is None:
            return
        if record is None or not record.enabled:
            stream.end(IntakeError(Reason.DISABLED, "this agent was disabled"))
        elif record.public_key != stream.record.public_key:
            stream.end(IntakeError(Reason.DISABLED, "this server was enrolled with another key"))
        else:
            stream.configure(record.config)

    def _refused(self, error: IntakeError, vps_id: str, peer: str) -> None:
        REFUSALS.labels(error.reason).inc()
        log.warning(
            "agent_refused",
            reason=error.reason.value,
            detail=str(error),
            vps_id=vps_id[:64],
            peer=peer,
        )


def peer_address(peer: str) -> str:
    """The address in gRPC's `ipv4:192.0.2.1:443` or `ipv6:%5B::1%5D:443`."""
    address = peer.partition(":")[2].rpartition(":")[0]
    return address.replace("%5B", "").replace("%5D", "").strip("[]")


def _handlers(edge: Edge) -> list[grpc.GenericRpcHandler]:
    # Raw bytes in and out: a message that cannot be parsed is answered
    # INVALID_ARGUMENT, where the generated servicer would answer INTERNAL.
    services = agent_pb2.DESCRIPTOR.services_by_name
    return [
        grpc.method_handlers_generic_handler(
            services["AgentCommunication"].full_name,
            {
                "EstablishCommunicationStream": grpc.stream_stream_rpc_method_handler(
                    edge.communicate
                )
            },
        ),
        grpc.method_handlers_generic_handler(
            services["EnrolmentService"].full_name,
            {"Enrol": grpc.unary_unary_rpc_method_handler(edge.enrol)},
        ),
    ]


async def run(settings: EdgeSettings, health: Health) -> None:
    """Serve agents until cancelled."""
    credentials = grpc.ssl_server_credentials(
        [(settings.tls_key.read_bytes(), settings.tls_certificate.read_bytes())]
    )
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(
            bus.connect(settings, subjects.User.EDGE, settings.nats_edge_password, name="edge")
        )
        edge = Edge(connection, settings.edge_max_streams)
        health.checks["agents"] = lambda: (
            edge.directory.loaded.is_set(),
            f"{len(edge.streams)} of {len(edge.directory)} connected",
        )
        await stack.enter_async_context(bus.status_served(connection, health))
        await stack.enter_async_context(
            connection.subscribed(subjects.edge_durable(edge.id), edge.told_durable)
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(edge.directory.follow(connection), name="directory")
            tasks.create_task(edge.intake.gathering.run(), name="gathering")
            await edge.directory.loaded.wait()
            server = grpc.aio.server(options=SERVER_OPTIONS)
            server.add_generic_rpc_handlers(_handlers(edge))
            address = f"{settings.grpc_host}:{settings.grpc_port}"
            server.add_secure_port(address, credentials)
            await server.start()
            log.info("edge_listening", address=address, edge=edge.id)
            tasks.create_task(edge.keep_alive(), name="keep-alive")
            # Cancelled itself, it would take with it the future that `stop` waits for, and
            # `stop` would cut streams off before they are told why.
            ended = asyncio.ensure_future(server.wait_for_termination())
            try:
                await asyncio.shield(ended)
            finally:
                edge.drain()
                await server.stop(DRAIN_GRACE)
                await ended
