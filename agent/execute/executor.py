import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from google.protobuf.message import DecodeError

from agent.execute.executed import Executed
from agent.execute.failure import CommandFailedError, busy, conflict, forbidden, invalid
from agent.execute.ledger import Row
from agent.execute.outgoing import Outgoing
from agent.execute.output import Output
from agent.execute.policy import Policy
from agent.execute.tools import Tools
from agent.execute.trust import KEY_LENGTH, NAME, Trust, digest
from agent.seldom import Seldom
from flotilla.v1.command_pb2 import (
    Command,
    CommandRequest,
    CommandResponse,
    DockerAction,
    FileAction,
)

log = logging.getLogger(__name__)

AT_ONCE = 8
SERVED_LIMIT = 64  # requests that run, or whose answer waits for the stream
DEFAULT_TIMEOUT = 60.0  # seconds
MAX_TIMEOUT = 3600.0  # seconds
LOG_PERIOD = 5.0  # seconds
END_PATIENCE = 10.0  # seconds for a command to end once it was told to
# They change nothing: remembered in memory alone.
READS = frozenset(
    {
        *(FileAction.OPERATION_LIST, FileAction.OPERATION_STAT, FileAction.OPERATION_READ),
        *(FileAction.OPERATION_CHECKSUM, FileAction.OPERATION_UPLOAD_STATE),
    }
)
LOOKS = frozenset(
    {
        *(DockerAction.OPERATION_LIST, DockerAction.OPERATION_INSPECT),
        *(DockerAction.OPERATION_LOGS, DockerAction.OPERATION_IMAGES),
    }
)
# They must go through where all places are taken, and take next to no time.
PREFERRED = ("cancel", "rotate")

OFF = {"shell": "commands are", "file": "files are", "docker": "Docker is"}

Status: TypeAlias = CommandResponse.Status.ValueType


class Execution:
    """One command, from its arrival to its answer."""

    def __init__(self, command: Command, row: Row, stream: int, outgoing: Outgoing) -> None:
        self.command = command
        self.row = row
        self.output = Output(command.max_output_bytes, self._send)
        self.begun = False
        # Set when it is not its own end that it comes to.
        self.ended: CommandResponse | None = None
        self.repeated = False
        self.answering = False
        self._stream = stream
        self._outgoing = outgoing
        self._work: asyncio.Future[CommandResponse] | None = None

    @property
    def action(self) -> str:
        return self.command.WhichOneof("action") or "nothing"

    def repeat(self, stream: int) -> None:
        """It was asked for again, elsewhere: all of the answer goes there, when it is whole."""
        self._stream = stream
        self.repeated = True

    def end(self, status: Status, reason: str) -> None:
        if self.ended is None:
            self.ended = CommandResponse(status=status, reason=reason)
        if self._work:
            self._work.cancel()

    async def perform(self, act: Callable[[], Awaitable[CommandResponse]]) -> CommandResponse:
        """Raises: CommandFailedError."""
        seconds = min(self.command.timeout_ms / 1000 or DEFAULT_TIMEOUT, MAX_TIMEOUT)
        streaming = asyncio.ensure_future(self.output.stream())
        work = self._work = asyncio.ensure_future(act())
        if self.ended is None:
            await asyncio.wait({work}, timeout=seconds)
        if not work.done():
            self.end(CommandResponse.STATUS_TIMED_OUT, f"it took longer than {seconds:g} s")
        while not work.done():
            # Told again, since before Python 3.12 wait_for() may lose a cancellation.
            work.cancel()
            await asyncio.wait({work}, timeout=END_PATIENCE)
        self.output.end()
        await streaming
        if self.ended is None:
            return work.result()
        # What it failed with then is of no interest.
        _ = work.cancelled() or work.exception()
        return self.ended

    async def answer(self, response: CommandResponse) -> None:
        self.answering = True
        await self.output.finish(response, anew=self.repeated)

    async def _send(self, part: CommandResponse) -> None:
        if self.answering or not self.repeated:
            part.command_id = self.row.id
            await self._outgoing.put(self._stream, part)


