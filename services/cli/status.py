"""`flotilla status`: the services, the streams and their waiting messages, as seen on the bus."""

import argparse
import asyncio
import json
import time
from typing import Any

from google.protobuf import json_format
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.errors import APIError

from flotilla.v1.bus_pb2 import ServiceStatus
from services.cli.connection import connect, explain
from services.cli.settings import OperatorSettings
from services.kit.bus import connection as bus
from services.kit.bus import subjects
from services.kit.bus.subjects import Stream
from services.kit.health import is_ready
from services.kit.services import DURABLES, SERVICES
from services.kit.settings import load

ANSWER_TIMEOUT = 0.7  # seconds for the services to answer


def run(arguments: argparse.Namespace) -> int:
    return asyncio.run(print_status(load(OperatorSettings), as_json=arguments.json))


async def print_status(settings: OperatorSettings, *, as_json: bool) -> int:
    """Print the status; return 0 if every service answers and is ready, else 1."""
    user, password = subjects.User.OPERATOR, settings.nats_operator_password
    async with asyncio.timeout(15):
        async with connect(settings, user, password, name="status") as connection:
            services = await _services(connection)
            streams = [await _stream(connection, stream) for stream in Stream]
    ready = {s.service for s in services if is_ready(s)}
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
        await asyncio.sleep(ANSWER_TIMEOUT)
    places = {name: place for place, name in enumerate(SERVICES)}
    return sorted(answers, key=lambda status: (places[status.service], status.instance))


async def _stream(connection: bus.Bus, stream: Stream) -> dict[str, Any]:
    try:
        info = await connection.jetstream.stream_info(stream)
        durables = {}
        for durable in DURABLES:
            if durable.stream != stream:
                continue
            consumer = await connection.jetstream.consumer_info(stream, durable.name)
            durables[durable.name.value] = {
                "waiting": consumer.num_pending,
                "in_hand": consumer.num_ack_pending,
            }
    except (NatsError, APIError, TimeoutError) as error:
        return {"stream": stream.value, "problem": explain(error)}
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
            mark = "✓" if is_ready(status) else "✗"
            hours = (time.time() - status.started_at_unix_ms / 1000) / 3600
            checks = "; ".join(f"{check.name}: {check.detail}" for check in status.checks)
            print(f"{mark} {name:<10} {status.instance}  up {hours:.1f} h  {checks}")
    for stream in streams:
        if "problem" in stream:
            print(f"✗ {stream['stream']:<12} {stream['problem']}")
            continue
        waits = "; ".join(
            f"{name}: {d['waiting']} waiting, {d['in_hand']} being processed"
            for name, d in stream["durables"].items()
        )
        size = stream["bytes"] / 1e6
        print(f"  {stream['stream']:<12} {stream['messages']} messages, {size:.1f} MB  {waits}")
