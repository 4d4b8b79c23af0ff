"""Delay from the measurement of a sample to its arrival at a viewer."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import httpx
from websockets.asyncio.client import connect


@dataclass(frozen=True, slots=True)
class Delay:
    vps_id: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Delays:
    samples: int
    servers: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


def socket_url(client: httpx.Client, resource: str) -> str:
    """Return the address, with a ticket, of `fleet/realtime` or `vps/<id>/metrics/realtime`."""
    answer = client.post("/ws-tickets", json={"resource": resource}).raise_for_status()
    address = str(client.base_url.join(resource)).replace("http", "ws", 1)
    return f"{address}?ticket={answer.json()['ticket']}"


async def collect(url: str, delays: list[Delay]) -> None:
    """Add the delay of every live sample, until cancelled.

    The agents must run on this machine, because sender and receiver must use the same clock.
    """
    async with connect(url, proxy=None) as socket:
        opened = time.time()
        async for text in socket:
            received = time.time()
            message = json.loads(text)
            if message["event"] != "sample":
                continue
            measured = datetime.fromisoformat(message["time"]).timestamp()
            if measured >= opened:  # older samples are sent when the socket opens
                delays.append(Delay(message["vps_id"], received - measured))


def summarise(delays: Sequence[Delay]) -> Delays | None:
    if not delays:
        return None
    ordered = sorted(delay.seconds for delay in delays)

    def rank(share: float) -> float:
        return round(1000 * ordered[math.ceil(share * len(ordered)) - 1], 1)

    servers = len({delay.vps_id for delay in delays})
    return Delays(len(ordered), servers, rank(0.5), rank(0.95), rank(0.99), rank(1))
