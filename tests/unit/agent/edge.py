import asyncio
import datetime as dt
import ipaddress
from collections.abc import AsyncIterator, Awaitable
from typing import TypeVar

import grpc
import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from nacl.signing import VerifyKey

from flotilla.v1 import agent_pb2_grpc
from flotilla.v1.agent_pb2 import (
    AgentChallenge,
    AgentConfig,
    AgentHandshake,
    BatchAck,
    EnrolRequest,
    EnrolResponse,
    MessageToAgent,
    MessageToServer,
    ServerHandshakeAck,
)
from flotilla.v1.metrics_pb2 import PerformanceSnapshotBatch

T = TypeVar("T")

PATIENCE = 10.0  # seconds
NONCE = bytes(range(32))
VPS_ID = "0192f0c1-7c4e-7d1a-9a55-3b1f0f6a2c10"


class Authority:
    """A CA of its own, and a certificate of it for 127.0.0.1."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        ca_key = ec.generate_private_key(ec.SECP256R1())
        ca_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Test CA")])
        self.ca = _builder(ca_name, ca_name, ca_key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        ca = self.ca.sign(ca_key, hashes.SHA256())
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "edge")])
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
        leaf = _builder(name, ca_name, key.public_key()).add_extension(names, critical=False)
        self.ca_pem = ca.public_bytes(serialization.Encoding.PEM).decode()
        self.ca_sha256 = ca.fingerprint(hashes.SHA256()).hex()
        self.certificate = leaf.sign(ca_key, hashes.SHA256()).public_bytes(
            serialization.Encoding.PEM
        )
        self.key = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=1))
    )


class Peer:
    """The server's end of one stream, moved by a test step by step."""

    def __init__(self, context: grpc.aio.ServicerContext[MessageToServer, MessageToAgent]) -> None:
        self._context = context
        self._inbox: asyncio.Queue[MessageToServer] = asyncio.Queue()
        self.ending: asyncio.Future[tuple[grpc.StatusCode, str]] = asyncio.Future()
        self.gone = asyncio.Event()

    async def read(self, requests: AsyncIterator[MessageToServer]) -> None:
        async for message in requests:
            self._inbox.put_nowait(message)

    async def send(self, message: MessageToAgent) -> None:
        await soon(self._context.write(message))

    async def receive(self, payload: str) -> MessageToServer:
        """The next message of this kind; others are passed over."""
        while True:
            message = await soon(self._inbox.get())
            if message.WhichOneof("payload") == payload:
                return message

    async def batch(self) -> PerformanceSnapshotBatch:
        return (await self.receive("performance")).performance

    async def challenge(self) -> AgentHandshake:
        await self.send(MessageToAgent(challenge=AgentChallenge(nonce=NONCE)))
        return (await self.receive("handshake")).handshake

    async def shake_hands(self, config: AgentConfig | None = None) -> AgentHandshake:
        handshake = await self.challenge()
        ack = ServerHandshakeAck(
            result=ServerHandshakeAck.RESULT_ACCEPTED, agent_id=handshake.vps_id, config=config
        )
        await self.send(MessageToAgent(handshake_ack=ack))
        return handshake

    async def acknowledge(
        self,
        batch: PerformanceSnapshotBatch,
        outcome: BatchAck.Outcome.ValueType,
        *,
        reason: str = "",
        retry_after_ms: int = 0,
    ) -> None:
        ack = BatchAck(
            epoch=batch.header.epoch,
            sequences=[batch.header.sequence],
            outcome=outcome,
            reason=reason,
            retry_after_ms=retry_after_ms,
        )
        await self.send(MessageToAgent(batch_ack=ack))

    def end(self, code: grpc.StatusCode, details: str = "") -> None:
        self.ending.set_result((code, details))


class Edge(
    agent_pb2_grpc.AgentCommunicationServicer,
    agent_pb2_grpc.EnrolmentServiceServicer,
):
    """A real gRPC server over TLS whose streams are handed to the test."""

    def __init__(self, authority: Authority) -> None:
        self.authority = authority
        self._server = grpc.aio.server()
        agent_pb2_grpc.add_AgentCommunicationServicer_to_server(self, self._server)
        agent_pb2_grpc.add_EnrolmentServiceServicer_to_server(self, self._server)
        credentials = grpc.ssl_server_credentials([(authority.key, authority.certificate)])
        port = self._server.add_secure_port("127.0.0.1:0", credentials)
        self.address = f"127.0.0.1:{port}"
        self.tokens = {"good-token"}
        self.enrolled: list[EnrolRequest] = []
        self._peers: asyncio.Queue[Peer] = asyncio.Queue()

    async def start(self) -> None:
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(None)

    async def peer(self) -> Peer:
        return await soon(self._peers.get())

    async def EstablishCommunicationStream(  # type: ignore[override]  # noqa: N802  # the contract's name; the stub is typed for both kinds of server
        self,
        request_iterator: AsyncIterator[MessageToServer],
        context: grpc.aio.ServicerContext[MessageToServer, MessageToAgent],
    ) -> None:
        peer = Peer(context)
        reading = asyncio.ensure_future(peer.read(request_iterator))
        self._peers.put_nowait(peer)
        try:
            code, details = await peer.ending
        finally:
            reading.cancel()
            peer.gone.set()
        if code is not grpc.StatusCode.OK:
            await context.abort(code, details)

    async def Enrol(  # noqa: N802  # the contract's name
        self,
        request: EnrolRequest,
        context: grpc.aio.ServicerContext[EnrolRequest, EnrolResponse],
    ) -> EnrolResponse:
        if request.token not in self.tokens:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "token refused")
        self.tokens.remove(request.token)
        message = b"flotilla-enrol-v1\0" + request.token.encode()
        VerifyKey(request.public_key).verify(message, request.proof)
        self.enrolled.append(request)
        return EnrolResponse(vps_id=VPS_ID, name="web-1", command_keys=[bytes(32)])


async def soon(awaitable: Awaitable[T]) -> T:
    return await asyncio.wait_for(awaitable, PATIENCE)
