import base64
import binascii
import contextlib
import dataclasses
import fcntl
import json
import os
from pathlib import Path

from google.protobuf.message import DecodeError
from nacl.exceptions import CryptoError
from nacl.signing import SigningKey

from agent import folder
from agent.errors import AgentError, NotEnrolledError
from flotilla.v1.agent_pb2 import AgentConfig

ENROL_CONTEXT = b"flotilla-enrol-v1\0"
STREAM_CONTEXT = b"flotilla-stream-v1\0"
IDENTITY = "identity.json"
PUSHED = "pushed-config.pb"


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    vps_id: str
    # host:port of the server that holds the stream
    address: str
    ca_certificate: str
    key: SigningKey = dataclasses.field(repr=False)
    # Ed25519 keys that may sign commands
    command_keys: tuple[bytes, ...] = ()

    def sign_challenge(self, nonce: bytes) -> bytes:
        return self.key.sign(STREAM_CONTEXT + self.vps_id.encode() + b"\0" + nonce).signature


class StateFolder:
    """Everything the agent keeps between two runs; readable by its user alone."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def prepare(self) -> None:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            with folder.opened(self.path):
                pass
        except OSError as error:
            raise AgentError(f"{self.path}: cannot be made: {error.strerror}") from None
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise AgentError(f"{self.path}: cannot be written to by this user")

    def lock(self) -> contextlib.ExitStack:
        """Keep a second agent off this folder until the answer is closed."""
        stack = contextlib.ExitStack()
        try:
            with folder.opened(self.path) as here:
                _check_owner(here, self.path)
                handle = folder.take("lock", os.O_RDWR | os.O_CREAT, here)
            stack.callback(os.close, handle)
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stack.close()
            raise AgentError(f"{self.path}: another agent is running with this folder") from None
        except OSError as error:
            stack.close()
            raise AgentError(f"{self.path}: cannot be locked: {error.strerror}") from None
        return stack

    def enrolled(self) -> bool:
        return (self.path / IDENTITY).exists()

    def identity(self) -> Identity:
        path = self.path / IDENTITY
        try:
            with folder.opened(self.path) as here:
                record = json.loads(folder.read(here, IDENTITY))
            return Identity(
                vps_id=record["vps_id"],
                address=record["address"],
                ca_certificate=record["ca_certificate"],
                key=SigningKey(base64.b64decode(record["key"])),
                command_keys=tuple(base64.b64decode(key) for key in record["command_keys"]),
            )
        except FileNotFoundError:
            raise NotEnrolledError(
                f"{self.path}: not enrolled; add this server in the console and run the line it shows"
            ) from None
        except OSError as error:
            raise AgentError(f"{path}: {error.strerror}") from None
        except (KeyError, TypeError, ValueError, binascii.Error, CryptoError):
            raise AgentError(f"{path}: damaged; enrol again with --force") from None

    def keep_identity(self, identity: Identity) -> None:
        with folder.opened(self.path) as here:
            # Revisions that another identity was sent mean nothing to this one.
            folder.remove(here, PUSHED)
        self._write_identity(identity)

    def keep_command_keys(self, keys: tuple[bytes, ...]) -> None:
        """Obey these from now on, being the same server still."""
        self._write_identity(dataclasses.replace(self.identity(), command_keys=keys))

    def _write_identity(self, identity: Identity) -> None:
        record = {
            "vps_id": identity.vps_id,
            "address": identity.address,
            "ca_certificate": identity.ca_certificate,
            "key": base64.b64encode(bytes(identity.key)).decode(),
            "command_keys": [base64.b64encode(key).decode() for key in identity.command_keys],
        }
        self._write(IDENTITY, json.dumps(record, indent=2).encode())

    def pushed_config(self) -> AgentConfig:
        try:
            with folder.opened(self.path) as here:
                return AgentConfig.FromString(folder.read(here, PUSHED))
        except (OSError, DecodeError):
            # The server pushes again what it sees missing.
            return AgentConfig()

    def keep_pushed_config(self, pushed: AgentConfig) -> None:
        self._write(PUSHED, pushed.SerializeToString())

    def _write(self, name: str, content: bytes) -> None:
        with folder.opened(self.path) as here:
            folder.write(here, name, content)


def _check_owner(here: int, path: Path) -> None:
    """Raises: AgentError: another user may swap, under root's hands, what SQLite opens by name."""
    if os.geteuid() == 0 and os.fstat(here).st_uid != 0:
        raise AgentError(f"{path}: belongs to another user; run the agent as that user")
