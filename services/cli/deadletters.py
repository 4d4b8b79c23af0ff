"""`flotilla dlq`: lists, shows, replays and drops messages that consumers could not process."""

import argparse
import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from services.cli.connection import connect
from services.cli.settings import RepairSettings
from services.cli.tail import decode_payload
from services.kit.bus import subjects
from services.kit.bus.connection import MSG_ID_HEADER, TYPE_HEADER
from services.kit.bus.consumer import ORIGIN_HEADER, REASON_HEADER
from services.kit.bus.subjects import Stream
from services.kit.errors import FlotillaError
from services.kit.settings import load

Action = Callable[[JetStreamContext, argparse.Namespace], Awaitable[int]]


class NoSuchEntryError(FlotillaError):
    def __init__(self, sequence: int) -> None:
        super().__init__(f"There is no dead letter {sequence}. See `flotilla dlq list`.")


@dataclass(frozen=True, slots=True)
class Entry:
    """A dead letter, or NATS' notice that a message reached the delivery limit."""

    sequence: int
    origin: str  # subject
    kind: str  # message type
    reason: str
    source: (
        tuple[str, int] | None
    )  # stream and sequence of the message, if it is still in its stream
    data: bytes
    headers: dict[str, str]


def run_list(arguments: argparse.Namespace) -> int:
    return asyncio.run(_connected(_list, arguments))


def run_show(arguments: argparse.Namespace) -> int:
    return asyncio.run(_connected(_show, arguments))


def run_replay(arguments: argparse.Namespace) -> int:
    return asyncio.run(_connected(_replay, arguments))


def run_drop(arguments: argparse.Namespace) -> int:
    return asyncio.run(_connected(_drop, arguments))


async def _connected(action: Action, arguments: argparse.Namespace) -> int:
    settings = load(RepairSettings)
    user, password = subjects.User.REPAIR, settings.nats_repair_password
    async with connect(settings, user, password, name="dlq") as connection:
        return await action(connection.jetstream, arguments)


async def _list(jetstream: JetStreamContext, arguments: argparse.Namespace) -> int:
    shown = 0
    async for entry in entries(jetstream, after=arguments.after):
        if shown == arguments.limit:
            print(f"… more: flotilla dlq list --after {entry.sequence - 1}")
            break
        print(f"{entry.sequence:>6}  {entry.origin}  {entry.kind}  {entry.reason}")
        shown += 1
    if not shown:
        print("there are no dead letters")
    return 0


async def _show(jetstream: JetStreamContext, arguments: argparse.Namespace) -> int:
    entry = await one(jetstream, arguments.number)
    line = {
        "number": entry.sequence,
        "subject": entry.origin,
        "type": entry.kind,
        "reason": entry.reason,
        "headers": entry.headers,
        **decode_payload(entry.kind, entry.data),
    }
    print(json.dumps(line, indent=2, ensure_ascii=False))
    return 0


async def _replay(jetstream: JetStreamContext, arguments: argparse.Namespace) -> int:
    count = 0
    async for entry in _selected(jetstream, arguments):
        await replay(jetstream, entry)
        count += 1
    print(f"{count} replayed")
    return 0


async def _drop(jetstream: JetStreamContext, arguments: argparse.Namespace) -> int:
    count = 0
    async for entry in _selected(jetstream, arguments):
        await jetstream.delete_msg(Stream.DEADLETTERS, entry.sequence)
        count += 1
    print(f"{count} dropped")
    return 0


async def _selected(
    jetstream: JetStreamContext, arguments: argparse.Namespace
) -> AsyncIterator[Entry]:
    if not arguments.all:
        yield await one(jetstream, arguments.number)
        return
    # Replay only the entries that exist now, because messages that fail again are appended.
    info = await jetstream.stream_info(Stream.DEADLETTERS)
    async for entry in entries(jetstream, after=0):
        if entry.sequence > info.state.last_seq:
            return
        yield entry


async def entries(jetstream: JetStreamContext, *, after: int) -> AsyncIterator[Entry]:
    """Yield the entries after sequence `after`, oldest first."""
    sequence = after
    while True:
        try:
            raw = await jetstream.get_msg(
                Stream.DEADLETTERS, seq=sequence + 1, subject=">", next=True
            )
        except NotFoundError:
            return
        sequence = int(raw.seq or 0)
        yield await _entry(jetstream, raw)


async def one(jetstream: JetStreamContext, sequence: int) -> Entry:
    """Return the entry with this sequence.

    Raises: NoSuchEntryError.
    """
    try:
        raw = await jetstream.get_msg(Stream.DEADLETTERS, seq=sequence)
    except NotFoundError:
        raise NoSuchEntryError(sequence) from None
    return await _entry(jetstream, raw)


async def replay(jetstream: JetStreamContext, entry: Entry) -> None:
    """Publish an entry on its original subject, with a new message id, and delete it here."""
    headers = {
        name: value
        for name, value in entry.headers.items()
        if name not in {REASON_HEADER, ORIGIN_HEADER}
    }
    headers[MSG_ID_HEADER] = f"replay.{entry.sequence}"
    await jetstream.publish(entry.origin, entry.data, headers=headers)
    if entry.source is not None:
        await jetstream.delete_msg(*entry.source)
    await jetstream.delete_msg(Stream.DEADLETTERS, entry.sequence)


async def _entry(jetstream: JetStreamContext, raw: RawStreamMsg) -> Entry:
    sequence, data = int(raw.seq or 0), raw.data or b""
    headers = dict(raw.headers or {})
    source = None
    reason = headers.get(REASON_HEADER, "")
    origin = headers.get(ORIGIN_HEADER, raw.subject or "")
    if not (raw.subject or "").startswith(subjects.PREFIX):
        # A notice of NATS names the message, which is usually still in its stream.
        notice = json.loads(data)
        source = (notice["stream"], int(notice["stream_seq"]))
        reason = f"delivered {notice['deliveries']} times to {notice['consumer']}"
        try:
            message = await jetstream.get_msg(*source)
        except NotFoundError:
            return Entry(sequence, origin, "", f"{reason}; expired since", None, data, headers)
        headers, data = dict(message.headers or {}), message.data or b""
        origin = message.subject or ""
    return Entry(sequence, origin, headers.get(TYPE_HEADER, ""), reason, source, data, headers)
