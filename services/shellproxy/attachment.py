"""One screen's place in a session's output."""

import time
from dataclasses import dataclass, field

from services.kit.windows import ReceiveWindow
from services.shellproxy.scrollback import Scrollback

WINDOW = 256 * 1024  # bytes that a screen may have been sent and not handled
FRAME = 32 * 1024  # bytes


@dataclass(slots=True)
class Attachment:
    id: str
    user_id: str
    username: str
    driver: bool
    resumed: bool
    """Others were there before, or it itself was."""
    position: int = 0
    """Of the session's output, what comes next."""
    sent: int = 0
    """Bytes, this screen's own count, in which its credit is too."""
    handled: int = 0
    heard_at: float = field(default_factory=time.monotonic)
    sent_at: float = 0.0
    typed: ReceiveWindow = field(default_factory=ReceiveWindow)
    told_taken: int = 0
    """Of its typed bytes, those it knows to have arrived at the agent."""
    due: bool = True
    """It is to start over from the scrollback."""
    _preamble: bytes = b""
    _begun: int = 0
    """Where, in its own count, the session's output at `position` began to be sent one to one."""

    @property
    def room(self) -> int:
        return WINDOW - (self.sent - self.handled)

    def behind(self, scrollback: Scrollback) -> bool:
        """Whether there is anything it has not been sent yet."""
        return self.due or bool(self._preamble) or self.position < scrollback.end

    def start_over(self, scrollback: Scrollback) -> None:
        self.due = False
        self.position = scrollback.start
        self._preamble = scrollback.preamble() if self.resumed or scrollback.start else b""
        self._begun = self.sent + len(self._preamble)

    def next(self, scrollback: Scrollback) -> tuple[int, bytes] | None:
        """Offset in its own count, and bytes, of what may be sent now."""
        most = min(FRAME, self.room)
        if most <= 0:
            return None
        if self._preamble:
            data, self._preamble = self._preamble[:most], self._preamble[most:]
        else:
            data = scrollback.read(self.position, most)
            self.position += len(data)
        if not data:
            return None
        offset, self.sent = self.sent, self.sent + len(data)
        self.sent_at = time.monotonic()
        return offset, data

    def credit(self, offset: int) -> None:
        self.handled = max(self.handled, min(offset, self.sent))

    def taken(self, waiting: int) -> int:
        """Of its typed bytes, those that are not among the last `waiting` of the session's."""
        return self.typed.received - min(waiting, self.typed.received)

    def rewind(self, received: int, scrollback: Scrollback) -> None:
        """What was sent after `received` of its own count was lost on the way."""
        if not self.handled <= received < self.sent:
            return
        lost = self.sent - received
        self.sent = received
        if received < self._begun or self.position - lost < scrollback.start:
            self.due = True
        else:
            self.position -= lost
