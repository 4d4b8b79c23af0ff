"""Recording of a terminal's output as asciicast v2, in compressed parts. Input is not recorded.

https://docs.asciinema.org/manual/asciicast/v2/
"""

import asyncio
import codecs
import json
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass

import structlog
from prometheus_client import Counter

from services.kit.database import pool as database
from services.kit.errors import TransientError
from services.shellproxy import store
from services.shellproxy.timing import DEFAULT_TIMING

log = structlog.get_logger(__name__)

MIB = 1024 * 1024
FLUSH_INTERVAL = 2.0  # seconds
PART = 64 * 1024  # bytes of lines that are stored without waiting for more
# Shortest time between two parts, in seconds. If there is much output, parts get larger.
MIN_INTERVAL = 0.05
BACKLOG = 1024 * 1024  # bytes of unstored lines from which on the terminal has to wait
RETRY = 0.5  # seconds

BYTES = Counter("flotilla_shell_recorded_bytes_total", "Compressed bytes of stored recordings")
STOPPED = Counter(
    "flotilla_shell_recordings_stopped_total",
    "Recordings that stopped before their terminal ended",
    ["reason"],
)


@dataclass(frozen=True, slots=True)
class RecordingLimits:
    """Limits of one recording, in MiB."""

    compressed: int = 32
    # Output that compresses well could otherwise become too large for the browser that plays it.
    lines: int = 128


DEFAULT_LIMITS = RecordingLimits()


class Recording:
    def __init__(
        self,
        pool: database.Pool,
        session_id: str,
        columns: int,
        rows: int,
        *,
        max_wait: float = DEFAULT_TIMING.recording_wait,
        limits: RecordingLimits = DEFAULT_LIMITS,
    ) -> None:
        """`max_wait` is the longest time, in seconds, that the terminal waits for the database."""
        self.size = 0
        """Stored bytes, compressed."""
        self.raw_size = 0
        """Bytes of the stored lines before compression."""
        self.stopped = ""
        """Reason for which the recording stopped before its terminal ended."""
        self._pool = pool
        self._max_wait = max_wait
        self._limits = limits
        self._session_id = session_id
        self._started = time.monotonic()
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._lines: list[str] = []
        self._waiting = 0  # bytes of lines
        self._full_since: float | None = None
        self._parts = 0
        self._due = asyncio.Event()
        self._closed = False
        header = {
            "version": 2,
            "width": columns,
            "height": rows,
            "timestamp": int(time.time()),
            "env": {"TERM": "xterm-256color"},
        }
        self._add(json.dumps(header, separators=(",", ":")))

    def must_wait(self, now: float) -> bool:
        """Return True if the terminal has to wait for the database at the monotonic time `now`.

        After `max_wait`, the recording stops and the terminal goes on.
        """
        if self._waiting < BACKLOG:
            self._full_since = None
            return False
        if self._full_since is None:
            self._full_since = now
        if now - self._full_since > self._max_wait:
            self._stop("database", "the database did not store it in time")
            return False
        return True

    def add_output(self, data: bytes) -> None:
        text = self._decoder.decode(data)
        if text and not self.stopped:
            self._event("o", text)

    def add_resize(self, columns: int, rows: int) -> None:
        if not self.stopped:
            self._event("r", f"{columns}x{rows}")

    async def run(self) -> None:
        """Store the lines until the recording is closed and all are stored."""
        while not self.stopped and (self._lines or not self._closed):
            if not self._closed:
                with suppress(TimeoutError):
                    async with asyncio.timeout(FLUSH_INTERVAL):
                        await self._due.wait()
                self._due.clear()
            try:
                await self._flush()
            except TransientError as error:
                log.warning("recording_waits", session=self._session_id, error=str(error))
                await asyncio.sleep(RETRY)
            if not self._closed:
                await asyncio.sleep(MIN_INTERVAL)

    def close(self) -> None:
        """Add the rest of the decoder's text, and let `run` end."""
        text = self._decoder.decode(b"", final=True)
        if text and not self.stopped:
            self._event("o", text)
        self._closed = True
        self._due.set()

    async def _flush(self) -> None:
        """Store the lines as one part.

        Raises: TransientError: the database is unavailable. The lines are kept.
        """
        if not self._lines:
            return
        lines, self._lines = self._lines, []
        waiting, self._waiting = self._waiting, 0
        try:
            raw = "\n".join((*lines, "")).encode()
            data = await asyncio.to_thread(zlib.compress, raw)
            limits = self._limits
            if self.size + len(data) > limits.compressed * MIB:
                self._stop("limit", f"the limit of {limits.compressed} MiB was reached")
                return
            if self.raw_size + len(raw) > limits.lines * MIB:
                self._stop(
                    "raw-limit",
                    f"the limit of {limits.lines} MiB before compression was reached",
                )
                return
            async with database.transaction(self._pool) as connection:
                await store.insert_part(
                    connection, session_id=self._session_id, part=self._parts, data=data
                )
        except TransientError:
            if not self.stopped:
                self._lines[:0] = lines
                self._waiting += waiting
            raise
        self._parts += 1
        self.size += len(data)
        self.raw_size += len(raw)
        BYTES.inc(len(data))

    def _event(self, kind: str, text: str) -> None:
        at = round(time.monotonic() - self._started, 6)
        self._add(json.dumps([at, kind, text], ensure_ascii=False, separators=(",", ":")))

    def _add(self, line: str) -> None:
        self._lines.append(line)
        self._waiting += len(line)
        if self._waiting >= PART:
            self._due.set()

    def _stop(self, label: str, reason: str) -> None:
        STOPPED.labels(label).inc()
        log.warning("recording_stopped", session=self._session_id, reason=reason)
        self.stopped = reason
        self._lines.clear()
        self._waiting = 0
