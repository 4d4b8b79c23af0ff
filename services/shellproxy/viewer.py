"""A viewer of a terminal session: one browser window, and its position in the session's output."""

import time
from dataclasses import dataclass, field

from services.kit.agents.byte_windows import ReceiveWindow
from services.shellproxy.scrollback import Scrollback

WINDOW = 256 * 1024  # bytes sent to a viewer that it may not have acknowledged yet
FRAME = 32 * 1024  # bytes


@dataclass(slots=True)
class Viewer:
    """Offsets in `sent`, `acknowledged` and `_live_from` count the bytes sent to this viewer."""

    id: str
    user_id: str
    username: str
    is_controlling: bool
    has_history: bool
    """The session had a viewer before, or this one is shown the session again."""
    position: int = 0
    """Offset in the session's output of the next byte to send."""
    sent: int = 0
    acknowledged: int = 0
    heard_at: float = field(default_factory=time.monotonic)
    sent_at: float = 0.0
    typed: ReceiveWindow = field(default_factory=ReceiveWindow)
    reported_input: int = 0
    """Number of typed bytes that were reported to the viewer as received by the agent."""
    needs_restart: bool = True
    """The viewer must start again from the scrollback."""
    _preamble: bytes = b""
    _live_from: int = 0
    """Offset at which the session's own output starts, after the preamble."""

    @property
    def room(self) -> int:
        return WINDOW - (self.sent - self.acknowledged)

    def is_behind(self, scrollback: Scrollback) -> bool:
        """Return True while there is output that was not sent to the viewer."""
        return self.needs_restart or bool(self._preamble) or self.position < scrollback.end

    def restart(self, scrollback: Scrollback) -> None:
        """Start again from the beginning of the scrollback."""
        self.needs_restart = False
        self.position = scrollback.start
        needs_preamble = self.has_history or scrollback.start
        self._preamble = scrollback.preamble() if needs_preamble else b""
        self._live_from = self.sent + len(self._preamble)

    def next_frame(self, scrollback: Scrollback) -> tuple[int, bytes] | None:
        """Return offset and bytes of the next frame, or None if nothing may be sent now."""
        limit = min(FRAME, self.room)
        if limit <= 0:
            return None
        if self._preamble:
            data, self._preamble = self._preamble[:limit], self._preamble[limit:]
        else:
            data = scrollback.read(self.position, limit)
            self.position += len(data)
        if not data:
            return None
        offset, self.sent = self.sent, self.sent + len(data)
        self.sent_at = time.monotonic()
        return offset, data

    def acknowledge(self, offset: int) -> None:
        self.acknowledged = max(self.acknowledged, min(offset, self.sent))

    def delivered_input(self, waiting: int) -> int:
        """Return how many of the viewer's typed bytes have reached the agent.

        `waiting` is the number of the session's typed bytes that have not; some of them may be
        another viewer's.
        """
        return self.typed.received - min(waiting, self.typed.received)

    def rewind(self, received: int, scrollback: Scrollback) -> None:
        """Send the output after the offset `received` again, because it was lost."""
        if not self.acknowledged <= received < self.sent:
            return
        lost = self.sent - received
        self.sent = received
        if received < self._live_from or self.position - lost < scrollback.start:
            self.needs_restart = True
        else:
            self.position -= lost
