import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from google.protobuf.message import DecodeError

from agent.base.log_throttle import LogThrottle
from agent.commands.command_history import USED_ID, CommandHistory
from agent.commands.command_history_db import Row
from agent.commands.errors import CommandFailedError, busy, conflict, forbidden, invalid
from agent.commands.output import Output
from agent.commands.policy import Policy
from agent.commands.responses import ResponseQueue
from agent.commands.signature_check import ID, KEY_LENGTH, CommandVerifier, digest
from agent.dispatch.handlers import Handlers
from agent.dispatch.texts import STOPPED, STOPPING, UNKNOWN, switched_off
from flotilla.v1.command_pb2 import (
    Command,
    CommandRequest,
    CommandResponse,
    DockerAction,
    FileAction,
)

log = logging.getLogger(__name__)

MAX_CONCURRENT = 8  # commands
MAX_REQUESTS = 64  # that run, or whose response waits for the stream
DEFAULT_TIMEOUT = 60.0  # seconds
MAX_TIMEOUT = 3600.0  # seconds
LOG_PERIOD = 5.0  # seconds
CANCEL_TIMEOUT = 10.0  # seconds in which a cancelled command should end
# Operations that change nothing are remembered only in memory.
FILE_READS = frozenset(
    {
        FileAction.OPERATION_LIST,
        FileAction.OPERATION_STAT,
        FileAction.OPERATION_READ,
        FileAction.OPERATION_CHECKSUM,
        FileAction.OPERATION_UPLOAD_STATE,
    }
)
DOCKER_READS = frozenset(
    {
        DockerAction.OPERATION_LIST,
        DockerAction.OPERATION_INSPECT,
        DockerAction.OPERATION_LOGS,
        DockerAction.OPERATION_IMAGES,
    }
)
# These actions take next to no time and must work while MAX_CONCURRENT commands run.
UNLIMITED = ("cancel", "rotate")

Status: TypeAlias = CommandResponse.Status.ValueType


class Delivery:
    """Sends the parts of one response to the stream that asked for it.

    It does not know the execution, whose data would otherwise stay in memory, in a reference cycle,
    until the next full garbage collection.
    """

    def __init__(self, command_id: str, stream: int, responses: ResponseQueue) -> None:
        self.stream = stream
        self.repeated = False
        self.finishing = False
        self._command_id = command_id
        self._responses = responses

    async def send(self, part: CommandResponse) -> None:
        # A repeated command gets its whole output with the response, not while it runs.
        if self.finishing or not self.repeated:
            part.command_id = self._command_id
            await self._responses.put(self.stream, part)


class Execution:
    """One command, from its arrival to its last response."""

    def __init__(self, command: Command, row: Row, stream: int, responses: ResponseQueue) -> None:
        self.command = command
        self.row = row
        self._delivery = Delivery(row.id, stream, responses)
        self.output = Output(command.max_output_bytes, self._delivery.send)
        self.started = False
        # Response of a command that was cancelled or timed out, instead of its own result.
        self.forced: CommandResponse | None = None
        self._work: asyncio.Future[CommandResponse] | None = None

    @property
    def action(self) -> str:
        return self.command.WhichOneof("action") or "nothing"

    def repeat_on(self, stream: int) -> None:
        """Send the whole response to a later stream, on which the server repeated the command."""
        self._delivery.stream = stream
        self._delivery.repeated = True

    def end(self, status: Status, reason: str) -> None:
        """Cancel the command and respond with this status, unless one is set already."""
        if self.forced is None:
            self.forced = CommandResponse(status=status, reason=reason)
        if self._work:
            self._work.cancel()

    async def perform(self, act: Callable[[], Awaitable[CommandResponse]]) -> CommandResponse:
        """Run `act` until its end or the timeout, and stream its output.

        Raises:
            CommandFailedError: the command failed.
        """
        seconds = min(self.command.timeout_ms / 1000 or DEFAULT_TIMEOUT, MAX_TIMEOUT)
        streaming = asyncio.ensure_future(self.output.stream())
        work = self._work = asyncio.ensure_future(act())
        if self.forced is None:
            await asyncio.wait({work}, timeout=seconds)
        if not work.done():
            self.end(
                CommandResponse.STATUS_TIMED_OUT,
                f"The command was ended after its timeout of {seconds:g} s.",
            )
        while not work.done():
            # Cancel repeatedly: before Python 3.12 wait_for() may lose a cancellation.
            work.cancel()
            await asyncio.wait({work}, timeout=CANCEL_TIMEOUT)
        self.output.end()
        await streaming
        if self.forced is None:
            return work.result()
        # Retrieve the exception, which asyncio would report as unhandled otherwise.
        _ = work.cancelled() or work.exception()
        return self.forced

    async def finish(self, response: CommandResponse) -> None:
        """Send the unsent output and the response."""
        self._delivery.finishing = True
        await self.output.finish(response, from_start=self._delivery.repeated)


