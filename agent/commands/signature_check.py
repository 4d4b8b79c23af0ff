import logging
import re
import time
from collections.abc import Sequence
from pathlib import Path

from google.protobuf.message import DecodeError
from nacl.bindings import crypto_hash_sha256
from nacl.exceptions import CryptoError
from nacl.signing import VerifyKey

from agent.base import private_files
from agent.commands.errors import forbidden, invalid
from flotilla.v1.command_pb2 import Command, CommandRequest, PtyInput

log = logging.getLogger(__name__)

COMMAND_CONTEXT = b"flotilla-command-v1\0"
INPUT_CONTEXT = b"flotilla-pty-input-v1\0"
KEY_LENGTH = 32  # bytes
ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
# The command history reaches back at least this far.
MAX_LIFETIME = 600_000  # ms
FLOOR_STEP = 30_000  # ms between two times that are stored
CLOCK_ADVICE = "Check that the clocks of the Flotilla services agree."


class CommandVerifier:
    """Checks signature, addressee and validity of commands, by the clock of the server."""

    def __init__(self, vps_id: str, keys: Sequence[bytes], floor_path: Path | None = None) -> None:
        """`floor_path` is the file that keeps the newest signed time."""
        self.keys = tuple(keys)
        self.vps_id = vps_id
        # Unix ms at which the host booted, by the clock of the server once it is known.
        self._boot_time = time.time_ns() // 1_000_000 - _uptime()

        self._is_set = False  # True after the first challenge
        self._floor_path = floor_path
        self._floor = _read_floor(floor_path)

    def set_server_time(self, server_time_unix_ms: int) -> None:
        """Set the clock to the time in the challenge; the delay of the network is ignored.

        The challenge is not signed, so it never sets the clock back: a command that somebody
        withheld must not become valid again. A time before the current one is ignored. After a
        restart, a time before that of the newest signed command is ignored.
        """
        if server_time_unix_ms <= 0:
            return
        earliest = max(self._floor, self.now() if self._is_set else 0)
        self._boot_time = max(server_time_unix_ms, earliest) - _uptime()
        self._is_set = True

    def _raise_floor(self, signed_time: int) -> None:
        """Store that the server's clock has reached this time (Unix ms), for after a restart too."""
        if signed_time < self._floor + FLOOR_STEP:
            return
        self._floor = signed_time
        if self._floor_path is None:
            return
        try:
            with private_files.open_folder(self._floor_path.parent) as folder:
                private_files.write(folder, self._floor_path.name, str(signed_time).encode())
        except OSError as error:
            log.warning("The time of the newest command cannot be stored: %s", error)

    def now(self) -> int:
        """Return Unix ms by the clock of the server, even after the host's clock was set."""
        return self._boot_time + _uptime()

    def verify(self, request: CommandRequest) -> Command:
        """Return the command, if a trusted key has signed it for this agent.

        Raises:
            CommandFailedError: the signature, the addressee or the id is wrong.
        """
        self._verify(COMMAND_CONTEXT + request.command, request.signature)
        try:
            command = Command.FromString(request.command)
        except DecodeError:
            raise invalid(
                "The agent cannot read this command. Update the agent if it is older than the"
                " console."
            ) from None
        if command.vps_id != self.vps_id:
            raise forbidden("This command is signed for another server.")
        if not ID.fullmatch(command.id):
            raise invalid(
                "The id of a command must have 1 to 64 characters of A-Z, a-z, 0-9, _, -."
            )
        return command

    def check_time(self, command: Command) -> None:
        """Raises: CommandFailedError: the command is not valid now."""
        now = self.now()
        lifetime = command.expires_at_unix_ms - command.not_before_unix_ms
        if lifetime > MAX_LIFETIME:
            raise forbidden(
                f"This command is valid for {lifetime // 1000} s;"
                f" at most {MAX_LIFETIME // 1000} s are allowed."
            )
        if now < command.not_before_unix_ms:
            raise forbidden(f"This command is not valid yet. {CLOCK_ADVICE}")
        # A service with a trusted key signed it at this time or later.
        self._raise_floor(command.not_before_unix_ms)
        if now >= command.expires_at_unix_ms:
            raise forbidden("This command has expired. Send it again.")

    def check_input(self, session_id: str, typed: PtyInput) -> None:
        """Raises: CommandFailedError: the input is not signed for this session and offset."""
        place = session_id.encode() + b"\0" + typed.offset.to_bytes(8, "big")
        self._verify(INPUT_CONTEXT + place + typed.data, typed.signature)

    def _verify(self, message: bytes, signature: bytes) -> None:
        if not self.keys:
            raise forbidden(
                "The agent trusts no command key. Enrol it with an install line of this console,"
                " or run `flotilla-agent trust KEY` on the server."
            )
        for key in self.keys:
            try:
                VerifyKey(key).verify(message, signature)
            except CryptoError:
                continue
            return
        raise forbidden(
            "The signature is not from a command key that the agent trusts. Run `flotilla-agent"
            " trust KEY` on the server with the command key of this console."
        )


def digest(request: CommandRequest) -> bytes:
    value: bytes = crypto_hash_sha256(request.command)
    return value


def _read_floor(path: Path | None) -> int:
    """Return the stored time in Unix ms, or 0."""
    if path is None:
        return 0
    try:
        with private_files.open_folder(path.parent) as folder:
            return int(private_files.read(folder, path.name))
    except (OSError, ValueError):
        return 0


def _uptime() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
