"""The folder with the identity of the agent and everything else that it keeps."""

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

from agent.base import private_files
from agent.base.errors import AgentError, NotEnrolledError
from flotilla.v1.agent_pb2 import AgentConfig

ENROL_CONTEXT = b"flotilla-enrol-v1\0"
STREAM_CONTEXT = b"flotilla-stream-v1\0"
IDENTITY = "identity.json"
PUSHED = "pushed-config.pb"


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    vps_id: str
    address: str  # host:port of the edge
    ca_certificate: str
    key: SigningKey = dataclasses.field(repr=False)
    command_keys: tuple[bytes, ...] = ()  # Ed25519 keys that may sign commands

    def sign_challenge(self, nonce: bytes) -> bytes:
        return self.key.sign(STREAM_CONTEXT + self.vps_id.encode() + b"\0" + nonce).signature


class StateFolder:
    """Files that the agent keeps when it ends. Only its user can read them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def prepare(self) -> None:
        """Create the folder if it does not exist.

        Raises:
            AgentError: The folder cannot be created or written to.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            with private_files.open_folder(self.path):
                pass
        except OSError as error:
            raise AgentError(
                f"The state folder {self.path} cannot be created: {error.strerror}."
            ) from None
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise AgentError(
                f"This user cannot write to the state folder {self.path}. Run the agent as the user"
                " that owns it, or choose another folder with --state."
            )

    def lock(self) -> contextlib.ExitStack:
        """Keep a second agent from using this folder until the returned stack is closed.

        Raises:
            AgentError: Another agent uses the folder, or it cannot be locked.
        """
        stack = contextlib.ExitStack()
        try:
            with private_files.open_folder(self.path) as here:
                _check_owner(here, self.path)
                handle = private_files.open_file("lock", os.O_RDWR | os.O_CREAT, here)
            stack.callback(os.close, handle)
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stack.close()
            raise AgentError(
                f"Another agent is running with the state folder {self.path}. Stop it, or choose"
                " another folder with --state."
            ) from None
        except OSError as error:
            stack.close()
            raise AgentError(
                f"The state folder {self.path} cannot be locked: {error.strerror}."
            ) from None
        return stack

    def is_enrolled(self) -> bool:
        return (self.path / IDENTITY).exists()

    def load_identity(self) -> Identity:
        """Return the identity.

        Raises:
            NotEnrolledError: There is none.
            AgentError: It cannot be read.
        """
        path = self.path / IDENTITY
        try:
            with private_files.open_folder(self.path) as here:
                record = json.loads(private_files.read(here, IDENTITY))
            return Identity(
                vps_id=record["vps_id"],
                address=record["address"],
                ca_certificate=record["ca_certificate"],
                key=SigningKey(base64.b64decode(record["key"])),
                command_keys=tuple(base64.b64decode(key) for key in record["command_keys"]),
            )
        except FileNotFoundError:
            raise NotEnrolledError(
                f"This server is not enrolled ({self.path}). Add this server in the console and run"
                " the install line that it shows."
            ) from None
        except OSError as error:
            raise AgentError(f"The identity {path} cannot be read: {error.strerror}.") from None
        except (KeyError, TypeError, ValueError, binascii.Error, CryptoError):
            raise AgentError(f"The identity {path} is damaged. Enrol again with --force.") from None

    def save_identity(self, identity: Identity) -> None:
        """Replace the identity."""
        with private_files.open_folder(self.path) as here:
            # The settings were pushed to another identity.
            private_files.remove(here, PUSHED)
        self._write_identity(identity)

    def save_command_keys(self, keys: tuple[bytes, ...]) -> None:
        """Replace the trusted keys of the present identity."""
        self._write_identity(dataclasses.replace(self.load_identity(), command_keys=keys))

    def _write_identity(self, identity: Identity) -> None:
        record = {
            "vps_id": identity.vps_id,
            "address": identity.address,
            "ca_certificate": identity.ca_certificate,
            "key": base64.b64encode(bytes(identity.key)).decode(),
            "command_keys": [base64.b64encode(key).decode() for key in identity.command_keys],
        }
        self._write(IDENTITY, json.dumps(record, indent=2).encode())

    def load_pushed_config(self) -> AgentConfig:
        try:
            with private_files.open_folder(self.path) as here:
                return AgentConfig.FromString(private_files.read(here, PUSHED))
        except (OSError, DecodeError):
            # The server pushes the settings again when their revision is missing.
            return AgentConfig()

    def save_pushed_config(self, pushed: AgentConfig) -> None:
        self._write(PUSHED, pushed.SerializeToString())

    def _write(self, name: str, content: bytes) -> None:
        with private_files.open_folder(self.path) as here:
            private_files.write(here, name, content)


def _check_owner(here: int, path: Path) -> None:
    """Check that root does not use a folder of another user, who could replace files in it.

    Raises:
        AgentError: The folder belongs to another user.
    """
    if os.geteuid() == 0 and os.fstat(here).st_uid != 0:
        raise AgentError(
            f"The state folder {path} belongs to another user. Run the agent as that user."
        )
