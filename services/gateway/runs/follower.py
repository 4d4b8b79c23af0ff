"""Follower of a script: reads its output from the agent and reconnects until the script ends."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from flotilla.v1.command_pb2 import Command, CommandRequest, CommandResponse
from services.gateway.api import errors
from services.gateway.api.problem_types import ProblemType
from services.gateway.context import Context
from services.gateway.runs import states
from services.gateway.runs.follow_store import End
from services.gateway.runs.output import OutputReader, Text
from services.gateway.runs.states import Status
from services.gateway.servers import agent_errors
from services.kit.agents.commands import COMMANDS, Execution, OfflineError
from services.kit.backoff import backoff
from services.kit.bus import connection as bus
from services.kit.bus import subjects
from services.kit.errors import PoisonError, TransientError

log = structlog.get_logger(__name__)

BROKEN = "The connection to the server broke. It is not known whether the script finished."
NO_END = "the answer stopped before its last part"

Put = Callable[[Sequence[Text], bool], Awaitable[None]]
"""Callback with new text and a truncation flag. The follower reads on when it returns."""


@dataclass(frozen=True, slots=True)
class Script:
    request: CommandRequest
    """The signed command. Every repeat sends the same bytes."""
    command: Command

    @classmethod
    def of(cls, request: CommandRequest) -> "Script":
        """Decode the command of a request.

        Raises:
            PoisonError: the command cannot be decoded.
        """
        return cls(request, bus.decode(request.command, Command))


class Follower:
    def __init__(self, context: Context, script: Script, reader: OutputReader, put: Put) -> None:
        self.refused = False
        """The agent reported that it refused the command."""
        self._context = context
        self._script = script
        self._reader = reader
        self._put = put

    async def follow(self, *, seconds: float, began: bool) -> End:
        """Follow the script to its end. After a broken connection, send the command again.

        An agent executes a command once. It answers a repeat with the output of the first
        execution. `began` is true if the command was sent before. `seconds` limits the total time.
        """
        now = asyncio.get_running_loop().time
        timing = self._context.timing.commands
        limit = asyncio.timeout_at(now() + seconds)
        for pause in backoff(timing.repeat_first, timing.repeat_most):
            try:
                async with limit:
                    last = await self._ask(limit)
            except OfflineError:
                if not began:
                    return _failed("failed", agent_errors.offline())
            except (TransientError, PoisonError, TimeoutError) as error:
                log.warning(
                    "answer_broke_off", command_id=self._script.command.id, error=str(error)
                )
            else:
                broke_off = last.failure == CommandResponse.FAILURE_DISCONNECTED
                if not broke_off and not (
                    began and agent_errors.is_passing(last.failure, last.status)
                ):
                    return self._end(last)
            until = limit.when() or now()
            if now() + pause > until:
                break
            began = True
            await asyncio.sleep(pause)
            self._reader.restart()
            limit = asyncio.timeout_at(until)
        return End("lost", reason=BROKEN, problem=ProblemType.AGENT_UNANSWERED)

    async def _ask(self, limit: asyncio.Timeout) -> CommandResponse:
        """Send the command, pass its output on, and return the last part of the answer.

        Raises:
            OfflineError: no edge holds the stream of the agent.
            TransientError: the answer broke off.
        """
        now = asyncio.get_running_loop().time
        subject = subjects.agent_command(self._script.command.vps_id)
        COMMANDS.labels("shell").inc()
        async with self._context.bus.conversation(
            subject, self._script.request, CommandResponse
        ) as answers:
            execution = Execution(answers, self._script.command, self._context.timing.commands)
            async for part in execution.parts():
                texts = self._reader.take(part)
                # Do not count database downtime against the agent's time limit.
                left = (limit.when() or now()) - now()
                limit.reschedule(None)
                await self._put(texts, self._reader.truncated)
                limit.reschedule(now() + left)
                if part.last:
                    return part
        raise TransientError(NO_END)

    def _end(self, last: CommandResponse) -> End:
        status = states.of_answer(last.status)
        self.refused = last.status == CommandResponse.STATUS_REFUSED
        if status == "finished":
            return End(status, exit_code=last.exit_code)
        if status == "failed":
            return _failed(
                status, agent_errors.failed_there(last.failure, last.status, last.reason)
            )
        return End(status, reason=last.reason[: agent_errors.MAX_REASON])


def _failed(status: Status, problem: errors.RequestError) -> End:
    return End(status, reason=str(problem), problem=problem.type)
