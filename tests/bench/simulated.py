"""One simulated agent, with the agent's rules for sending, resending and deleting batches."""

from __future__ import annotations

import asyncio
import enum
import os
import random
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from flotilla.v1.agent_pb2 import (
    AgentHandshake,
    BatchAck,
    Heartbeat,
    MessageToAgent,
    MessageToServer,
    ServerHandshakeAck,
)
from tests.bench import content
from tests.bench.grpc_stream import GrpcStream
from tests.bench.oracle import Oracle, Word

HANDSHAKE_SECONDS = 10.0
HEARTBEAT_SECONDS = 15.0
HEARTBEAT_PATIENCE = 15.0
BACKOFF_FIRST, BACKOFF_MOST = 1.0, 60.0  # seconds
SETTLED_SECONDS = 10.0
HAND_LIMIT = 10_000  # samples
BATCH_SAMPLES = 100
IN_FLIGHT = 8  # batches
RETRY_MIN, RETRY_MAX = 0.1, 300.0  # seconds
REPLAYS_A_LOOK = 20  # batches


class Phase(enum.IntEnum):
    AWAY = 0
    CONNECTING = 1
    OPEN = 2


class State(enum.IntEnum):
    READY = 0
    SENT = 1
    ACCEPTED = 2


@dataclass(slots=True)
class Batch:
    times_ms: Sequence[int]
    state: State = State.READY
    at: float = 0.0
    """Monotonic time: a READY batch is not sent before it; an ACCEPTED batch was accepted then."""


@dataclass(slots=True)
class Tally:
    """Counters of all agents of a process, and delays since they were last read."""

    collected: int = 0
    accepted: int = 0
    durable: int = 0
    refused: int = 0
    dropped: int = 0
    retries: int = 0
    replays: int = 0
    fresh: int = 0
    """Agents with a durable sample not older than the mark."""
    statuses: Counter[str] = field(default_factory=Counter)
    accepted_after: list[float] = field(default_factory=list)
    durable_after: list[float] = field(default_factory=list)


class Fleet(Protocol):
    oracle: Oracle
    writer: content.Writer
    tally: Tally
    mark_ms: int
    clock_ms: int
    replay_after: float

    def connect(self, agent: Agent) -> None: ...


