"""Scripts on servers: run, told of while they run, and kept, whether or not anybody waits."""

import asyncio
import codecs
import dataclasses
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import msgspec
import psycopg
import structlog
from msgspec import UNSET
from msgspec.structs import replace

from flotilla.v1.command_pb2 import Command, CommandResponse, ShellAction
from services.gateway import errors, orders
from services.gateway.command_schemas import CommandLine, Status
from services.gateway.guard import AuthedRequest
from services.gateway.pieces import is_passing
from services.gateway.runtime import Runtime
from services.gateway.store import commands as store
from services.gateway.store import fleet
from services.kit import database
from services.kit.commands import (
    ANSWER_GRACE,
    MAX_OUTPUT,
    OfflineError,
    execution,
    new_command,
)
from services.kit.errors import PoisonError, TransientError

log = structlog.get_logger(__name__)

SINGLES = 100  # of a gateway, at once
FAN_OUTS = 8
SERVERS_AT_ONCE = 20  # of a fan-out
UNREAD_LIMIT = 4 * 1024 * 1024  # bytes a client may be behind before output is left out for it
KEEP_RETRIES = (1.0, 2.0, 4.0, 8.0, 15.0)  # seconds; then it is called lost
RETURN_PATIENCE = 60.0  # seconds beyond a script's own time for a broken connection to come back
REPEAT_INTERVAL = 1.0  # seconds before an agent whose answer broke off is asked again
LOST_GRACE = (
    ANSWER_GRACE + RETURN_PATIENCE + sum(KEEP_RETRIES) + 30.0
)  # seconds beyond a script's own time
BROKEN = "the connection to the server broke, and whether it finished is not known"

STATUSES: dict[CommandResponse.Status.ValueType, Status] = {
    CommandResponse.STATUS_FINISHED: "finished",
    CommandResponse.STATUS_TIMED_OUT: "timed_out",
    CommandResponse.STATUS_REFUSED: "refused",
    CommandResponse.STATUS_CANCELLED: "cancelled",
}
ENDED_THERE = ("finished", "timed_out", "cancelled")

Tell = Callable[[CommandLine], None]
Printing = Callable[[str, str], None]


class Lines:
    """What the client of a fan-out is told; never more than `UNREAD_LIMIT` wait for it."""

    def __init__(self) -> None:
        self.left = False  # nobody reads any more
        self._waiting: deque[bytes] = deque()
        self._size = 0  # bytes
        self._incomplete: set[UUID] = set()
        self._ended = False
        self._changed = asyncio.Event()

    def put(self, line: CommandLine) -> None:
        if self.left:
            return
        if line.event == "output" and self._size > UNREAD_LIMIT:
            self._incomplete.add(line.vps_id)
            return
        if line.event == "finished" and line.vps_id in self._incomplete:
            line = replace(line, truncated=True)
        encoded = msgspec.json.encode(line) + b"\n"
        self._waiting.append(encoded)
        self._size += len(encoded)
        self._changed.set()

    def end(self) -> None:
        self._ended = True
        self._changed.set()

    async def read(self) -> AsyncGenerator[bytes, None]:
        try:
            while self._waiting or not self._ended:
                if not self._waiting:
                    self._changed.clear()
                    await self._changed.wait()
                    continue
                line = self._waiting.popleft()
                self._size -= len(line)
                yield line
        finally:
            self.left = True
            self._waiting.clear()


@dataclass(frozen=True, slots=True)
class Ended:
    status: Status
    exit_code: int | None = None
    reason: str = ""
    # What a request that waits for this alone is answered, when it came to nothing.
    problem: errors.RequestError | None = None


