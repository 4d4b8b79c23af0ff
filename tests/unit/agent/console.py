"""The console's side: commands as the server signs them."""

import dataclasses
import secrets
import time
from typing import Any

from nacl.signing import SigningKey

from flotilla.v1.command_pb2 import (
    Command,
    CommandRequest,
    PtyAction,
    PtyDataToAgent,
    PtyInput,
    ShellAction,
)
from tests.unit.agent.edge import VPS_ID

CONSOLE = SigningKey(bytes(range(32)))


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def command(**changes: Any) -> Command:
    """Valid for the agent under test, now."""
    now = now_ms()
    fields: dict[str, Any] = {
        "id": secrets.token_hex(16),
        "vps_id": VPS_ID,
        "actor": "ada",
        "nonce": secrets.token_bytes(16),
        "not_before_unix_ms": now - 10_000,
        "expires_at_unix_ms": now + 30_000,
        "timeout_ms": 10_000,
        "max_output_bytes": 1024 * 1024,
    }
    return Command(**{**fields, **changes})


def script(text: str, **changes: Any) -> Command:
    return command(shell=ShellAction(script=text), **changes)


def signed(order: Command, key: SigningKey = CONSOLE) -> CommandRequest:
    raw = order.SerializeToString()
    return CommandRequest(command=raw, signature=key.sign(b"flotilla-command-v1\0" + raw).signature)


def start(session: str, **changes: Any) -> PtyDataToAgent:
    fields: dict[str, Any] = {
        "session_id": session,
        "columns": 80,
        "rows": 24,
        "window_bytes": 64 * 1024,
        "lease_ms": 10_000,
    }
    action = PtyAction(**{**fields, **changes})
    return PtyDataToAgent(session_id=session, start=signed(command(pty=action)))


@dataclasses.dataclass
class Typist:
    """Signs what is typed into a session, byte after byte."""

    session: str
    key: SigningKey = CONSOLE
    offset: int = 0

    def types(self, data: bytes, *, offset: int | None = None) -> PtyDataToAgent:
        place = self.offset if offset is None else offset
        message = b"flotilla-pty-input-v1\0" + self.session.encode() + b"\0"
        message += place.to_bytes(8, "big") + data
        typed = PtyInput(offset=place, data=data, signature=self.key.sign(message).signature)
        if offset is None:
            self.offset += len(data)
        return PtyDataToAgent(session_id=self.session, input=typed)
