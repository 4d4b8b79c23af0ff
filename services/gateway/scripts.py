"""Scripts on servers: run, told of while they run, and kept, whether or not anybody waits."""

import asyncio
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

from flotilla.v1.command_pb2 import ShellAction
from services.gateway import errors, following
from services.gateway.command_schemas import CommandLine
from services.gateway.following import Ended, Printed, Running
from services.gateway.guard import AuthedRequest, address
from services.gateway.runtime import Runtime
from services.gateway.store import commands as store
from services.gateway.store import fleet
from services.kit import database
from services.kit.commands import new_command
from services.kit.errors import TransientError

log = structlog.get_logger(__name__)

SINGLES = 100  # of a gateway, at once
FAN_OUTS = 8
SERVERS_AT_ONCE = 20  # of a fan-out
UNREAD_LIMIT = 4 * 1024 * 1024  # bytes a client may be behind before output is left out for it

Tell = Callable[[CommandLine], None]


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
    running = _running(runtime, script, vps)
    command_id = running.id
    printed = Printed()

    def printing(stdout: str, stderr: str) -> None:
        line = CommandLine(vps_id=vps.id, command_id=command_id, event="output")
        tell(replace(line, stdout=stdout or UNSET, stderr=stderr or UNSET))

    with runtime.followed.also(command_id):
        await _begin(runtime, script, vps, running)
        following.note(runtime, running, "command.begin")
        tell(CommandLine(vps_id=vps.id, command_id=command_id, event="started"))
        seconds = following.patience(script.timeout)
        ended = await following.follow(runtime, running, printed, printing, seconds=seconds)
        ended, result = await following.end(runtime, running, ended, printed)
    tell(
        CommandLine(
            vps_id=vps.id,
            command_id=command_id,
            event="finished" if ended.status in following.ENDED_THERE else "failed",
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


def _running(runtime: Runtime, script: Script, vps: fleet.Vps) -> Running:
    user = script.request.user
    command = new_command(str(vps.id), user.username, timeout=script.timeout)
    command.shell.CopyFrom(ShellAction(script=script.text))
    request = runtime.signer.sign(command)
    return Running(request, command, f"user:{user.id}", address(script.request))


async def _begin(runtime: Runtime, script: Script, vps: fleet.Vps, running: Running) -> None:
    """Raises: RequestError, TransientError."""
    try:
        async with database.transaction(runtime.pool) as connection:
            await store.insert(
                connection,
                command_id=running.id,
                vps_id=vps.id,
                user_id=script.request.user.id,
                username=script.request.user.username,
                script=script.text,
                request=running.request.SerializeToString(),
                timeout_seconds=script.timeout,
                lost_after=timedelta(seconds=following.lost_after(script.timeout)),
            )
    except psycopg.errors.ForeignKeyViolation:
        raise errors.not_found() from None
