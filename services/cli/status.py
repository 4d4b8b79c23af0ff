"""Services, streams and what waits in them, as seen on the bus."""

import asyncio
import json
import time
from typing import Any

from google.protobuf import json_format
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.errors import APIError

from flotilla.v1.bus_pb2 import ServiceStatus
from services.cli.settings import OperatorSettings
from services.kit import bus, subjects
from services.kit.subjects import Durable, Stream

ANSWER_TIME = 0.7  # seconds services have to answer
SERVICES = ("edge", "writer", "rollup", "gateway", "shellproxy")
DURABLES = {
    Stream.TELEMETRY: (Durable.INGEST_WRITE_TELEMETRY,),
    Stream.EVENTS: (Durable.GATEWAY_RECORD_EVENTS, Durable.GATEWAY_RECORD_AUDIT),
}


async def print_status(settings: OperatorSettings, *, as_json: bool) -> int:
    """0 when every service answers and is ready."""
    user, password = subjects.User.OPERATOR, settings.nats_operator_password
    async with asyncio.timeout(15):
        async with bus.connect(settings, user, password, name="status") as connection:
            services = await _services(connection)
            streams = [await _stream(connection, stream) for stream in Stream]
    ready = {s.service for s in services if all(check.ready for check in s.checks)}
    if as_json:
        found = [
            json_format.MessageToDict(
                s, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
            )
            for s in services
        ]
        print(json.dumps({"services": found, "streams": streams}))
    else:
        _print(services, streams)
    return 0 if ready >= set(SERVICES) else 1


async def _services(connection: bus.Bus) -> list[ServiceStatus]:
    answers: list[ServiceStatus] = []
    inbox = connection.client.new_inbox()

    async def take(message: Msg) -> None:
        if message.data:
            answers.append(bus.decode(message.data, ServiceStatus))

    async with connection.subscribed(inbox, take):
        for service in SERVICES:
            await connection.client.publish(subjects.service_status(service), reply=inbox)
        await connection.client.flush()
        await asyncio.sleep(ANSWER_TIME)
    return sorted(answers, key=lambda status: (SERVICES.index(status.service), status.instance))


async def _stream(connection: bus.Bus, stream: Stream) -> dict[str, Any]:
    try:
        info = await connection.jetstream.stream_info(stream)
        durables = {}
        for durable in DURABLES.get(stream, ()):
            consumer = await connection.jetstream.consumer_info(stream, durable)
            durables[durable.value] = {
                "waiting": consumer.num_pending,
                "in_hand": consumer.num_ack_pending,
            }
    except (NatsError, APIError, TimeoutError) as error:
        return {"stream": stream.value, "problem": str(error)}
    return {
        "stream": stream.value,
        "messages": info.state.messages,
        "bytes": info.state.bytes,
        "durables": durables,
    }


def _print(services: list[ServiceStatus], streams: list[dict[str, Any]]) -> None:
    for name in SERVICES:
        instances = [status for status in services if status.service == name]
        if not instances:
            print(f"✗ {name:<10} no answer")
        for status in instances:
            mark = "✓" if all(check.ready for check in status.checks) else "✗"
            hours = (time.time() - status.started_at_unix_ms / 1000) / 3600
            checks = "; ".join(f"{check.name}: {check.detail}" for check in status.checks)
            print(f"{mark} {name:<10} {status.instance}  up {hours:.1f} h  {checks}")
    for stream in streams:
        if "problem" in stream:
            print(f"✗ {stream['stream']:<12} {stream['problem']}")
            continue
        waits = "; ".join(
            f"{name}: {d['waiting']} waiting, {d['in_hand']} in hand"
            for name, d in stream["durables"].items()
        )
        size = stream["bytes"] / 1e6
        print(f"  {stream['stream']:<12} {stream['messages']} messages, {size:.1f} MB  {waits}")