class Executor:
    """Carries out what is signed, meant for this agent, fresh, allowed here, and not yet done.

    A repeat of what was done is answered with what came of it. A repeat of what still runs
    waits for that, and has nothing executed. A command whose stream breaks runs on: its result
    is kept for a repeat.
    """

    def __init__(
        self, policy: Policy, trust: Trust, executed: Executed, outgoing: Outgoing, tools: Tools
    ) -> None:
        self._policy = policy
        self._trust = trust
        self._executed = executed
        self._outgoing = outgoing
        self._tools = tools
        self._running: dict[str, Execution] = {}
        self._served: set[asyncio.Future[None]] = set()
        self._stopping = False
        self._may_log = Seldom(LOG_PERIOD)

    def take(self, request: CommandRequest) -> None:
        if len(self._served) >= SERVED_LIMIT:
            log.warning("command dropped: %d wait for the stream to take answers", SERVED_LIMIT)
            return
        serving = asyncio.ensure_future(self._serve(request, self._outgoing.stream))
        self._served.add(serving)
        serving.add_done_callback(self._served.discard)

    async def close(self) -> None:
        """End what runs; it is answered and kept as cancelled."""
        self._stopping = True
        for execution in self._running.values():
            execution.end(CommandResponse.STATUS_CANCELLED, "the agent was stopped")
        if self._served:
            await asyncio.wait(self._served, timeout=END_PATIENCE)

    async def _serve(self, request: CommandRequest, stream: int) -> None:
        try:
            command = self._trust.opened(request)
            row = Row(command.id, digest(request), command.not_before_unix_ms)
            running = self._running.get(command.id)
            if running and running.row.digest != row.digest:
                raise forbidden("another command has this id")
        except CommandFailedError as error:
            if self._may_log():
                log.warning("command refused: %s", error)
            refusal = _failed(error)
            refusal.command_id, refusal.last = _name(request), True
            await self._outgoing.put(stream, refusal)
            return
        if running:
            running.repeat(stream)
            return
        execution = self._running[row.id] = Execution(command, row, stream, self._outgoing)
        try:
            response = await self._outcome(execution)
        except CommandFailedError as error:
            _log_refusal(command, error)
            response = _failed(error)
        finally:
            del self._running[row.id]
        response.command_id = row.id
        await execution.answer(response)

    async def _outcome(self, execution: Execution) -> CommandResponse:
        """Raises: CommandFailedError: it was refused, and nothing done."""
        if known := await self._executed.find(execution.row):
            execution.output.restore(known)
            return known
        command = execution.command
        self._trust.check_time(command)
        self._check_allowed(execution)
        execution.begun = True
        lasting = _changes(command)
        # Pieces of an upload may come twice: they say where they belong.
        synced = not (
            execution.action == "file" and command.file.operation == FileAction.OPERATION_WRITE
        )
        await self._executed.begin(execution.row, lasting=lasting, synced=synced)
        log.info("command %s: %s, asked by %s", command.id, execution.action, command.actor[:64])
        response = await self._carry_out(execution)
        response.truncated |= execution.output.truncated
        await self._executed.end(execution.row, execution.output.whole(response))
        return response

    async def _carry_out(self, execution: Execution) -> CommandResponse:
        try:
            response = await execution.perform(lambda: self._act(execution))
        except CommandFailedError as error:
            _log_refusal(execution.command, error)
            return _failed(error)
        except Exception:
            log.exception("command %s failed", execution.row.id)
            return CommandResponse(
                status=CommandResponse.STATUS_FAILED, reason="the agent failed; its log says how"
            )
        if response.status == CommandResponse.STATUS_UNSPECIFIED:
            response.status = CommandResponse.STATUS_FINISHED
        return response

    def _check_allowed(self, execution: Execution) -> None:
        policy, action = self._policy, execution.action
        allowed = {"shell": policy.commands, "file": policy.files, "docker": policy.docker}
        if not allowed.get(action, True):
            raise forbidden(
                f"{OFF[action]} off on this host; its owner turns that on in the agent's"
                " policy.toml there"
            )
        if action in {"nothing", "pty"}:
            raise invalid("the agent does not know this command: is it older than the server?")
        if self._stopping:
            raise busy("the agent is about to stop")
        at_once = sum(
            other.begun and other.action not in PREFERRED for other in self._running.values()
        )
        if at_once >= AT_ONCE and action not in PREFERRED:
            raise busy(f"{AT_ONCE} commands run there already")

    async def _act(self, execution: Execution) -> CommandResponse:
        command, output = execution.command, execution.output
        match execution.action:
            case "shell":
                from agent.execute import shell  # noqa: PLC0415  # when it is first used

                code = await shell.run(command.shell.script, command.id, output)
                return CommandResponse(exit_code=code)
            case "file":
                return await self._tools.files().run(command.file)
            case "docker":
                response = await self._tools.containers().run(command.docker, output.take)
                output.add(stdout=response.stdout, stderr=response.stderr)
                return response
            case "cancel":
                return self._cancel(command)
            case _:
                return await self._rotate(command)

    def _cancel(self, command: Command) -> CommandResponse:
        running = self._running.get(command.cancel.command_id)
        if running is None or not running.begun or running.action in PREFERRED:
            raise conflict("it does not run (any more)")
        running.end(CommandResponse.STATUS_CANCELLED, f"cancelled by {command.actor[:64]}")
        return CommandResponse()

    async def _rotate(self, command: Command) -> CommandResponse:
        if len(command.rotate.command_key) != KEY_LENGTH:
            raise invalid(f"a command key has {KEY_LENGTH} bytes")
        await self._tools.rotate(command.rotate.command_key)
        return CommandResponse()


def _changes(command: Command) -> bool:
    match command.WhichOneof("action"):
        case "file":
            return command.file.operation not in READS
        case "docker":
            return command.docker.operation not in LOOKS
        case "cancel":
            return False
    return True


def _name(request: CommandRequest) -> str:
    """What it calls itself, believed for the sake of the answer alone."""
    try:
        name = Command.FromString(request.command).id
    except DecodeError:
        return ""
    return name if NAME.fullmatch(name) else ""


def _failed(error: CommandFailedError) -> CommandResponse:
    refused = error.failure in {
        CommandResponse.FAILURE_FORBIDDEN,
        CommandResponse.FAILURE_BUSY,
    }
    status = CommandResponse.STATUS_REFUSED if refused else CommandResponse.STATUS_FAILED
    return CommandResponse(status=status, failure=error.failure, reason=str(error))


def _log_refusal(command: Command, error: CommandFailedError) -> None:
    level = logging.DEBUG
    if error.failure == CommandResponse.FAILURE_FORBIDDEN:
        level = logging.WARNING
    log.log(level, "command %s, asked by %s: %s", command.id, command.actor[:64], error)
