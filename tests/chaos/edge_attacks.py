"""Attacks on the edge by clients that cannot log in. Each returns how the edge ended it."""

from __future__ import annotations

import asyncio
import os
import random
import ssl
import struct
from contextlib import suppress

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from flotilla.v1.agent_pb2 import AgentHandshake, EnrolRequest, MessageToAgent, MessageToServer
from tests.bench import content, grpc_stream
from tests.bench.grpc_stream import (
    END_HEADERS,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    STREAM_ID,
)
from tests.chaos.hostile_connection import (
    PATIENCE,
    Answers,
    Target,
    connected,
    drip,
    ending,
    frame,
    stream,
)

CONTINUATION = 9
STREAMS = 100  # opened on one connection
FLOOD = 1_000  # frames
MIB = 1 << 20
ENROL = b"/flotilla.v1.EnrolmentService/Enrol"
# With gRPC's limit for one message, this is the largest that the edge keeps in memory.
UNFINISHED_BYTES = 2 * MIB
OVERSIZED_BYTES = 4 * MIB
KNOWN_AGENTS = 200


async def idle(where: Target) -> str:
    async with connected(where.edge) as (reader, _):
        return await ending(reader)


async def unfinished_tls(where: Target) -> str:
    """Send half of a TLS handshake's first message, or all of it, and nothing more."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        where.tls.wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    hello = outgoing.read()
    async with connected(where.edge) as (reader, writer):
        writer.write(hello[: random.choice([1, 5, len(hello) // 2, len(hello)])])
        return await ending(reader)


async def not_tls(where: Target) -> str:
    async with connected(where.edge) as (reader, writer):
        writer.write(random.choice([b"GET / HTTP/1.1\r\n\r\n", PREFACE, os.urandom(500)]))
        return await ending(reader)


async def silent_after_tls(where: Target) -> str:
    async with connected(where.edge, where.tls) as (reader, _):
        return await ending(reader)


async def without_stream(where: Target) -> str:
    async with connected(where.edge, where.tls) as (reader, writer):
        writer.write(PREFACE + frame(SETTINGS, 0, 0, b""))
        return await ending(reader)


async def silent_stream(where: Target) -> str:
    async with stream(where, grpc_stream.opening(where.authority)) as (_, answers):
        return await answers.end()


async def wrong_signature(where: Target) -> str:
    """Answer the challenge for a known server with another key, or for an unknown server."""
    known = random.random() < 0.8
    server = str(content.vps_id(random.randrange(KNOWN_AGENTS) if known else 1_000_000))
    async with stream(where, grpc_stream.opening(where.authority)) as (made, answers):
        nonce = await _challenge(answers)
        signed = b"flotilla-stream-v1\0" + server.encode() + b"\0" + nonce
        handshake = AgentHandshake(
            vps_id=server, signature=Ed25519PrivateKey.generate().sign(signed)
        )
        made.send(MessageToServer(handshake=handshake).SerializeToString())
        return await answers.end()


async def malformed_message(where: Target) -> str:
    async with stream(where, grpc_stream.opening(where.authority)) as (made, answers):
        made.send(os.urandom(random.randrange(1, 2_000)))
        return await answers.end()


async def oversized_message(where: Target) -> str:
    async with stream(where, grpc_stream.opening(where.authority)) as (made, answers):
        made.send(b"\0" * OVERSIZED_BYTES)
        return await answers.end()


async def unfinished_message(where: Target) -> str:
    """Send all of a large first message but its last bytes."""
    path = random.choice([grpc_stream.PATH, ENROL])
    async with stream(where, grpc_stream.opening(where.authority, path)) as (made, answers):
        made.send(b"\0" * (UNFINISHED_BYTES - 100), claimed=UNFINISHED_BYTES)
        return await answers.end()


async def slow_message(where: Target) -> str:
    async with connected(where.edge, where.tls) as (reader, writer):
        writer.write(grpc_stream.opening(where.authority))
        writer.write(frame(grpc_stream.DATA, 0, STREAM_ID, b"", length=16_384))
        return await _dripped(reader, writer, struct.pack(">BI", 0, 16_379) + b"\0" * 16_379)


async def many_streams(where: Target) -> str:
    call = grpc_stream.call_headers(where.authority)
    async with connected(where.edge, where.tls) as (reader, writer):
        writer.write(grpc_stream.opening(where.authority))
        for number in range(1, STREAMS):
            writer.write(frame(HEADERS, END_HEADERS, 1 + 2 * number, call))
        return await ending(reader)


async def reset_streams(where: Target) -> str:
    """Open streams and reset each at once (CVE-2023-44487)."""
    call = grpc_stream.call_headers(where.authority)
    async with connected(where.edge, where.tls) as (reader, writer):
        writer.write(grpc_stream.opening(where.authority))
        for number in range(1, STREAMS):
            writer.write(frame(HEADERS, END_HEADERS, 1 + 2 * number, call))
            writer.write(frame(RST_STREAM, 0, 1 + 2 * number, struct.pack(">I", 8)))
        return await ending(reader)


async def frame_flood(where: Target) -> str:
    """Send frames that the edge must answer, and read no answer for a while (CVE-2019-9512)."""
    one = random.choice([frame(PING, 0, 0, b"12345678"), frame(SETTINGS, 0, 0, b"")])
    async with connected(where.edge, where.tls) as (reader, writer):
        writer.write(PREFACE + frame(SETTINGS, 0, 0, b"") + one * FLOOD)
        await asyncio.sleep(2)
        return await ending(reader)


async def oversized_headers(where: Target) -> str:
    """Send headers without end in frames of continuation (CVE-2024-27316)."""
    async with connected(where.edge, where.tls) as (reader, writer):
        writer.write(PREFACE + frame(SETTINGS, 0, 0, b""))
        field = b"\0\x04long\x7f\x81\x7e" + b"a" * 16_256
        writer.write(frame(HEADERS, 0, STREAM_ID, field))
        for _ in range(STREAMS):
            writer.write(frame(CONTINUATION, 0, STREAM_ID, field))
            with suppress(ConnectionError):
                await writer.drain()
        return await ending(reader)


async def garbage_frames(where: Target) -> str:
    """Send frames with random kinds, flags, streams, lengths and contents."""
    async with connected(where.edge, where.tls) as (reader, writer):
        writer.write(PREFACE + frame(SETTINGS, 0, 0, b""))
        for _ in range(20):
            payload = os.urandom(random.randrange(200))
            kind, flags = random.randrange(256), random.randrange(256)
            writer.write(frame(kind, flags, random.randrange(1 << 32), payload))
        return await ending(reader)


async def false_enrolment(where: Target) -> str:
    """Enrol with a valid proof and a token that nobody issued."""
    key, token = Ed25519PrivateKey.generate(), os.urandom(24).hex()
    request = EnrolRequest(
        token=token,
        public_key=key.public_key().public_bytes_raw(),
        proof=key.sign(b"flotilla-enrol-v1\0" + token.encode()),
    )
    opening = grpc_stream.opening(where.authority, ENROL)
    async with stream(where, opening) as (made, answers):
        made.send(request.SerializeToString())
        return await answers.end()


async def _challenge(answers: Answers) -> bytes:
    async with asyncio.timeout(PATIENCE):
        return MessageToAgent.FromString(await answers.messages.get()).challenge.nonce


async def _dripped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> str:
    dripping = asyncio.ensure_future(drip(writer, data, 1.0))
    try:
        return await ending(reader)
    finally:
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)


# The attacks, and how often each begins in a second.
ATTACKS = {
    idle: 10.0,
    unfinished_tls: 10.0,
    not_tls: 5.0,
    silent_after_tls: 5.0,
    without_stream: 5.0,
    silent_stream: 10.0,
    wrong_signature: 10.0,
    malformed_message: 3.0,
    oversized_message: 1.0,
    unfinished_message: 5.0,
    slow_message: 3.0,
    many_streams: 2.0,
    reset_streams: 2.0,
    frame_flood: 2.0,
    oversized_headers: 2.0,
    garbage_frames: 5.0,
    false_enrolment: 5.0,
}
