"""Any subject, decoded, one JSON line a message."""

import asyncio
import base64
import json
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.message import DecodeError
from nats.aio.msg import Msg

from flotilla.v1 import bus_pb2, event_pb2, job_pb2, metrics_pb2
from services.cli.settings import OperatorSettings
from services.kit import bundles, bus, subjects
from services.kit.bus import TYPE_HEADER
from services.kit.errors import PoisonError

# Importing them registers their messages, which headers name.
CONTRACT = (bus_pb2, event_pb2, job_pb2, metrics_pb2)
QUEUE_LIMIT = 10_000  # messages; more are dropped, and the end says how many


def decode_payload(kind: str, data: bytes) -> dict[str, Any]:
    """`message` of type `kind`; or, where it is none, the `problem` and base64 `payload`."""
    try:
        descriptor = descriptor_pool.Default().FindMessageTypeByName(kind)
        payload = message_factory.GetMessageClass(descriptor).FromString(data)
    except (KeyError, DecodeError) as error:
        return {"problem": str(error), "payload": base64.b64encode(data).decode()}
    return {"message": json_format.MessageToDict(payload, preserving_proto_field_name=True)}


def decode(message: Msg, *, raw: bool) -> dict[str, Any]:
    headers = dict(message.headers or {})
    kind = headers.pop(TYPE_HEADER, "")
    line: dict[str, Any] = {
        "received": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "subject": message.subject,
        "type": kind,
        "headers": headers,
    }
    if raw:
        return {**line, "payload": base64.b64encode(message.data).decode()}
    return {**line, **decode_payload(kind, message.data)}


def matches(pattern: str, subject: str) -> bool:
    """Whether NATS would deliver `subject` to a subscription of `pattern`."""
    wanted, given = pattern.split("."), subject.split(".")
    for number, part in enumerate(wanted):
        if part == ">":
            return len(given) > number
        if number >= len(given) or part not in {"*", given[number]}:
            return False
    return len(wanted) == len(given)


def parts(message: Msg, pattern: str) -> list[Msg]:
    """What of a message was asked for: a bundle's batches, each as if it had come alone."""
    if matches(pattern, message.subject) and pattern.startswith(subjects.BUNDLES):
        return [message]
    try:
        unbundled = bundles.unbundled(message)
    except PoisonError:
        return [message]
    return [part for part in unbundled if matches(pattern, part.subject)]


async def tail(settings: OperatorSettings, subject: str, *, count: int | None, raw: bool) -> int:
    """Print until `count` messages came, for ever without."""
    full = subject if subject.startswith(f"{subjects.PREFIX}.") else f"{subjects.PREFIX}.{subject}"
    queue: asyncio.Queue[Msg] = asyncio.Queue(QUEUE_LIMIT)
    dropped = 0

    async def keep(message: Msg) -> None:
        nonlocal dropped
        try:
            queue.put_nowait(message)
        except asyncio.QueueFull:
            dropped += 1

    wanted = [full]
    if full.startswith(subjects.TELEMETRY_ALL.rstrip(">")) and not matches(
        full, subjects.bundle("any")
    ):
        wanted.append(subjects.TELEMETRY_BUNDLES_ALL)
    user, password = subjects.User.OPERATOR, settings.nats_operator_password
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(
            bus.connect(settings, user, password, name="tail")
        )
        for pattern in wanted:
            await stack.enter_async_context(connection.subscribed(pattern, keep))
        printed = 0
        while count is None or printed < count:
            for part in parts(await queue.get(), full):
                print(json.dumps(decode(part, raw=raw), ensure_ascii=False), flush=True)
                printed += 1
                if printed == count:
                    break
            if dropped:
                print(json.dumps({"problem": f"{dropped} messages dropped: too many"}), flush=True)
                dropped = 0
    return 0
