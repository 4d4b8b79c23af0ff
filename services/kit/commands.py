"""Commands to agents, signed, so that owning the bus is not owning the fleet."""

import base64
import binascii
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from prometheus_client import Counter
from pydantic import AfterValidator, SecretStr

from flotilla.v1.command_pb2 import Command, CommandRequest, CommandResponse, PtyInput
from services.kit import subjects
from services.kit.bus import Answers, Bus
from services.kit.errors import FlotillaError, NobodyServesError, TransientError

COMMAND_CONTEXT = b"flotilla-command-v1\0"
INPUT_CONTEXT = b"flotilla-pty-input-v1\0"
LIFETIME = 30.0  # seconds in which an agent may begin with a command
CLOCK_SLACK = 10.0  # seconds an agent's idea of this clock may be behind
MAX_TIMEOUT = 3600.0  # seconds
MAX_OUTPUT = 1024 * 1024  # bytes
ANSWER_GRACE = 10.0  # seconds beyond a command's own time for its answer to arrive

REASONS = {
    CommandResponse.STATUS_TIMED_OUT: "it took too long and was ended",
    CommandResponse.STATUS_CANCELLED: "it was cancelled",
}

COMMANDS = Counter("flotilla_commands_total", "Commands sent to agents", ["action"])


def _seed(secret: SecretStr) -> SecretStr:
    try:
        seed = base64.b64decode(secret.get_secret_value(), validate=True)
    except binascii.Error:
        seed = b""
    if len(seed) != 32 or len(set(seed)) < 8:
        raise ValueError("is not 32 random bytes in Base64: use `openssl rand -base64 32`")
    return secret


CommandKey = Annotated[SecretStr, AfterValidator(_seed)]


class OfflineError(FlotillaError):
    """No edge holds the agent's stream."""

    def __init__(self) -> None:
        super().__init__("the server is offline")


class CommandError(FlotillaError):
    """The agent refused or failed; `failure` says of what kind, the message why."""

    def __init__(self, response: CommandResponse) -> None:
        super().__init__(response.reason or REASONS.get(response.status, "it failed there"))
        self.failure = response.failure
        self.status = response.status


class Signer:
    """Holds the key that agents obey."""

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
        """`message` begins with a context of its own, so that it is nothing else too."""
        return self._key.sign(message)

    def verify_bytes(self, signature: bytes, message: bytes) -> None:
        """Raises: InvalidSignature: this key did not sign it."""
        self._key.public_key().verify(signature, message)

    def sign_input(self, session_id: str, offset: int, data: bytes) -> PtyInput:
        """What was typed, at `offset` bytes of the session's whole input."""
        message = INPUT_CONTEXT + session_id.encode() + b"\0" + offset.to_bytes(8, "big") + data
        return PtyInput(offset=offset, data=data, signature=self._key.sign(message))


def new_command(
    vps_id: str, actor: str, *, timeout: float, max_output: int = MAX_OUTPUT
) -> Command:
    """A command without its action, to be begun within `LIFETIME` and done in `timeout` seconds."""
    now = time.time()
    return Command(
        id=secrets.token_hex(16),
        vps_id=vps_id,
        actor=actor,
        nonce=secrets.token_bytes(16),
        not_before_unix_ms=int((now - CLOCK_SLACK) * 1000),
        expires_at_unix_ms=int((now + LIFETIME) * 1000),
        timeout_ms=int(min(timeout, MAX_TIMEOUT) * 1000),
        max_output_bytes=min(max_output, MAX_OUTPUT),
    )


async def execute(bus: Bus, signer: Signer, command: Command) -> CommandResponse:
    """The answer to a command that has one part.

    Raises:
        OfflineError: at once.
        CommandError: the agent refused it, or it failed.
        TransientError: no answer; whether it was executed is not known.
    """
    COMMANDS.labels(command.WhichOneof("action")).inc()
    try:
        response = await bus.request(
            subjects.agent_command(command.vps_id),
            signer.sign(command),
            CommandResponse,
            timeout=command.timeout_ms / 1000 + ANSWER_GRACE,
        )
    except NobodyServesError:
        raise OfflineError from None
    return checked(response)


def checked(response: CommandResponse) -> CommandResponse:
    """Of the part that is `last`.

    Raises:
        CommandError: it did not come to its end.
        TransientError: the agent was lost; whether it did is not known.
    """
    if response.failure == CommandResponse.FAILURE_DISCONNECTED:
        raise TransientError("the connection to the server broke")
    if response.status != CommandResponse.STATUS_FINISHED:
        raise CommandError(response)
    return response


class Execution:
    """A command under way, whose answer comes in parts."""

    def __init__(self, answers: Answers[CommandResponse], command: Command) -> None:
        self._answers = answers
        self._until = time.monotonic() + command.timeout_ms / 1000 + ANSWER_GRACE

    async def parts(self) -> AsyncIterator[CommandResponse]:
        """Until the one that is `last`, whatever its status.

        Raises:
            OfflineError: at once.
            TransientError: the answer broke off, or a part of it was lost.
        """
        expected = 0
        while True:
            try:
                part = await self._answers.next(timeout=max(self._until - time.monotonic(), 0.1))
            except NobodyServesError:
                raise OfflineError from None
            if part.part > expected:
                raise TransientError("a part of the answer was lost")
            if part.part == expected:
                expected += 1
                yield part
            if part.last:
                return


@asynccontextmanager
async def execution(bus: Bus, signer: Signer, command: Command) -> AsyncIterator[Execution]:
    """Raises: TransientError: the bus is away."""
    COMMANDS.labels(command.WhichOneof("action")).inc()
    subject = subjects.agent_command(command.vps_id)
    async with bus.conversation(subject, signer.sign(command), CommandResponse) as answers:
        yield Execution(answers, command)