class Printed:
    """A script's output as text, within `MAX_OUTPUT` bytes."""

    def __init__(self) -> None:
        self.truncated = False
        self._room = MAX_OUTPUT
        self._texts: dict[str, list[str]] = {"stdout": [], "stderr": []}
        # A character may be cut in two by the parts.
        decoder = codecs.getincrementaldecoder("utf-8")
        self._decoders = {name: decoder("replace") for name in self._texts}
        self._taken = dict.fromkeys(self._texts, 0)  # bytes
        self._known = dict.fromkeys(self._texts, 0)  # bytes to come that were taken before

    def begin_again(self) -> None:
        """The answer comes once more, from its start."""
        self._known = dict(self._taken)

    def take(self, part: CommandResponse) -> tuple[str, str]:
        """What is new in it."""
        self.truncated |= part.truncated
        refused = part.status == CommandResponse.STATUS_REFUSED
        broke_off = part.failure == CommandResponse.FAILURE_DISCONNECTED
        final = part.last and not (refused or broke_off)
        return (
            self._take("stdout", part.stdout, final=final),
            self._take("stderr", part.stderr, final=final),
        )

    def _take(self, name: str, data: bytes, *, final: bool) -> str:
        known = min(len(data), self._known[name])
        self._known[name] -= known
        data = data[known:]
        self._taken[name] += len(data)
        if len(data) > self._room:
            self.truncated = True
            data = data[: self._room]
        self._room -= len(data)
        # PostgreSQL's text has no NUL.
        text = self._decoders[name].decode(data, final=final).replace("\0", "\ufffd")
        if text:
            self._texts[name].append(text)
        return text

    @property
    def stdout(self) -> str:
        return "".join(self._texts["stdout"])

    @property
    def stderr(self) -> str:
        return "".join(self._texts["stderr"])


@dataclass(frozen=True, slots=True)
class Script:
    """Who wants what."""

    request: AuthedRequest
    text: str
    timeout: int  # seconds


async def run(
    runtime: Runtime, script: Script, vps: fleet.Vps, tell: Tell
) -> tuple[Ended, store.Result | None]:
    """How it ended, and what is kept of it: nothing when the server was removed meanwhile.

    Raises:
        RequestError: the server is not there any more.
        TransientError: the database or the bus is away, and nothing was done.
    """
    runtime.bus.require()
    username = script.request.user.username
    command = new_command(str(vps.id), username, timeout=script.timeout)
    command.shell.CopyFrom(ShellAction(script=script.text))
    command_id = UUID(hex=command.id)
    await _begin(runtime, script, vps, command_id)
    tell(CommandLine(vps_id=vps.id, command_id=command_id, event="started"))
    printed = Printed()

    def printing(stdout: str, stderr: str) -> None:
        line = CommandLine(vps_id=vps.id, command_id=command_id, event="output")
        tell(replace(line, stdout=stdout or UNSET, stderr=stderr or UNSET))

    ended = await _follow(runtime, command, printed, printing)
    orders.note(
        *(script.request, runtime, vps, orders.verb(command), str(command_id)),
        allowed=ended.status != "refused",
        reason=ended.reason,
    )
    try:
        result = await _keep(runtime, command_id, ended, printed)
    except TransientError:
        result, ended = None, dataclasses.replace(ended, problem=errors.unkept())
    tell(
        CommandLine(
            vps_id=vps.id,
            command_id=command_id,
            event="finished" if ended.status in ENDED_THERE else "failed",
            status=ended.status,
            exit_code=ended.exit_code,
            truncated=printed.truncated,
            reason=ended.reason,
        )
    )
    return ended, result


async def run_on_many(
    runtime: Runtime, script: Script, targets: Sequence[fleet.Vps], lines: Lines
) -> None:
    """Each ends with one line, until nobody reads them: then those that began go on alone."""
    places = asyncio.Semaphore(SERVERS_AT_ONCE)

    async def run_on(vps: fleet.Vps) -> None:
        async with places:
            if lines.left:
                return
            reason = ""
            try:
                await run(runtime, script, vps, lines.put)
            except errors.RequestError as error:
                reason = str(error)
            except TransientError as error:
                reason = f"the console cannot do it just now ({error})"
            except Exception:
                log.exception("script_failed", vps_id=str(vps.id))
                reason = "something failed here; the log has more"
            if reason:
                lines.put(
                    CommandLine(vps_id=vps.id, event="failed", status="failed", reason=reason)
                )

    try:
        async with asyncio.TaskGroup() as tasks:
            for vps in targets:
                tasks.create_task(run_on(vps))
    finally:
        lines.end()


