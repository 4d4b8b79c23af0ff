"""The edge: serves agents over gRPC and knows only the bus, no database."""

import asyncio
import secrets
import time
from contextlib import AsyncExitStack, suppress

import grpc
import structlog
from google.protobuf.message import DecodeError
from nats.aio.msg import Msg
from prometheus_client import Counter, Gauge

from flotilla.v1 import agent_pb2, bus_pb2
from services.ingest.edge.agent_registry import AgentRegistry
from services.ingest.edge.batch_intake import BatchIntake
from services.ingest.edge.errors import IntakeError, Reason
from services.ingest.edge.handshakes import Handshakes, listen_address, peer_address
from services.ingest.edge.presence_publisher import PresencePublisher
from services.ingest.edge.signatures import is_signed_by
from services.ingest.edge.stream import MAX_MESSAGE_BYTES, AgentStream, Context
from services.ingest.edge.timing import DEFAULT_TIMING, EdgeTiming
from services.ingest.settings import EdgeSettings
from services.kit.bus import connection as bus
from services.kit.bus import subjects
from services.kit.errors import PoisonError, TransientError
from services.kit.health import Health
from services.kit.service_connection import connect_service

log = structlog.get_logger(__name__)

# Twice the limit of `stream`: above this one gRPC ends the stream itself, without our metrics.
TRANSPORT_LIMIT = 2 * MAX_MESSAGE_BYTES
ENROL_CONTEXT = b"flotilla-enrol-v1\0"
PUBLIC_KEY_LENGTH = 32  # bytes
TOKEN_MAX_LENGTH = 256  # characters
TAKEN_OVER = "A newer stream of this agent took over."
RESTARTING = "This edge is restarting. Connect again."
INVALID_TOKEN = "The token is wrong, used or expired. Create a new install line."  # noqa: S105

STREAMS = Gauge("flotilla_edge_streams", "Open gRPC streams of agents")
REFUSALS = Counter(
    "flotilla_edge_refusals_total", "Streams and calls of agents that the edge ended", ["reason"]
)

SERVER_OPTIONS = [
    ("grpc.max_receive_message_length", TRANSPORT_LIMIT),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.so_reuseport", 0),
    # Limits of clients that have not authenticated: TLS, streams, and connections without any.
    ("grpc.server_handshake_timeout_ms", 5_000),
    ("grpc.max_concurrent_streams", 16),
    ("grpc.max_connection_idle_ms", 30_000),
]


