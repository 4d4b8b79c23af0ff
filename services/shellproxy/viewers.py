"""The viewers attached to one terminal session, and what is sent to them."""

import time
from collections.abc import Callable, Iterator

from google.protobuf.message import Message
from prometheus_client import Counter, Gauge

from flotilla.v1.shell_pb2 import ShellData, ShellOutput, ShellReady, ShellRefusal, ShellViewers
from services.kit.bus import connection as bus
from services.kit.bus import subjects
from services.shellproxy.errors import RefusedError
from services.shellproxy.scrollback import Scrollback
from services.shellproxy.viewer import WINDOW, Viewer

LIMIT = 16

VIEWERS = Gauge("flotilla_shell_screens", "Viewers attached to terminal sessions")
RESTARTED = Counter(
    "flotilla_shell_resyncs_total",
    "Times a viewer fell behind the scrollback and had to start again from it",
)


class Viewers:
    def __init__(
        self,
        connection: bus.Bus,
        session_id: str,
        scrollback: Scrollback,
        describe: Callable[[Viewer], ShellReady],
        *,
        timeout: float,
    ) -> None:
        """`describe` returns the message with which a viewer starts.

        A viewer is detached after `timeout` seconds without a message from its gateway.
        """
        self.last_seen_at = time.monotonic()
        self.had_any = False
        self._bus = connection
        self._subject = subjects.shell_output(session_id)
        self._scrollback = scrollback
        self._describe = describe
        self._timeout = timeout
        self._viewers: dict[str, Viewer] = {}
        self._changed = False

    def __len__(self) -> int:
        return len(self._viewers)

    def __iter__(self) -> Iterator[Viewer]:
        return iter(list(self._viewers.values()))

    def get(self, viewer_id: str) -> Viewer | None:
        return self._viewers.get(viewer_id)

    @property
    def controlling(self) -> Viewer | None:
        """The viewer that types and sets the size."""
        return next((viewer for viewer in self if viewer.is_controlling), None)

    def needed_from(self) -> int | None:
        """Return the output offset from which on the controlling viewer still needs output."""
        controlling = self.controlling
        if controlling is None or controlling.needs_restart:
            return None
        return controlling.position

    def attach(self, viewer: Viewer) -> None:
        """Add a viewer; a controlling one takes over from the former one.

        Raises: RefusedError: the limit is reached.
        """
        if len(self._viewers) >= LIMIT:
            raise RefusedError(
                ShellRefusal.KIND_BUSY,
                f"This terminal has {LIMIT} viewers, which is the limit.",
            )
        former = self.controlling
        if viewer.is_controlling and former is not None:
            # The restart shows the former controlling viewer that it only watches now.
            former.is_controlling, former.needs_restart = False, True
        self._viewers[viewer.id] = viewer
        VIEWERS.inc()
        self.had_any = self._changed = True

    def detach(self, viewer: Viewer) -> None:
        del self._viewers[viewer.id]
        VIEWERS.dec()
        self.last_seen_at = time.monotonic()
        self._changed = True

    def expire(self, now: float) -> None:
        """Detach the viewers whose gateway is silent."""
        for viewer in self:
            if now - viewer.heard_at > self._timeout:
                self.detach(viewer)

    def clear(self) -> None:
        VIEWERS.dec(len(self._viewers))
        self._viewers.clear()

    def are_behind(self) -> bool:
        """Return True while there is output that was not sent to all viewers."""
        return any(viewer.is_behind(self._scrollback) for viewer in self)

    async def send(self, viewer: Viewer, **event: Message | str | int) -> None:
        message = ShellOutput(attachment_id=viewer.id, **event)  # type: ignore[arg-type]
        await self._bus.publish(self._subject, message)

    async def send_all(self, **event: Message | str | int) -> None:
        for viewer in self:
            await self.send(viewer, **event)

    async def send_output(self) -> None:
        """Send each viewer the output that fits into its window."""
        for viewer in self:
            if viewer.position < self._scrollback.start and not viewer.needs_restart:
                RESTARTED.inc()
                viewer.needs_restart = True
            # A viewer that has not acknowledged most of its output would fall behind again.
            if viewer.needs_restart and viewer.room >= WINDOW // 2:
                viewer.restart(self._scrollback)
                ready = self._describe(viewer)
                viewer.has_history = True
                await self.send(viewer, ready=ready)
            while not viewer.needs_restart:
                frame = viewer.next_frame(self._scrollback)
                if frame is None:
                    break
                offset, data = frame
                await self.send(viewer, data=ShellData(offset=offset, data=data))

    async def send_changes(self, waiting_input: int) -> None:
        """Send how much input has reached the agent, and the list of viewers if it changed.

        `waiting_input` is the number of the session's typed bytes that have not.
        """
        for viewer in self:
            delivered = viewer.delivered_input(waiting_input)
            if delivered > viewer.reported_input:
                viewer.reported_input = delivered
                await self.send(viewer, taken=delivered)
        if self._changed:
            self._changed = False
            viewers = [
                ShellViewers.Viewer(username=viewer.username, driver=viewer.is_controlling)
                for viewer in self
            ]
            await self.send_all(viewers=ShellViewers(viewers=viewers))
