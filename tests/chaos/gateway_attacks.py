"""Attacks on the gateway by clients that cannot log in. Each returns how the gateway ended it."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random

from tests.bench.grpc_stream import PREFACE, SETTINGS
from tests.chaos.hostile_connection import Target, connected, drip, ending, frame

KIB, MIB = 1 << 10, 1 << 20
NAMES = ("admin", "root", "guest")
LOGIN = "/api/v1/auth/login"
# A server that exists, and paths that reach far into the application.
PATHS = (
    "/api/v1/vps",
    "/api/v1/auth/me",
    "/api/v1/vps/6d9f0bd0-0000-4000-8000-000000000000/files/download?path=/etc/passwd",
    "/api/v1/fleet/overview",
    "/api/v1/runs",
)


async def idle(where: Target) -> str:
    async with connected(where.gateway) as (reader, _):
        return await ending(reader)


async def slow_headers(where: Target) -> str:
    return await _dripped(where, b"", _request("GET", "/", [(f"X-{n}", "a") for n in range(200)]))


async def oversized_headers(where: Target) -> str:
    """Send one long header or many short ones, with or without their end."""
    many = [(f"X-{number}", "a" * 20) for number in range(5_000)]
    head = _request("GET", "/", random.choice([many, [("X-Long", "a" * 200_000)]]))
    return await _sent(where, random.choice([head, head[:-2], b"GET /" + b"a" * 200_000]))


async def slow_body(where: Target) -> str:
    head = _request("POST", LOGIN, [("Content-Length", "1000")])
    return await _dripped(where, head, b" " * 1_000)


async def missing_body(where: Target) -> str:
    return await _sent(where, _request("POST", LOGIN, [("Content-Length", "1000")]))


async def unfinished_body(where: Target) -> str:
    """Send all of a large body but its last bytes."""
    head = _request("POST", LOGIN, [("Content-Length", str(MIB))])
    return await _sent(where, head + b" " * (MIB - 10))


async def huge_json(where: Target) -> str:
    size = random.choice([900 * KIB, 2 * MIB])
    body = b'{"username": "' + b"a" * size + b'", "password": "a"}'
    return await _sent(where, _with_body(body))


async def nested_json(where: Target) -> str:
    depth = random.choice([100, 1_000, 100_000])
    opening = random.choice([b"[", b'{"username":'])
    return await _sent(where, _with_body(opening * depth))


async def odd_bytes(where: Target) -> str:
    """Send what is no UTF-8, and NUL, in the path, the query, a header and the body."""
    odd = random.choice([b"\xff\xfe", b"\0", b"\xed\xa0\x80", b"%00", b"%ff", b"%ed%a0%80"])
    path = random.choice(PATHS).encode()
    head = random.choice(
        [
            b"GET " + path + b"/" + odd + b" HTTP/1.1\r\n\r\n",
            b"GET " + path + b"?search=" + odd + b" HTTP/1.1\r\n\r\n",
            b"GET " + path + b" HTTP/1.1\r\nHost: " + odd + b"\r\n\r\n",
            b"GET " + path + b" HTTP/1.1\r\nAuthorization: Bearer " + odd + b"\r\n\r\n",
            b"GET " + path + b" HTTP/1.1\r\nCookie: flotilla_session=" + odd + b"\r\n\r\n",
            b"GET " + path + b" HTTP/1.1\r\n" + odd + b": a\r\n\r\n",
            _with_body(b'{"username": "' + odd + b'", "password": "' + odd + b'"}'),
        ]
    )
    return await _sent(where, head)


async def false_token(where: Target) -> str:
    part = base64.urlsafe_b64encode(os.urandom(60)).decode()
    token = random.choice(["", part, f"{part}.{part}.{part}", "a" * 30_000])
    method = random.choice(["GET", "GET", "DELETE", "POST", "PUT", "PATCH"])
    head = _request(method, random.choice(PATHS), [("Authorization", f"Bearer {token}")])
    return await _sent(where, head)


async def web_socket(where: Target) -> str:
    """Ask for a WebSocket without a ticket, or with one that nobody issued."""
    ticket = random.choice(["", "?ticket=", f"?ticket={os.urandom(16).hex()}"])
    key = base64.b64encode(os.urandom(16)).decode()
    fields = [
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", random.choice(["13", "8", "x"])),
        ("Sec-WebSocket-Key", random.choice([key, "short"])),
    ]
    resource = random.choice(["fleet/realtime", "vps/x/metrics/realtime", "nothing"])
    head = _request("GET", f"/api/v1/{resource}{ticket}", fields)
    return await _sent(where, head.replace(b"Connection: close", b"Connection: Upgrade"))


async def log_in(where: Target) -> str:
    """Guess the password of a well-known account, or of one that does not exist."""
    name = random.choice([*NAMES, os.urandom(8).hex()])
    guess = {"username": name, "password": os.urandom(8).hex()}
    return await _sent(where, _with_body(json.dumps(guess).encode()))


async def not_http(where: Target) -> str:
    """Send HTTP/2, TLS, or random bytes."""
    http2 = PREFACE + frame(SETTINGS, 0, 0, b"") + os.urandom(200)
    tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(500)
    return await _sent(where, random.choice([http2, tls, os.urandom(2_000), b"\r\n" * 1_000]))


async def many_requests(where: Target) -> str:
    """Send a hundred requests at once on one connection, and read the answers late."""
    one = _request("GET", random.choice(PATHS), [])
    async with connected(where.gateway) as (reader, writer):
        writer.write(one.replace(b"Connection: close\r\n", b"") * 100)
        await asyncio.sleep(3)
        return await ending(reader)


async def bad_chunks(where: Target) -> str:
    chunks = random.choice(
        [b"fffffffffffffffff\r\n", b"1\r\nab\r\n", b"-1\r\n", b"5;" + b"x" * 100_000 + b"\r\n"]
    )
    return await _sent(where, _request("POST", LOGIN, [("Transfer-Encoding", "chunked")]) + chunks)


async def two_lengths(where: Target) -> str:
    """Send a request that proxies and servers may delimit differently."""
    second = random.choice(["Content-Length", "Transfer-Encoding"])
    fields = [("Content-Length", "5"), (second, "6" if second == "Content-Length" else "chunked")]
    return await _sent(where, _request("POST", LOGIN, fields) + b"0\r\n\r\nGET / HTTP/1.1\r\n\r\n")


async def _sent(where: Target, data: bytes) -> str:
    async with connected(where.gateway) as (reader, writer):
        writer.write(data)
        return await ending(reader)


async def _dripped(where: Target, head: bytes, rest: bytes) -> str:
    async with connected(where.gateway) as (reader, writer):
        writer.write(head)
        dripping = asyncio.ensure_future(drip(writer, rest, 1.0))
        try:
            return await ending(reader)
        finally:
            dripping.cancel()
            await asyncio.gather(dripping, return_exceptions=True)


def _request(method: str, path: str, fields: list[tuple[str, str]]) -> bytes:
    """Return the head of a request, after whose answer the connection is closed."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        "Connection: close",
        *(f"{name}: {value}" for name, value in fields),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def _with_body(body: bytes) -> bytes:
    return _request("POST", LOGIN, [("Content-Length", str(len(body)))]) + body


# The attacks, and how often each begins in a second.
ATTACKS = {
    idle: 10.0,
    slow_headers: 5.0,
    oversized_headers: 3.0,
    slow_body: 3.0,
    missing_body: 3.0,
    unfinished_body: 3.0,
    huge_json: 1.0,
    nested_json: 2.0,
    odd_bytes: 5.0,
    false_token: 5.0,
    web_socket: 5.0,
    log_in: 20.0,
    not_http: 5.0,
    many_requests: 1.0,
    bad_chunks: 2.0,
    two_lengths: 2.0,
}