class Edge:
    def __init__(self, connection: bus.Bus, max_streams: int, timing: EdgeTiming) -> None:
        self.id = secrets.token_hex(4)
        self.bus = connection
        self.timing = timing
        self.intake = BatchIntake(connection, self.id)
        self.registry = AgentRegistry(self._on_record_changed)
        self.streams: dict[str, AgentStream] = {}
        self._presence = PresencePublisher(connection, self.id)
        self._max_streams = max_streams
        self._open_streams = 0
        self.handshakes = Handshakes(timing.handshake_timeout)
        self._draining = False

    def record_of(self, vps_id: str) -> bus_pb2.AgentRecord | None:
        return self.registry.get(vps_id)

    async def communicate(self, _requests: object, context: Context) -> None:
        """Handle `AgentCommunication.EstablishCommunicationStream`."""
        stream = AgentStream(self, context, peer_address(context.peer()))
        self._open_streams += 1
        STREAMS.set(self._open_streams)
        try:
            self._admit()
            await stream.run()
        except IntakeError as error:
            self._record_refusal(error, stream.vps_id or stream.handshake.vps_id, stream.peer)
            await context.abort(error.status, str(error))
        finally:
            self._open_streams -= 1
            STREAMS.set(self._open_streams)

    async def enrol(self, _requests: object, context: Context) -> bytes:
        """Handle `EnrolmentService.Enrol`."""
        peer = peer_address(context.peer())
        try:
            async with self.handshakes.limited(context.peer()) as handshake:
                raw = await handshake.first_message(context.read)
                return (await self._enrol(raw, peer)).SerializeToString()
        except IntakeError as error:
            self._record_refusal(error, "", peer)
            await context.abort(error.status, str(error))
            raise

    async def _enrol(self, raw: bytes | object, peer: str) -> agent_pb2.EnrolResponse:
        try:
            # No message at all is `grpc.aio.EOF`.
            request = agent_pb2.EnrolRequest.FromString(raw if isinstance(raw, bytes) else b"")
        except DecodeError:
            raise IntakeError(
                Reason.MALFORMED, "The message is not a valid EnrolRequest."
            ) from None
        if len(request.public_key) != PUBLIC_KEY_LENGTH or not request.token:
            raise IntakeError(
                Reason.MALFORMED,
                f"Enrolment needs a token and an Ed25519 public key of {PUBLIC_KEY_LENGTH} bytes.",
            )
        if len(request.token) > TOKEN_MAX_LENGTH:
            raise IntakeError(Reason.TOKEN, INVALID_TOKEN)
        proven = ENROL_CONTEXT + request.token.encode()
        if not is_signed_by(request.public_key, request.proof, proven):
            raise IntakeError(Reason.MALFORMED, "The proof does not match the public key.")
        redeem = bus_pb2.RedeemTokenRequest(enrolment=request, peer=peer)
        try:
            answer = await self.bus.request(
                subjects.ENROLMENT_REDEEM, redeem, bus_pb2.RedeemTokenResponse
            )
        except (TransientError, PoisonError) as error:
            raise IntakeError(
                Reason.BUS_AWAY, "Enrolment is not available at the moment. Try again later."
            ) from error
        if answer.outcome != bus_pb2.RedeemTokenResponse.OUTCOME_REDEEMED:
            raise IntakeError(Reason.TOKEN, INVALID_TOKEN)
        await self._await_record(answer.enrolment.vps_id)
        log.info("agent_enrolled", vps_id=answer.enrolment.vps_id, peer=peer)
        return answer.enrolment

    async def _await_record(self, vps_id: str) -> None:
        # The agent connects immediately, but its record reaches this edge slightly later.
        for _ in range(60):
            if self.registry.get(vps_id) is not None:
                return
            await asyncio.sleep(0.05)

    async def on_opened(self, stream: AgentStream) -> None:
        older = self.streams.get(stream.vps_id)
        self.streams[stream.vps_id] = stream
        if older is not None:
            older.end(IntakeError(Reason.REPLACED, TAKEN_OVER))
            boot_id = stream.handshake.facts.boot_id
            await self._presence.record_takeover(older, stream.peer, boot_id)
        record = self.record_of(stream.vps_id)
        if record != stream.record:  # it changed before this stream was registered here
            self._on_record_changed(stream.vps_id, record)
        log.info("agent_connected", vps_id=stream.vps_id, peer=stream.peer)
        await self._presence.publish_connected(stream)

    async def on_taken_over(self, stream: AgentStream, notice: bus_pb2.StreamTaken) -> None:
        if notice.edge_id == self.id or self.streams.get(stream.vps_id) is not stream:
            return
        stream.end(IntakeError(Reason.REPLACED, TAKEN_OVER))
        await self._presence.record_takeover(stream, notice.peer, notice.boot_id)

    async def on_durable(self, message: Msg) -> None:
        """Pass the writer's notice to agents. If an agent has moved, its new edge passes it on."""
        try:
            notice = bus.decode(message.data, bus_pb2.DurableNotice)
        except PoisonError as error:
            log.warning("notice_invalid", subject=message.subject, error=str(error))
            return
        for batches in notice.batches:
            stream = self.streams.get(batches.vps_id)
            if stream is not None:
                stream.notify_durable(batches)
            else:
                with suppress(TransientError):
                    await self.bus.publish(subjects.agent_durable(batches.vps_id), batches)
        for batch in notice.refused:
            if (stream := self.streams.get(batch.vps_id)) is not None:
                stream.notify_refused(batch)

    async def on_closed(self, stream: AgentStream, reason: str) -> None:
        if not stream.vps_id or self.streams.get(stream.vps_id) is not stream:
            return
        del self.streams[stream.vps_id]
        log.info("agent_disconnected", vps_id=stream.vps_id, reason=reason)
        await self._presence.publish_disconnected(stream, reason)

    async def keep_alive(self) -> None:
        """Renew this edge's heartbeat, send due messages and check streams, until cancelled."""
        while True:
            await self._presence.publish_heartbeat(len(self.streams))
            self._presence.forget_old_takeovers()
            now = time.monotonic()
            can_announce = self.bus.connected
            for stream in list(self.streams.values()):
                stream.send_overdue_acks(now)
                if self.streams.get(stream.vps_id) is not stream:
                    continue  # the stream ended while others were announced
                if can_announce and not stream.is_announced:
                    # Stop after the first failure: waiting for each stream's timeout would delay
                    # the edge's own heartbeat.
                    can_announce = await self._presence.publish_connected(stream)
                stream.check_alive(now)
            await asyncio.sleep(self.timing.edge_heartbeat)

    def drain(self) -> None:
        self._draining = True
        for stream in self.streams.values():
            stream.end(IntakeError(Reason.DRAINING, RESTARTING))

    def _admit(self) -> None:
        if self._draining:
            raise IntakeError(Reason.DRAINING, RESTARTING)
        if len(self.streams) >= self._max_streams:
            raise IntakeError(
                Reason.TOO_MANY_STREAMS,
                f"This edge already holds {self._max_streams} streams. Connect again later.",
            )

    def _on_record_changed(self, vps_id: str, record: bus_pb2.AgentRecord | None) -> None:
        stream = self.streams.get(vps_id)
        if stream is None:
            return
        if record is None or not record.enabled:
            stream.end(IntakeError(Reason.DISABLED, "This agent is disabled."))
        elif record.public_key != stream.record.public_key:
            stream.end(
                IntakeError(Reason.DISABLED, "This server was enrolled again with another key.")
            )
        else:
            stream.configure(record.config)

    def _record_refusal(self, error: IntakeError, vps_id: str, peer: str) -> None:
        REFUSALS.labels(error.reason).inc()
        log.warning(
            "agent_refused",
            reason=error.reason.value,
            detail=str(error),
            vps_id=vps_id[:64],
            peer=peer,
        )