async def _begin(runtime: Runtime, script: Script, vps: fleet.Vps, command_id: UUID) -> None:
    try:
        async with database.transaction(runtime.pool) as connection:
            await store.insert(
                connection,
                command_id=command_id,
                vps_id=vps.id,
                user_id=script.request.user.id,
                username=script.request.user.username,
                script=script.text,
                timeout_seconds=script.timeout,
                lost_after=timedelta(seconds=script.timeout + LOST_GRACE),
            )
    except psycopg.errors.ForeignKeyViolation:
        raise errors.not_found() from None


async def _follow(
    runtime: Runtime, command: Command, printed: Printed, printing: Printing
) -> Ended:
    """To its end, by way of as many of the agent's streams as that takes.

    A repeat of the same command executes nothing: the agent answers it with what came, or comes,
    of the first.
    """
    now = asyncio.get_running_loop().time
    until = now() + command.timeout_ms / 1000 + ANSWER_GRACE + RETURN_PATIENCE
    began = False
    while True:
        try:
            async with asyncio.timeout_at(until):
                last = await _ask(runtime, command, printed, printing)
        except OfflineError:
            if not began:
                problem = errors.offline()
                return Ended("failed", reason=str(problem), problem=problem)
        except (TransientError, PoisonError, TimeoutError) as error:
            log.warning("answer_broke_off", command_id=command.id, error=str(error))
        else:
            broke_off = last.failure == CommandResponse.FAILURE_DISCONNECTED
            if not broke_off and not (began and is_passing(last.failure, last.status)):
                return _ended(last)
        if now() + REPEAT_INTERVAL > until:
            return Ended("lost", reason=BROKEN, problem=errors.unanswered())
        began = True
        await asyncio.sleep(REPEAT_INTERVAL)
        printed.begin_again()


async def _ask(
    runtime: Runtime, command: Command, printed: Printed, printing: Printing
) -> CommandResponse:
    """The last part of the answer.

    Raises:
        OfflineError: at once.
        TransientError: the answer broke off.
    """
    async with execution(runtime.bus, runtime.signer, command) as running:
        async for part in running.parts():
            stdout, stderr = printed.take(part)
            if stdout or stderr:
                printing(stdout, stderr)
            if part.last:
                return part
    raise TransientError("the answer has no end")


def _ended(part: CommandResponse) -> Ended:
    status = STATUSES.get(part.status, "failed")
    if status in ENDED_THERE:
        return Ended(status, exit_code=part.exit_code if status == "finished" else None)
    problem = errors.failed_there(part.failure, part.status, part.reason)
    return Ended(status, reason=str(problem), problem=problem)


async def _keep(
    runtime: Runtime, command_id: UUID, ended: Ended, printed: Printed
) -> store.Result | None:
    """Raises: TransientError: the database was away for too long."""
    for delay in (*KEEP_RETRIES, None):
        try:
            async with database.transaction(runtime.pool) as connection:
                return await store.finish(
                    connection,
                    command_id=command_id,
                    status=ended.status,
                    exit_code=ended.exit_code,
                    stdout=printed.stdout,
                    stderr=printed.stderr,
                    truncated=printed.truncated,
                    reason=ended.reason,
                )
        except TransientError as error:
            log.warning("result_not_kept", command_id=str(command_id), error=str(error))
            if delay is None:
                raise
            await asyncio.sleep(delay)
    return None