class Agent:
    __slots__ = (
        "attempt",
        "batches",
        "fleet",
        "fresh_mark",
        "heard",
        "heartbeat_asked",
        "heartbeats",
        "in_flight",
        "index",
        "key",
        "last_ms",
        "opened_at",
        "phase",
        "ready",
        "root",
        "samples",
        "sequence",
        "stream",
        "vps",
        "waiting",
    )

    def __init__(self, fleet: Fleet, index: int, key: Ed25519PrivateKey) -> None:
        server = content.vps_id(index)
        self.fleet = fleet
        self.index = index
        self.key = key
        self.vps = str(server)
        self.root = content.root_of(server)
        self.stream: GrpcStream | None = None
        self.phase = Phase.AWAY
        self.opened_at = 0.0
        self.attempt = 0
        self.heartbeats = 0
        self.heartbeat_asked = 0.0
        self.heard = False
        self.sequence = 0
        self.last_ms = 0
        self.waiting: deque[int] = deque()
        self.batches: dict[int, Batch] = {}
        self.ready = 0
        self.in_flight = 0
        self.samples = 0
        self.fresh_mark = 0

    def collect(self, now: float) -> None:
        time_ms = max(time.time_ns() // 1_000_000, self.last_ms + 1)
        self.last_ms = time_ms
        self.waiting.append(time_ms)
        self.samples += 1
        self.fleet.tally.collected += 1
        self.fleet.oracle.note(self.index, Word.COLLECTED, time_ms, now)
        while self.samples > HAND_LIMIT:
            self._drop_oldest(now)
        self.send_due(now)

    def send_due(self, now: float) -> None:
        if self.phase is not Phase.OPEN:
            return
        if self.ready:
            for sequence, batch in self.batches.items():
                if self.in_flight >= IN_FLIGHT:
                    return
                if batch.state is State.READY and batch.at <= now:
                    self.ready -= 1
                    self._send(sequence, batch)
        while self.waiting and self.in_flight < IN_FLIGHT:
            count = min(len(self.waiting), BATCH_SAMPLES)
            batch = Batch([self.waiting.popleft() for _ in range(count)])
            self.sequence += 1
            self.batches[self.sequence] = batch
            self._send(self.sequence, batch)

    def _send(self, sequence: int, batch: Batch) -> None:
        batch.state = State.SENT
        self.in_flight += 1
        message = self.fleet.writer.batch(
            self.vps,
            self.root,
            EPOCH,
            sequence,
            batch.times_ms,
            clock_ms=self.fleet.clock_ms,
        )
        self._write(message)

    def _write(self, message: MessageToServer) -> None:
        if self.stream is not None:
            self.stream.send(message.SerializeToString())

    def look(self, now: float) -> None:
        """Handle timeouts, heartbeats and replays that are due at this time."""
        if self.phase is Phase.CONNECTING and now - self.opened_at > HANDSHAKE_SECONDS:
            self.lose("HANDSHAKE", now)
        elif self.phase is Phase.OPEN:
            if self.heartbeat_asked and now - self.heartbeat_asked > HEARTBEAT_PATIENCE:
                self.lose("SILENT", now)
                return
            self._replay(now)
            self.send_due(now)

    def beat(self, now: float) -> None:
        heard, self.heard = self.heard, False
        if self.phase is Phase.OPEN and not heard and not self.heartbeat_asked:
            self.heartbeats += 1
            self.heartbeat_asked = now
            self._heartbeat(self.heartbeats, reply=False)

    def _heartbeat(self, number: int, *, reply: bool) -> None:
        beat = Heartbeat(number=number, time_unix_ms=time.time_ns() // 1_000_000, reply=reply)
        self._write(MessageToServer(heartbeat=beat))

    def _replay(self, now: float) -> None:
        """Send batches again that were accepted long ago and are not known to be durable."""
        left = REPLAYS_A_LOOK
        for batch in self.batches.values():
            if batch.state is State.ACCEPTED and now - batch.at > self.fleet.replay_after:
                batch.state, batch.at = State.READY, now
                self.ready += 1
                self.fleet.tally.replays += 1
                left -= 1
            if not left or batch.state is not State.ACCEPTED:
                return

    def lose(self, status: str, now: float) -> None:
        """Give up the stream and connect again later."""
        if self.stream is not None:
            self.stream.abort()
            self.stream = None
        if self.phase is Phase.AWAY:
            return
        self.fleet.tally.statuses[status] += 1
        settled = self.phase is Phase.OPEN and now - self.opened_at > SETTLED_SECONDS
        self.phase = Phase.AWAY
        self.heartbeat_asked = 0.0
        for batch in self.batches.values():
            if batch.state is State.SENT:
                batch.state, batch.at = State.READY, 0.0
                self.ready += 1
        self.in_flight = 0
        self.attempt = 0 if settled else self.attempt + 1
        most = min(BACKOFF_FIRST * 2.0 ** min(self.attempt, 16), BACKOFF_MOST)
        asyncio.get_running_loop().call_later(random.uniform(0, most), self.fleet.connect, self)

    def ended(self, status: str, detail: str) -> None:
        self.stream = None
        if detail and status != "LOST":
            status = f"{status}: {detail}"
        self.lose(status, time.monotonic())

    def received(self, data: bytes) -> None:
        self.heartbeat_asked = 0.0  # any message shows that the server is alive
        self.heard = True
        message = MessageToAgent.FromString(data)
        kind = message.WhichOneof("payload")
        if kind == "batch_ack":
            self._settle(message.batch_ack)
        elif kind == "heartbeat_request":
            beat = message.heartbeat_request
            if not beat.reply:
                self._heartbeat(beat.number, reply=True)
        elif kind == "challenge":
            self._answer(message.challenge.nonce)
        elif kind == "handshake_ack":
            self._open(message.handshake_ack)

    def _answer(self, nonce: bytes) -> None:
        signed = b"flotilla-stream-v1\0" + self.vps.encode() + b"\0" + nonce
        handshake = AgentHandshake(
            vps_id=self.vps, signature=self.key.sign(signed), facts=content.facts(self.index)
        )
        self._write(MessageToServer(handshake=handshake))

    def _open(self, ack: ServerHandshakeAck) -> None:
        now = time.monotonic()
        if ack.result != ServerHandshakeAck.RESULT_ACCEPTED:
            self.lose("NOT_ACCEPTED", now)
            return
        self.phase = Phase.OPEN
        self.opened_at = now
        self.send_due(now)

    def _settle(self, ack: BatchAck) -> None:
        if ack.epoch != EPOCH:
            return
        now = time.monotonic()
        for sequence in ack.sequences:
            self._hear(sequence, ack.outcome, ack.retry_after_ms / 1000, now)
        for sequence in ack.durable_sequences:
            self._hear(sequence, BatchAck.OUTCOME_DURABLE, 0.0, now)
        if self.ready or self.waiting:
            self.send_due(now)

    def _hear(
        self, sequence: int, outcome: BatchAck.Outcome.ValueType, retry_after: float, now: float
    ) -> None:
        batch = self.batches.get(sequence)
        if batch is None:
            return
        if outcome == BatchAck.OUTCOME_DURABLE:
            self._forget(sequence, batch, Word.DURABLE, now)
        elif outcome == BatchAck.OUTCOME_REFUSED:
            self._forget(sequence, batch, Word.REFUSED, now)
        elif batch.state is not State.SENT:
            return
        elif outcome == BatchAck.OUTCOME_ACCEPTED:
            self._accept(batch, now)
        else:
            self.in_flight -= 1
            batch.state = State.READY
            batch.at = now + min(max(retry_after, RETRY_MIN), RETRY_MAX)
            self.ready += 1
            self.fleet.tally.retries += 1

    def _accept(self, batch: Batch, now: float) -> None:
        fleet = self.fleet
        self.in_flight -= 1
        batch.state, batch.at = State.ACCEPTED, now
        fleet.tally.accepted += len(batch.times_ms)
        for time_ms in batch.times_ms:
            fleet.oracle.note(self.index, Word.ACCEPTED, time_ms, now)
        fleet.tally.accepted_after.append(time.time() - batch.times_ms[0] / 1000)

    def _forget(self, sequence: int, batch: Batch, word: Word, now: float) -> None:
        fleet, times = self.fleet, batch.times_ms
        del self.batches[sequence]
        self.samples -= len(times)
        if batch.state is State.SENT:
            self.in_flight -= 1
        elif batch.state is State.READY:
            self.ready -= 1
        for time_ms in times:
            fleet.oracle.note(self.index, word, time_ms, now)
        if word is Word.DURABLE:
            fleet.tally.durable += len(times)
            fleet.tally.durable_after.append(time.time() - times[0] / 1000)
            if self.fresh_mark != fleet.mark_ms and times[-1] >= fleet.mark_ms:
                self.fresh_mark = fleet.mark_ms
                fleet.tally.fresh += 1
        elif word is Word.REFUSED:
            fleet.tally.refused += len(times)
        else:
            fleet.tally.dropped += len(times)

    def _drop_oldest(self, now: float) -> None:
        if self.batches:
            sequence = next(iter(self.batches))
            self._forget(sequence, self.batches[sequence], Word.DROPPED, now)
        else:
            self.samples -= 1
            self.fleet.tally.dropped += 1
            self.fleet.oracle.note(self.index, Word.DROPPED, self.waiting.popleft(), now)


EPOCH = os.urandom(8).hex()
