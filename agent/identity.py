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

from agent.errors import AgentError, NotEnrolledError
from flotilla.v1.agent_pb2 import AgentConfig

ENROL_CONTEXT = b"flotilla-enrol-v1\0"
STREAM_CONTEXT = b"flotilla-stream-v1\0"


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
        self._identity = path / "identity.json"
        self._pushed = path / "pushed-config.pb"

    def prepare(self) -> None:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise AgentError(f"{self.path}: cannot be made: {error.strerror}") from None
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise AgentError(f"{self.path}: cannot be written to by this user")

    def lock(self) -> contextlib.ExitStack:
        """Keep a second agent off this folder until the answer is closed."""
        stack = contextlib.ExitStack()
        try:
            handle = stack.enter_context((self.path / "lock").open("w"))
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stack.close()
            raise AgentError(f"{self.path}: another agent is running with this folder") from None
        except OSError as error:
            stack.close()
            raise AgentError(f"{self.path}: cannot be locked: {error.strerror}") from None
        return stack

    def enrolled(self) -> bool:
        return self._identity.exists()

    def identity(self) -> Identity:
        try:
            record = json.loads(self._identity.read_bytes())
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
            raise AgentError(f"{self._identity}: {error.strerror}") from None
        except (KeyError, TypeError, ValueError, binascii.Error, CryptoError):
            raise AgentError(f"{self._identity}: damaged; enrol again with --force") from None

    def keep_identity(self, identity: Identity) -> None:
        # Revisions that another identity was sent mean nothing to this one.
        self._pushed.unlink(missing_ok=True)
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
        self._write(self._identity, json.dumps(record, indent=2).encode())

    def pushed_config(self) -> AgentConfig:
        try:
            return AgentConfig.FromString(self._pushed.read_bytes())
        except (FileNotFoundError, DecodeError):
            # The server pushes again what it sees missing.
            return AgentConfig()

    def keep_pushed_config(self, pushed: AgentConfig) -> None:
        self._write(self._pushed, pushed.SerializeToString())

    def _write(self, target: Path, content: bytes) -> None:
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                if os.geteuid() == 0:
                    # Written by root, it is still for the user that the agent runs as.
                    folder = self.path.stat()
                    os.fchown(descriptor, folder.st_uid, folder.st_gid)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(target)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
