"""Signed commands to agents. The signature keeps an attacker on the bus from commanding servers."""

import base64
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from prometheus_client import Counter
from pydantic import SecretStr

from flotilla.v1.command_pb2 import Command, CommandRequest, CommandResponse, PtyInput
from services.kit.agents.timing import DEFAULT_TIMING, CommandTiming
from services.kit.bus import subjects
from services.kit.bus.connection import Answers, Bus
from services.kit.errors import FlotillaError, NoResponderError, TransientError

COMMAND_CONTEXT = b"flotilla-command-v1\0"
INPUT_CONTEXT = b"flotilla-pty-input-v1\0"
MAX_OUTPUT = 1024 * 1024  # bytes

REASONS = {
    CommandResponse.STATUS_TIMED_OUT: "The command took too long and was ended.",
    CommandResponse.STATUS_CANCELLED: "The command was cancelled.",
}

COMMANDS = Counter("flotilla_commands_total", "Commands sent to agents", ["action"])


class OfflineError(FlotillaError):
    """No edge holds the agent's stream."""

    def __init__(self) -> None:
        super().__init__("The server is offline.")


class CommandError(FlotillaError):
    """The agent refused or failed a command; `failure` is the kind, the message the reason."""

    def __init__(self, response: CommandResponse) -> None:
        super().__init__(response.reason or REASONS.get(response.status, "The command failed."))
        self.failure = response.failure
        self.status = response.status


class Signer:
    """The key whose commands agents trust."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public_key = key.public_key().public_bytes_raw()

    @classmethod
    def of(cls, key: SecretStr) -> Self:
        seed = base64.b64decode(key.get_secret_value())
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    def sign(self, command: Command) -> CommandRequest:
        raw = command.SerializeToString()
        return CommandRequest(command=raw, signature=self._key.sign(COMMAND_CONTEXT + raw))

    def sign_bytes(self, message: bytes) -> bytes:
        """Sign a message, which must start with a domain-separation prefix."""
        return self._key.sign(message)

    def verify_bytes(self, signature: bytes, message: bytes) -> None:
        """Verify a signature of this key.

        Raises: InvalidSignature.
        """
        self._key.public_key().verify(signature, message)

    def sign_input(self, session_id: str, offset: int, data: bytes) -> PtyInput:
        """Sign typed bytes; `offset` is their position in the session's whole input."""
        message = INPUT_CONTEXT + session_id.encode() + b"\0" + offset.to_bytes(8, "big") + data
        return PtyInput(offset=offset, data=data, signature=self._key.sign(message))


def new_command(
    vps_id: str,
    actor: str,
    *,
    timeout: float,
    max_output: int = MAX_OUTPUT,
    timing: CommandTiming = DEFAULT_TIMING,
) -> Command:
    """Make a command without its action, to be done in `timeout` seconds once it has begun."""
    now = time.time()
    return Command(
        id=secrets.token_hex(16),
        vps_id=vps_id,
        actor=actor,
        nonce=secrets.token_bytes(16),
        not_before_unix_ms=int((now - timing.clock_slack) * 1000),
        expires_at_unix_ms=int((now + timing.lifetime) * 1000),
        timeout_ms=int(min(timeout, timing.max_timeout) * 1000),
        max_output_bytes=min(max_output, MAX_OUTPUT),
    )


async def execute(
    bus: Bus, signer: Signer, command: Command, timing: CommandTiming = DEFAULT_TIMING
) -> CommandResponse:
    """Send a command and return its response, which has one part.

    Raises:
        OfflineError: the server is offline. This is known at once.
        CommandError: the agent refused the command, or it failed.
        TransientError: no response. It is not known whether the command was executed.
    """
    COMMANDS.labels(command.WhichOneof("action")).inc()
    try:
        response = await bus.request(
            subjects.agent_command(command.vps_id),
            signer.sign(command),
            CommandResponse,
            timeout=command.timeout_ms / 1000 + timing.answer_grace,
        )
    except NoResponderError:
        raise OfflineError from None
    return require_finished(response)


def require_finished(response: CommandResponse) -> CommandResponse:
    """Return the last part of a response if the command finished.

    Raises:
        CommandError: it was refused, failed, timed out or was cancelled.
        TransientError: the agent was lost. It is not known whether the command finished.
    """
    if response.failure == CommandResponse.FAILURE_DISCONNECTED:
        raise TransientError("The connection to the server was lost.")
    if response.status != CommandResponse.STATUS_FINISHED:
        raise CommandError(response)
    return response


class Execution:
    """A running command whose response arrives in parts."""

    def __init__(
        self,
        answers: Answers[CommandResponse],
        command: Command,
        timing: CommandTiming = DEFAULT_TIMING,
    ) -> None:
        self._answers = answers
        self._until = time.monotonic() + command.timeout_ms / 1000 + timing.answer_grace

    async def parts(self) -> AsyncIterator[CommandResponse]:
        """Yield the parts up to the last one, whatever its status.

        Raises:
            OfflineError: the server is offline. This is known at once.
            TransientError: the response is incomplete.
        """
        expected = 0
        while True:
            try:
                part = await self._answers.next(timeout=max(self._until - time.monotonic(), 0.1))
            except NoResponderError:
                raise OfflineError from None
            if part.part > expected:
                raise TransientError("A part of the response was lost.")
            if part.part == expected:
                expected += 1
                yield part
            if part.last:
                return


@asynccontextmanager
async def execution(bus: Bus, signer: Signer, command: Command) -> AsyncIterator[Execution]:
    """Send a command whose response has several parts.

    Raises: TransientError: NATS is away.
    """
    COMMANDS.labels(command.WhichOneof("action")).inc()
    subject = subjects.agent_command(command.vps_id)
    async with bus.conversation(subject, signer.sign(command), CommandResponse) as answers:
        yield Execution(answers, command)
