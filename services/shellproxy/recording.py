"""What a terminal showed, as asciicast v2, in compressed parts. What was typed is never in it.

https://docs.asciinema.org/manual/asciicast/v2/
"""

import asyncio
import codecs
import json
import time
import zlib
from contextlib import suppress

import structlog
from prometheus_client import Counter

from services.kit import database
from services.kit.errors import TransientError
from services.shellproxy import store

log = structlog.get_logger(__name__)

FLUSH_SECONDS = 2.0
PART = 64 * 1024  # bytes of lines that are stored without waiting for more
GAP = 0.05  # seconds between parts at the least: a flood makes them larger, not more
BACKLOG = 1024 * 1024  # bytes of lines that wait for the database before the terminal does
RETRY = 0.5  # seconds
PATIENCE = 5.0  # seconds that a terminal waits for its recording, which is then given up
LIMIT = 32 * 1024 * 1024  # bytes, compressed
# What compresses well would be no end of it where it is played.
RAW_LIMIT = 128 * 1024 * 1024  # bytes of lines

BYTES = Counter("flotilla_shell_recorded_bytes_total", "Bytes of recordings, compressed")
STOPPED = Counter("flotilla_shell_recordings_stopped_total", "Ended before", ["reason"])


class Recording:
    def __init__(self, pool: database.Pool, session_id: str, columns: int, rows: int) -> None:
        self.size = 0
        """Bytes stored."""
        self.raw_size = 0
        """Bytes of lines in them."""
        self.stopped = ""
        """Why it ended before its terminal did."""
        self._pool = pool
        self._session_id = session_id
        self._began = time.monotonic()
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

    def holds_up(self, now: float) -> bool:
        """Whether the terminal is to wait, which it does not for long; by the monotonic clock."""
        if self._waiting < BACKLOG:
            self._full_since = None
            return False
        if self._full_since is None:
            self._full_since = now
        if now - self._full_since > PATIENCE:
            self._stop("database", "the database does not take it")
            return False
        return True

    def output(self, data: bytes) -> None:
        text = self._decoder.decode(data)
        if text and not self.stopped:
            self._event("o", text)

    def resize(self, columns: int, rows: int) -> None:
        if not self.stopped:
            self._event("r", f"{columns}x{rows}")

    async def run(self) -> None:
        """Store what gathers, until closed and all is stored."""
        while not self.stopped and (self._lines or not self._closed):
            if not self._closed:
                with suppress(TimeoutError):
                    async with asyncio.timeout(FLUSH_SECONDS):
                        await self._due.wait()
                self._due.clear()
            try:
                await self._flush()
            except TransientError as error:
                log.warning("recording_waits", session=self._session_id, error=str(error))
                await asyncio.sleep(RETRY)
            if not self._closed:
                await asyncio.sleep(GAP)

    def close(self) -> None:
        """Nothing more comes; `run` ends."""
        text = self._decoder.decode(b"", final=True)
        if text and not self.stopped:
            self._event("o", text)
        self._closed = True
        self._due.set()

    async def _flush(self) -> None:
        """Raises: TransientError: the database is away; nothing is lost yet."""
        if not self._lines:
            return
        lines, self._lines = self._lines, []
        weight, self._waiting = self._waiting, 0
        try:
            raw = "\n".join((*lines, "")).encode()
            data = await asyncio.to_thread(zlib.compress, raw)
            if self.size + len(data) > LIMIT:
                self._stop("limit", f"it has {LIMIT >> 20} MiB")
                return
            if self.raw_size + len(raw) > RAW_LIMIT:
                self._stop("raw-limit", f"it has {RAW_LIMIT >> 20} MiB before compression")
                return
            async with database.transaction(self._pool) as connection:
                await store.insert_part(
                    connection, session_id=self._session_id, part=self._parts, data=data
                )
        except TransientError:
            if not self.stopped:
                self._lines[:0] = lines
                self._waiting += weight
            raise
        self._parts += 1
        self.size += len(data)
        self.raw_size += len(raw)
        BYTES.inc(len(data))

    def _event(self, kind: str, text: str) -> None:
        at = round(time.monotonic() - self._began, 6)
        self._add(json.dumps([at, kind, text], ensure_ascii=False, separators=(",", ":")))

    def _add(self, line: str) -> None:
        self._lines.append(line)
        self._waiting += len(line)
        if self._waiting >= PART:
            self._due.set()

    def _stop(self, why: str, reason: str) -> None:
        STOPPED.labels(why).inc()
        log.warning("recording_stopped", session=self._session_id, reason=reason)
        self.stopped = reason
        self._lines.clear()
        self._waiting = 0
