"""A script at its agent, followed to its end, over links that break and gateways that stop."""

import asyncio
import codecs
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import structlog

from flotilla.v1.command_pb2 import Command, CommandRequest, CommandResponse
from services.gateway import errors
from services.gateway.command_schemas import Status
from services.gateway.pieces import is_passing
from services.gateway.runtime import Runtime
from services.gateway.store import commands as store
from services.kit import database, subjects
from services.kit.commands import ANSWER_GRACE, COMMANDS, MAX_OUTPUT, Execution, OfflineError
from services.kit.errors import PoisonError, TransientError

log = structlog.get_logger(__name__)

KEEP_RETRIES = (1.0, 2.0, 4.0, 8.0, 15.0)  # seconds; then any gateway asks for it again
RETURN_PATIENCE = 60.0  # seconds beyond a script's own time for a broken connection to come back
REPEAT_INTERVAL = 1.0  # seconds before an agent whose answer broke off is asked again
MOST_INTERVAL = 5.0  # seconds, of one that was asked in vain
KEEP_GRACE = sum(KEEP_RETRIES) + 30.0  # seconds
BROKEN = "the connection to the server broke, and whether it finished is not known"

STATUSES: dict[CommandResponse.Status.ValueType, Status] = {
    CommandResponse.STATUS_FINISHED: "finished",
    CommandResponse.STATUS_TIMED_OUT: "timed_out",
    CommandResponse.STATUS_REFUSED: "refused",
    CommandResponse.STATUS_CANCELLED: "cancelled",
}
ENDED_THERE = ("finished", "timed_out", "cancelled")

Printing = Callable[[str, str], None]


def patience(timeout: float) -> float:
    """Seconds for which a script is followed that may take so long."""
    return timeout + ANSWER_GRACE + RETURN_PATIENCE


def lost_after(timeout: float) -> float:
    """Seconds after which who follows it has written its end."""
    return patience(timeout) + KEEP_GRACE


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
class Running:
    request: CommandRequest
    """As it was signed: what is asked again is the same to the byte."""
    command: Command
    actor: str
    """In the audit's words."""
    peer: str

    @property
    def id(self) -> UUID:
        return UUID(hex=self.command.id)


async def follow(
    runtime: Runtime,
    running: Running,
    printed: Printed,
    printing: Printing,
    *,
    seconds: float,
    began: bool = False,
) -> Ended:
    """To its end, by way of as many of the agent's streams as that takes.

    A repeat of the same command executes nothing: the agent answers it with what came, or comes,
    of the first.
    """
    now = asyncio.get_running_loop().time
    until, interval = now() + seconds, REPEAT_INTERVAL
    while True:
        try:
            async with asyncio.timeout_at(until):
                last = await _ask(runtime, running, printed, printing)
        except OfflineError:
            if not began:
                problem = errors.offline()
                return Ended("failed", reason=str(problem), problem=problem)
        except (TransientError, PoisonError, TimeoutError) as error:
            log.warning("answer_broke_off", command_id=running.command.id, error=str(error))
        else:
            broke_off = last.failure == CommandResponse.FAILURE_DISCONNECTED
            if not broke_off and not (began and is_passing(last.failure, last.status)):
                return _ended(last)
        if now() + interval > until:
            return Ended("lost", reason=BROKEN, problem=errors.unanswered())
        began = True
        await asyncio.sleep(interval)
        interval = min(2 * interval, MOST_INTERVAL)
        printed.begin_again()


async def _ask(
    runtime: Runtime, running: Running, printed: Printed, printing: Printing
) -> CommandResponse:
    """The last part of the answer.

    Raises:
        OfflineError: at once.
        TransientError: the answer broke off.
    """
    subject = subjects.agent_command(running.command.vps_id)
    COMMANDS.labels("shell").inc()
    async with runtime.bus.conversation(subject, running.request, CommandResponse) as answers:
        async for part in Execution(answers, running.command).parts():
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


async def end(
    runtime: Runtime, running: Running, ended: Ended, printed: Printed
) -> tuple[Ended, store.Result | None]:
    """Keep what came of it, after which nobody asks for it any more."""
    try:
        result = await _keep(runtime, running.id, ended, printed)
    except TransientError:
        return dataclasses.replace(ended, problem=errors.unkept()), None
    allowed = ended.status != "refused"
    note(runtime, running, "command.run", allowed=allowed, reason=ended.reason)
    return ended, result


def note(
    runtime: Runtime, running: Running, action: str, *, allowed: bool = True, reason: str = ""
) -> None:
    """An audit entry."""
    runtime.trail.note(
        actor=running.actor,
        action=action,
        object=f"vps:{running.command.vps_id}",
        allowed=allowed,
        reason=reason,
        peer=running.peer,
        detail=str(running.id),
    )


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