def _handlers(edge: Edge) -> list[grpc.GenericRpcHandler]:
    # The handlers take and return raw bytes, so that a message that cannot be parsed is answered
    # with INVALID_ARGUMENT. The generated servicer would answer INTERNAL. `Enrol` reads its request
    # itself: gRPC would wait for an unfinished one without limits.
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
            {"Enrol": grpc.stream_unary_rpc_method_handler(edge.enrol)},
        ),
    ]


def _connection_age(timing: EdgeTiming) -> list[tuple[str, int]]:
    # gRPC adds 10 % of jitter.
    return [
        ("grpc.max_connection_age_ms", round(1000 * timing.connection_age)),
        ("grpc.max_connection_age_grace_ms", round(1000 * timing.connection_age_grace)),
    ]


async def run(
    settings: EdgeSettings, health: Health, *, timing: EdgeTiming = DEFAULT_TIMING
) -> None:
    """Serve agents until cancelled."""
    credentials = grpc.ssl_server_credentials(
        [(settings.tls_key.read_bytes(), settings.tls_certificate.read_bytes())]
    )
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(
            connect_service(settings, health, settings.nats_edge_password)
        )
        edge = Edge(connection, settings.edge_max_streams, timing)
        health.checks["agents"] = lambda: (
            edge.registry.loaded.is_set(),
            f"{len(edge.streams)} of {len(edge.registry)} connected",
        )
        await stack.enter_async_context(
            connection.subscribed(subjects.edge_durable(edge.id), edge.on_durable)
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(edge.registry.follow(connection), name="registry")
            tasks.create_task(edge.intake.publisher.run(), name="batch-publisher")
            await edge.registry.loaded.wait()
            server = grpc.aio.server(options=[*SERVER_OPTIONS, *_connection_age(timing)])
            server.add_generic_rpc_handlers(_handlers(edge))
            address = listen_address(settings.grpc_host, settings.grpc_port)
            server.add_secure_port(address, credentials)
            await server.start()
            log.info("edge_listening", address=address, edge=edge.id)
            tasks.create_task(edge.keep_alive(), name="keep-alive")
            # Shielded: cancelling it would also cancel the future that `stop` waits for, and
            # `stop` would then end streams before they received the reason.
            ended = asyncio.ensure_future(server.wait_for_termination())
            try:
                await asyncio.shield(ended)
            finally:
                edge.drain()
                await server.stop(timing.drain_grace)
                await ended
