"""Random histories of the send queue, compared with a simple model of the server."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent.spool.database import SpoolDatabase
from agent.spool.delivery_states import Delivery
from agent.spool.models import Committed, Kind, Limits, Loss, Measurement, Opened, Quota, Reason
from flotilla.v1.agent_pb2 import MessageToServer
from flotilla.v1.docker_pb2 import DockerContainerInfo, DockerSnapshot
from flotilla.v1.metrics_pb2 import GenericMetric, NetworkInterfaceStats, PerformanceSnapshot
from tests.fixtures.agent.model_server import Server, epoch_and_sequence, times_of

START = 1_800_000_000  # Unix seconds
LIMITS = Limits(
    batch_items=5,
    unaccepted_batches=3,
    live_items=4,
    accepted_batches=3,
    memory_items=40,
    backlog_batches_per_second=1e6,
    backlog_bytes_per_second=1e12,
    backlog_start=0.0,
    loss_report_interval=0.0,
)
SMALL = Quota(size=200_000, age=1e9)
LARGE = Quota(age=1e9)
STEPS = 300


class History:
    """An agent, its spool file and a server, which take random steps."""

    def __init__(self, path: Path, seed: int, quota: Quota) -> None:
        self.dice = random.Random(seed)
        self.path = path
        self.quota = quota
        self.server = Server()
        self.seconds = 0.0
        self.added: dict[int, Kind] = {}  # by time
        self.excused: set[int] = set()  # items in memory or in a file that was lost
        self.sent: dict[tuple[str, int], list[int]] = {}  # times, by epoch and sequence
        self.wire: list[MessageToServer] = []
        self.database = SpoolDatabase(path, quota)
        self.delivery = self.begin()

    # The agent

    def begin(self) -> Delivery:
        self.wire.clear()
        delivery = Delivery(
            "v", LIMITS, monotonic=lambda: self.seconds, now=lambda: START + self.seconds
        )
        delivery.adopt(self.opened())
        return delivery

    def opened(self, *losses: Loss) -> Opened:
        return Opened(
            epoch=self.database.epoch,
            sequence=self.database.claim_sequences(),
            spans=tuple(self.database.spans()),
            reports=tuple(self.database.reports()),
            losses=losses,
        )

    def add(self) -> None:
        for _ in range(self.dice.randrange(1, 8)):
            kind = self.dice.choice(list(Kind))
            moment = START * 1000 + len(self.added)
            self.added[moment] = kind
            ballast = self.dice.randbytes(1_500).hex()
            measurement: Measurement
            match kind:
                case Kind.PERFORMANCE:
                    interface = NetworkInterfaceStats(name=ballast)
                    measurement = PerformanceSnapshot(time_unix_ms=moment, interfaces=[interface])
                case Kind.DOCKER:
                    container = DockerContainerInfo(image=ballast)
                    measurement = DockerSnapshot(time_unix_ms=moment, containers=[container])
                case Kind.GENERIC:
                    measurement = GenericMetric(time_unix_ms=moment, name=ballast)
            self.delivery.add(kind, moment, [measurement])

    def send(self) -> None:
        delivery = self.delivery
        batch = delivery.next_live() or delivery.next_of_backlog()
        for kind in [] if batch else delivery.kinds_to_fill():
            while batch is None and (search := delivery.search(kind)):
                found = (
                    self.database.read(search.stored, search.room.admits) if search.stored else []
                )
                batch = delivery.fill(search, found)
        message = delivery.send(batch) if batch else None
        if message:
            name, times = epoch_and_sequence(message), times_of(message)
            assert times == sorted(times)
            assert self.sent.setdefault(name, times) == times, "a number names one content"
            self.wire.append(message)
        self.check_memory()

    def check_memory(self) -> None:
        held = sum(len(batch.items) for batch in self.delivery._batches.values())
        assert len(self.delivery._buffer) <= LIMITS.memory_items + held
        assert (
            len(self.delivery._batches) <= 2 * LIMITS.unaccepted_batches + LIMITS.accepted_batches
        )

    def commit(self) -> None:
        commit = self.delivery.commit()
        self.delivery.committed(commit, self.database.commit(commit))

    def commit_during_answers(self) -> None:
        commit = self.delivery.commit()
        result = self.database.commit(commit)
        self.add()
        self.answer()
        self.write()
        self.delivery.committed(commit, result)

    def fail_to_commit(self) -> None:
        self.delivery.commit()
        self.answer()
        self.add()

    def commit_without_space(self) -> None:
        commit = self.delivery.commit()
        result = self.database.commit(replace(commit, items=()))
        self.delivery.committed(commit, Committed(items_stored=False, reports=result.reports))

    def reopen(self) -> None:
        """Close and open the file, as after an error of the disk."""
        self.database.close()
        self.database = SpoolDatabase(self.path, self.quota)
        self.delivery.adopt(self.opened())

    def restart(self) -> None:
        """End the agent and start it again."""
        self.delivery.end_batches()
        self.commit()
        while not self.delivery.is_stored:
            self.commit()
        self.database.close()
        self.database = SpoolDatabase(self.path, self.quota)
        self.delivery = self.begin()

    def crash(self) -> None:
        """Kill the agent and start it again."""
        self.excused |= set(self.added) - self.stored()
        self.database.close()
        self.database = SpoolDatabase(self.path, self.quota)
        self.delivery = self.begin()

    def replace_spool(self) -> None:
        """Replace the file while the agent runs, as if it was unreadable."""
        young = {item.time for item in self.delivery._buffer}
        young |= {item.time for item in self.delivery._lanes.live}
        young |= {i.time for batch in self.delivery._batches.values() for i in batch.items}
        self.excused |= set(self.added) - young
        self.database.close()
        self.path.unlink()
        self.database = SpoolDatabase(self.path, self.quota)
        self.delivery.adopt(self.opened(Loss(Reason.DAMAGED, Kind.PERFORMANCE, 0, 0, 0)))
        self.wire.clear()

    def stored(self) -> set[int]:
        return {time for (time,) in self.database._file.execute("SELECT time FROM items")}

    def tear(self) -> None:
        """Damage an item that only the spool has."""
        commit = self.delivery.commit()
        spans = (*commit.held, *commit.in_jetstream)
        rows = self.database._file.execute("SELECT key, time FROM items WHERE sequence IS NULL")
        torn = [
            key
            for key, time in rows.fetchall()
            if not any(
                s.kind == key >> 48 and s.first <= key & (1 << 48) - 1 <= s.last for s in spans
            )
            and time not in self.server.kept()
        ]
        if torn:
            key = self.dice.choice(torn)
            self.database._file.execute("UPDATE items SET content = x'00' WHERE key = ?", [key])

    def look_for_lost(self) -> None:
        self.commit()
        before = self.delivery.lost_before(int(START + self.seconds))
        if before:
            self.delivery.revived(self.database.revive(before))

    # The server

    def answer(self) -> None:
        """Let the server answer a message."""
        if not self.wire:
            return
        message = self.wire.pop(self.dice.randrange(len(self.wire)))
        sequences = self.for_agent(message)
        match self.dice.choice(["accept", "accept", "accept", "accept", "refuse", "retry"]):
            case "accept":
                self.server.accept(message)
                self.delivery.accepted(sequences)
            case "refuse":
                self.server.refuse(message)
                self.delivery.refused(sequences, "refused by the dice")
            case "retry":
                self.delivery.retry(sequences, 0.1)

    def for_agent(self, message: MessageToServer) -> list[int]:
        """Return the sequence if the agent still uses the epoch."""
        epoch, sequence = epoch_and_sequence(message)
        return [sequence] if epoch == self.delivery.epoch else []

    def write(self) -> None:
        """Let the server write accepted batches, in order, and notify the agent."""
        for message in self.server.write(self.dice.randrange(1, 4)):
            self.delivery.durable(self.for_agent(message))

    def write_silently(self) -> None:
        self.server.write(1)

    def accept_silently(self) -> None:
        if self.wire:
            self.server.accept(self.wire.pop(0))

    def cut(self) -> None:
        self.wire.clear()
        self.delivery.stream_opened()

    def lose_accepted(self) -> None:
        """Let JetStream lose a batch."""
        self.server.lose_one(self.dice)

    def wait(self) -> None:
        self.seconds += self.dice.choice([0.01, 0.2, 3.0])

    # The end

    def run(self, *actions: Callable[[], None]) -> None:
        for _ in range(STEPS):
            self.dice.choice(actions)()

    def finish(self) -> None:
        """Let everything arrive."""
        self.cut()
        for _ in range(2_000):
            self.seconds += 2.0
            self.send()
            while self.wire:
                message = self.wire.pop(0)
                self.server.accept(message)
                self.delivery.accepted(self.for_agent(message))
            for message in self.server.write(100):
                self.delivery.durable(self.for_agent(message))
            self.look_for_lost()
            self.commit()
            if self.is_done():
                return
            if not self.delivery._lanes.kinds_in_backlog and self.dice.random() < 0.1:
                self.add()  # a later batch shows that an earlier one is lost
        raise AssertionError("the queue does not become empty")

    def is_done(self) -> bool:
        return (
            not self.delivery._batches
            and not self.delivery._lanes.live
            and not self.delivery._reports._reports
            and self.delivery.is_stored
            and not self.stored()
            and not self.database.reports()
        )

    def missing(self) -> set[int]:
        return set(self.added) - set(self.server.durable) - self.excused


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.db"


@pytest.mark.parametrize("seed", range(10))
def test_everything_arrives_once_or_is_reported_exactly(path: Path, seed: int) -> None:
    history = History(path, seed, SMALL)

    history.run(
        *[history.add] * 6,
        *[history.send] * 10,
        *[history.answer] * 6,
        *[history.write] * 3,
        *[history.commit] * 4,
        history.commit_during_answers,
        history.fail_to_commit,
        history.commit_without_space,
        history.reopen,
        history.restart,
        history.tear,
        history.cut,
        history.wait,
    )
    history.finish()

    assert Counter(history.added[time] for time in history.missing()) == history.server.reported()
    assert set(history.server.durable.values()) == {1}
    assert not history.excused


@pytest.mark.parametrize("seed", range(10))
def test_with_crashes_and_lost_answers_nothing_is_lost_silently(path: Path, seed: int) -> None:
    history = History(path, seed, LARGE)

    history.run(
        *[history.add] * 6,
        *[history.send] * 10,
        *[history.answer] * 6,
        *[history.write] * 3,
        *[history.commit] * 4,
        history.accept_silently,
        history.write_silently,
        history.lose_accepted,
        history.look_for_lost,
        history.fail_to_commit,
        history.reopen,
        history.restart,
        history.crash,
        history.replace_spool,
        history.cut,
        history.wait,
    )
    history.finish()

    missing = Counter(history.added[time] for time in history.missing())
    assert missing <= history.server.reported()
