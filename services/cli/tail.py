"""`flotilla tail`: prints the messages of a subject, decoded, one line of JSON each."""

import argparse
import asyncio
import base64
import json
import select
import sys
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.message import DecodeError
from nats.aio.msg import Msg

from flotilla.v1 import bus_pb2, event_pb2, job_pb2, metrics_pb2
from services.cli.connection import connect
from services.cli.settings import OperatorSettings
from services.kit.bus import subjects
from services.kit.bus.connection import TYPE_HEADER
from services.kit.errors import PoisonError, SettingsError
from services.kit.metrics import bundles
from services.kit.settings import load

# Imported so that their message types are registered and can be found by name.
CONTRACT = (bus_pb2, event_pb2, job_pb2, metrics_pb2)
READER_CHECK = 1.0  # seconds without a message between checks whether the reader has gone
QUEUE_LIMIT = 10_000  # messages; further ones are dropped, and their number is printed


def decode_payload(kind: str, data: bytes) -> dict[str, Any]:
    """Return the decoded `message`, or a `problem` and the `payload` in base64."""
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


def check_subject(subject: str) -> None:
    """Raises: SettingsError: NATS does not accept this subject."""
    parts = subject.split(".")
    if any(character.isspace() for character in subject):
        reason = "must not contain spaces"
    elif "" in parts:
        reason = "must not have an empty part between two dots, at its start or at its end"
    elif ">" in subject.removesuffix(">") or (subject.endswith(">") and parts[-1] != ">"):
        reason = 'may have ">" only as its last part'
    elif any("*" in part and part != "*" for part in parts):
        reason = 'may have "*" only as a whole part'
    else:
        return
    raise SettingsError(
        f'The subject "{subject}" {reason}. Examples: telemetry.> and event.vps.*.connected.'
    )


def matches(pattern: str, subject: str) -> bool:
    """Return True if NATS would deliver `subject` to a subscription of `pattern`."""
    wanted, given = pattern.split("."), subject.split(".")
    for number, part in enumerate(wanted):
        if part == ">":
            return len(given) > number
        if number >= len(given) or part not in {"*", given[number]}:
            return False
    return len(wanted) == len(given)


def parts(message: Msg, pattern: str) -> list[Msg]:
    """Return the parts of a message that match. Each batch of a bundle counts as a message."""
    if matches(pattern, message.subject) and pattern.startswith(subjects.BUNDLES):
        return [message]
    try:
        batches = bundles.split(message)
    except PoisonError:
        return [message]
    return [part for part in batches if matches(pattern, part.subject)]


def run(arguments: argparse.Namespace) -> int:
    settings = load(OperatorSettings)
    return asyncio.run(tail(settings, arguments.subject, count=arguments.count, raw=arguments.raw))


async def tail(settings: OperatorSettings, subject: str, *, count: int | None, raw: bool) -> int:
    """Print `count` messages, or without `count` all messages until interrupted.

    Raises:
        SettingsError: this is not a subject.
        UnreachableError: NATS does not answer.
    """
    check_subject(subject)
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
        connection = await stack.enter_async_context(connect(settings, user, password, name="tail"))
        for pattern in wanted:
            await stack.enter_async_context(connection.subscribed(pattern, keep))
        printed = 0
        while count is None or printed < count:
            for part in parts(await _next(queue, None if printed else full), full):
                print(json.dumps(decode(part, raw=raw), ensure_ascii=False), flush=True)
                printed += 1
                if printed == count:
                    break
            if dropped:
                print(
                    json.dumps(
                        {"problem": f"{dropped} messages were dropped: they arrived too fast."}
                    ),
                    flush=True,
                )
                dropped = 0
    return 0


async def _next(queue: asyncio.Queue[Msg], announced: str | None) -> Msg:
    """Return the next message. If none comes, print once that the command waits for `announced`.

    Raises: BrokenPipeError: the reader of standard output has ended, as `head` does.
    """
    while True:
        try:
            # Not `wait_for`, which can lose a Ctrl-C that comes at the same moment as the time limit.
            async with asyncio.timeout(READER_CHECK):
                return await queue.get()
        except TimeoutError:
            if _reader_is_gone():
                raise BrokenPipeError from None
            if announced is not None:
                print(f"Waiting for messages on {announced}. Ctrl-C ends.", file=sys.stderr)
                announced = None


def _reader_is_gone() -> bool:
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)  # poll always reports errors
    return any(events & select.POLLERR for _, events in poll.poll(0))