class Executor:
    """Executes commands that are signed, valid, allowed by the policy and not executed before.

    A command that was executed before is answered with the stored result. A repeat of a running
    command waits for its result. A command goes on when its stream breaks; its result is stored
    for the repeat on the next stream.
    """

    def __init__(
        self,
        policy: Policy,
        verifier: CommandVerifier,
        history: CommandHistory,
        responses: ResponseQueue,
        handlers: Handlers,
    ) -> None:
        self._policy = policy
        self._verifier = verifier
        self._history = history
        self._responses = responses
        self._handlers = handlers
        self._running: dict[str, Execution] = {}
        self._requests: set[asyncio.Future[None]] = set()
        self._stopping = False
        self._may_log = LogThrottle(LOG_PERIOD)

    def submit(self, request: CommandRequest) -> None:
        if len(self._requests) >= MAX_REQUESTS:
            log.warning(
                "command dropped: the responses of %d commands wait for the stream", MAX_REQUESTS
            )
            return
        handling = asyncio.ensure_future(self._handle(request, self._responses.stream))
        self._requests.add(handling)
        handling.add_done_callback(self._requests.discard)

    async def close(self) -> None:
        """Cancel running commands, respond, and record them as cancelled."""
        self._stopping = True
        for execution in self._running.values():
            execution.end(CommandResponse.STATUS_CANCELLED, STOPPED)
        if self._requests:
            await asyncio.wait(self._requests, timeout=CANCEL_TIMEOUT)

    async def _handle(self, request: CommandRequest, stream: int) -> None:
        """Verify one request, execute it or join its running execution, and respond."""
        try:
            command = self._verifier.verify(request)
            row = Row(command.id, digest(request), command.not_before_unix_ms)
            running = self._running.get(command.id)
            if running and running.row.digest != row.digest:
                raise forbidden(USED_ID)
        except CommandFailedError as error:
            if self._may_log():
                log.warning("command refused: %s", error)
            refusal = _failed(error)
            refusal.command_id, refusal.last = _claimed_id(request), True
            await self._responses.put(stream, refusal)
            return
        if running:
            running.repeat_on(stream)
            return
        execution = self._running[row.id] = Execution(command, row, stream, self._responses)
        try:
            response = await self._respond(execution)
        except CommandFailedError as error:
            _log_refusal(command, error)
            response = _failed(error)
        finally:
            del self._running[row.id]
        response.command_id = row.id
        await execution.finish(response)

    async def _respond(self, execution: Execution) -> CommandResponse:
        """Return the stored result, or execute the command and store its result.

        Raises:
            CommandFailedError: the command was refused and had no effect.
        """
        if known := await self._history.find(execution.row):
            execution.output.restore(known)
            return known
        command = execution.command
        self._verifier.check_time(command)
        self._check_allowed(execution)
        execution.started = True
        await self._history.begin(
            execution.row, persistent=_changes_host(command), synced=not _is_upload_chunk(command)
        )
        log.info("command %s: %s, asked by %s", command.id, execution.action, command.actor[:64])
        response = await self._execute(execution)
        response.truncated |= execution.output.truncated
        await self._history.end(execution.row, execution.output.with_output(response))
        return response

    async def _execute(self, execution: Execution) -> CommandResponse:
        try:
            response = await execution.perform(lambda: self._act(execution))
        except CommandFailedError as error:
            _log_refusal(execution.command, error)
            return _failed(error)
        except Exception:
            log.exception("command %s failed", execution.row.id)
            return CommandResponse(
                status=CommandResponse.STATUS_FAILED,
                reason="The agent failed to execute this command. Its log on the server has the"
                " details.",
            )
        if response.status == CommandResponse.STATUS_UNSPECIFIED:
            response.status = CommandResponse.STATUS_FINISHED
        return response

    def _check_allowed(self, execution: Execution) -> None:
        policy, action = self._policy, execution.action
        if action == "shell" and not policy.commands:
            raise forbidden(switched_off("Commands are", "commands = true"))
        if action == "file" and not policy.files:
            raise forbidden(switched_off("Files are", 'files = "read" or files = "write"'))
        if action == "docker" and not policy.docker:
            raise forbidden(switched_off("Docker is", 'docker = "read" or docker = "actions"'))
        if action in {"nothing", "pty"}:
            raise invalid(UNKNOWN)
        if self._stopping:
            raise busy(STOPPING)
        running = sum(
            other.started and other.action not in UNLIMITED for other in self._running.values()
        )
        if running >= MAX_CONCURRENT and action not in UNLIMITED:
            raise busy(
                f"{MAX_CONCURRENT} commands run on this server, which is the limit. Try again when"
                " one of them has ended."
            )

    async def _act(self, execution: Execution) -> CommandResponse:
        command, output = execution.command, execution.output
        match execution.action:
            case "shell":
                from agent.commands import script  # noqa: PLC0415  # only when it is used

                code = await script.run(command.shell.script, command.id, output)
                return CommandResponse(exit_code=code)
            case "file":
                return await self._handlers.files().run(command.file)
            case "docker":
                response = await self._handlers.docker().run(command.docker, output.forward)
                output.add(stdout=response.stdout, stderr=response.stderr)
                return response
            case "cancel":
                return self._cancel(command)
            case _:
                return await self._rotate(command)

    def _cancel(self, command: Command) -> CommandResponse:
        running = self._running.get(command.cancel.command_id)
        if running is None or not running.started or running.action in UNLIMITED:
            raise conflict("This command does not run on the server (any more).")
        running.end(CommandResponse.STATUS_CANCELLED, f"Cancelled by {command.actor[:64]}.")
        return CommandResponse()

    async def _rotate(self, command: Command) -> CommandResponse:
        size = len(command.rotate.command_key)
        if size != KEY_LENGTH:
            raise invalid(f"A command key must have {KEY_LENGTH} bytes; this one has {size}.")
        await self._handlers.rotate_key(command.rotate.command_key)
        return CommandResponse()


def _changes_host(command: Command) -> bool:
    match command.WhichOneof("action"):
        case "file":
            return command.file.operation not in FILE_READS
        case "docker":
            return command.docker.operation not in DOCKER_READS
        case "cancel":
            return False
    return True


def _is_upload_chunk(command: Command) -> bool:
    """Return True for a command that may be executed twice, because it names its offset."""
    return (
        command.WhichOneof("action") == "file"
        and command.file.operation == FileAction.OPERATION_WRITE
    )


def _claimed_id(request: CommandRequest) -> str:
    """Return the id of a command that is not verified, only to address the refusal."""
    try:
        name = Command.FromString(request.command).id
    except DecodeError:
        return ""
    return name if ID.fullmatch(name) else ""


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
