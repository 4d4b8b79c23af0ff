import re
import time
from collections.abc import Sequence

from google.protobuf.message import DecodeError
from nacl.bindings import crypto_hash_sha256
from nacl.exceptions import CryptoError
from nacl.signing import VerifyKey

from agent.execute.failure import forbidden, invalid
from flotilla.v1.command_pb2 import Command, CommandRequest, PtyInput

COMMAND_CONTEXT = b"flotilla-command-v1\0"
INPUT_CONTEXT = b"flotilla-pty-input-v1\0"
KEY_LENGTH = 32  # bytes
NAME = re.compile(r"[0-9A-Za-z_-]{1,64}")
# What is remembered of executed commands reaches back at least so far.
LIFETIME_LIMIT = 600_000  # ms


class Trust:
    """Whom this agent obeys, and what time it is there."""

    def __init__(self, vps_id: str, keys: Sequence[bytes]) -> None:
        self.keys = tuple(keys)
        self.vps_id = vps_id
        self._epoch = time.time_ns() // 1_000_000 - _uptime()

    def learn_time(self, server_time_unix_ms: int) -> None:
        """From the challenge, which is about as old as it took to come here."""
        if server_time_unix_ms > 0:
            self._epoch = server_time_unix_ms - _uptime()

    def now(self) -> int:
        """Unix ms by the server's clock, whatever this host's is set to meanwhile."""
        return self._epoch + _uptime()

    def opened(self, request: CommandRequest) -> Command:
        """The command, when it is signed by a key that is obeyed, and meant for this agent.

        Raises:
            CommandFailedError: it is not.
        """
        self._verify(COMMAND_CONTEXT + request.command, request.signature)
        try:
            command = Command.FromString(request.command)
        except DecodeError:
            raise invalid(
                "the command cannot be read: is the agent older than the server?"
            ) from None
        if command.vps_id != self.vps_id:
            raise forbidden("the command is for another server")
        if not NAME.fullmatch(command.id):
            raise invalid("the command has no usable id")
        return command

    def check_time(self, command: Command) -> None:
        """Raises: CommandFailedError: it may not begin now."""
        now = self.now()
        if command.expires_at_unix_ms - command.not_before_unix_ms > LIFETIME_LIMIT:
            raise forbidden(f"the command is valid for more than {LIFETIME_LIMIT // 1000} s")
        if now < command.not_before_unix_ms:
            raise forbidden("the command is not valid yet: do the servers' clocks differ?")
        if now >= command.expires_at_unix_ms:
            raise forbidden("the command has expired")

    def check_input(self, session_id: str, typed: PtyInput) -> None:
        """Raises: CommandFailedError: nobody who may has typed this, here, at this place."""
        place = session_id.encode() + b"\0" + typed.offset.to_bytes(8, "big")
        self._verify(INPUT_CONTEXT + place + typed.data, typed.signature)

    def _verify(self, message: bytes, signature: bytes) -> None:
        if not self.keys:
            raise forbidden(
                "the agent trusts no console: enrol it with an install line of this one,"
                " or run `flotilla-agent trust KEY` there"
            )
        for key in self.keys:
            try:
                VerifyKey(key).verify(message, signature)
            except CryptoError:
                continue
            return
        raise forbidden("the signature is not of a console that the agent trusts")


def digest(request: CommandRequest) -> bytes:
    value: bytes = crypto_hash_sha256(request.command)
    return value


def _uptime() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
