"""What consumers set aside, and what was delivered too often: look, send again, or drop."""

import argparse
import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from services.cli.settings import RepairSettings
from services.cli.tail import decode_payload
from services.kit import bus, subjects
from services.kit.bus import MSG_ID_HEADER, TYPE_HEADER
from services.kit.consumer import ORIGIN_HEADER, REASON_HEADER
from services.kit.errors import FlotillaError
from services.kit.settings import load
from services.kit.subjects import Stream

Action = Callable[[JetStreamContext, argparse.Namespace], Awaitable[int]]
Command = Callable[[argparse.Namespace], int]

LIST_LIMIT = 50  # entries of one listing, unless asked otherwise


class NoSuchEntryError(FlotillaError):
    def __init__(self, sequence: int) -> None:
        super().__init__(f"there is no dead letter {sequence}; see `flotilla dlq list`")


@dataclass(frozen=True, slots=True)
class Entry:
    """A dead letter, or the notice that a message was delivered too often."""

    sequence: int
    origin: str  # subject
    kind: str  # message type
    reason: str
    source: tuple[str, int] | None  # stream and sequence, where the message itself still is
    data: bytes
    headers: dict[str, str]


def add_commands(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="oldest first")
    listing.add_argument("--after", type=int, default=0, metavar="NUMBER", help="start behind it")
    listing.add_argument("--limit", type=int, default=LIST_LIMIT)
    listing.set_defaults(command=_run(_list))
    for name, action, text in (
        ("show", _show, "print one, decoded"),
        ("replay", _replay, "send to where it came from, then remove"),
        ("drop", _drop, "remove for good"),
    ):
        command = commands.add_parser(name, help=text)
        if name == "show":
            command.add_argument("number", type=int)
        else:
            which = command.add_mutually_exclusive_group(required=True)
            which.add_argument("number", type=int, nargs="?")
            which.add_argument("--all", action="store_true")
        command.set_defaults(command=_run(action))


def _run(action: Action) -> Command:
    def command(arguments: argparse.Namespace) -> int:
        async def connected() -> int:
            async with _connect() as connection:
                return await action(connection.jetstream, arguments)

        return asyncio.run(connected())

    return command


def _connect() -> AbstractAsyncContextManager[bus.Bus]:
    settings = load(RepairSettings)
    user, password = subjects.User.REPAIR, settings.nats_repair_password
    return bus.connect(settings, user, password, name="dlq")


async def _list(jetstream: JetStreamContext, arguments: argparse.Namespace) -> int:
    shown = 0
    async for entry in entries(jetstream, after=arguments.after):
        if shown == arguments.limit:
            print(f"… more: flotilla dlq list --after {entry.sequence - 1}")
            break
        print(f"{entry.sequence:>6}  {entry.origin}  {entry.kind}  {entry.reason}")
        shown += 1
    if not shown:
        print("nothing was set aside")
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
    async for entry in _chosen(jetstream, arguments):
        await replay(jetstream, entry)
        count += 1
    print(f"{count} sent again")
    return 0


async def _drop(jetstream: JetStreamContext, arguments: argparse.Namespace) -> int:
    count = 0
    async for entry in _chosen(jetstream, arguments):
        await jetstream.delete_msg(Stream.DEADLETTERS, entry.sequence)
        count += 1
    print(f"{count} dropped")
    return 0


async def _chosen(
    jetstream: JetStreamContext, arguments: argparse.Namespace
) -> AsyncIterator[Entry]:
    if not arguments.all:
        yield await one(jetstream, arguments.number)
        return
    # Only those there now: what fails again comes back at the end.
    info = await jetstream.stream_info(Stream.DEADLETTERS)
    async for entry in entries(jetstream, after=0):
        if entry.sequence > info.state.last_seq:
            return
        yield entry


async def entries(jetstream: JetStreamContext, *, after: int) -> AsyncIterator[Entry]:
    """Entries behind sequence `after`, oldest first."""
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
    """Raises: NoSuchEntryError."""
    try:
        raw = await jetstream.get_msg(Stream.DEADLETTERS, seq=sequence)
    except NotFoundError:
        raise NoSuchEntryError(sequence) from None
    return await _entry(jetstream, raw)


async def replay(jetstream: JetStreamContext, entry: Entry) -> None:
    """Publish an entry where it came from, under a new name, and remove it here."""
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
        # The server's own notice names the message, which is still in its stream.
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
