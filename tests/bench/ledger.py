"""Comparison of the samples that the fleet knows to be stored with the database."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from tests.bench import content, oracle
from tests.bench.oracle import Word

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
MILLISECOND = dt.timedelta(milliseconds=1)
FETCH = 5_000  # rows
STORED = 1 << 7  # beside one bit a word


@dataclass(slots=True)
class Ledger:
    """Numbers of samples by outcome."""

    collected: int = 0
    accepted: int = 0
    durable: int = 0
    refused: int = 0
    dropped: int = 0
    stored: int = 0
    missing: int = 0
    """Acknowledged as durable or accepted, but not in the database."""
    duplicated: int = 0
    """Stored more than once, with the same time or different times."""
    wrong: int = 0
    """Stored with values that differ from those that were sent."""
    examples: list[str] = field(default_factory=list)

    @property
    def in_hand(self) -> int:
        return self.collected - self.durable - self.refused - self.dropped

    @property
    def balances(self) -> bool:
        return not (self.missing or self.duplicated or self.wrong or self.in_hand < 0)

    def __str__(self) -> str:
        return (
            f"collected={self.collected} durable={self.durable} in-hand={self.in_hand}"
            f" dropped={self.dropped} refused={self.refused} stored={self.stored}"
            f" wrong={self.wrong}"
        )


def verify(
    url: str,
    oracles: Iterable[Path],
    windows: Sequence[int] = (0,),
    *,
    accepted_counts: bool,
    residues: Sequence[int] = (),
) -> list[Ledger]:
    """Return a ledger for each window. A window begins at its time (ms) and ends where the next begins.

    Set `accepted_counts` if nothing is in flight any more, so accepted samples must be stored too.
    `residues` are the errors, in ms, that the correction of a wrong clock may leave.
    """
    ledgers = [Ledger() for _ in windows]
    said: dict[tuple[int, int], int] = {}
    for path in oracles:
        for record in oracle.read(path):
            name = (record.index, record.time_ms)
            said[name] = said.get(name, 0) | 1 << record.word
    _read_rows(url, said, windows, ledgers, (0, *residues))
    promised = 1 << Word.DURABLE | (1 << Word.ACCEPTED if accepted_counts else 0)
    for (index, time_ms), words in said.items():
        ledger = _window(windows, ledgers, time_ms)
        ledger.collected += 1
        ledger.accepted += bool(words & 1 << Word.ACCEPTED)
        ledger.durable += bool(words & 1 << Word.DURABLE)
        ledger.refused += bool(words & 1 << Word.REFUSED)
        ledger.dropped += bool(words & 1 << Word.DROPPED)
        ledger.stored += bool(words & STORED)
        if words & promised and not words & STORED:
            ledger.missing += 1
            _example(ledger, "missing", index, time_ms)
    return ledgers


def _read_rows(
    url: str,
    said: dict[tuple[int, int], int],
    windows: Sequence[int],
    ledgers: Sequence[Ledger],
    residues: Sequence[int],
) -> None:
    servers = {content.vps_id(index): index for index in {index for index, _ in said}}
    columns = sql.SQL(", ").join(map(sql.Identifier, content.COLUMNS))
    query = sql.SQL("SELECT vps_id, time, detail, {} FROM performance_metrics").format(columns)
    with psycopg.connect(url) as connection, connection.cursor("rows", binary=True) as cursor:
        cursor.itersize = FETCH
        cursor.execute(query)
        for vps, time, detail, *values in cursor:
            if vps not in servers:
                continue
            index, time_ms = servers[vps], (time - EPOCH) // MILLISECOND
            root = content.root_of(vps)
            fitting = (
                time_ms - residue
                for residue in residues
                if (index, time_ms - residue) in said
                and content.as_described(root, time_ms - residue, values, detail)
            )
            measured = next(fitting, None)
            time_ms = time_ms if measured is None else measured
            ledger = _window(windows, ledgers, time_ms)
            words = said.get((index, time_ms))
            # A row whose time was never measured is a second copy of a sample, with another time.
            if words is None or words & STORED:
                ledger.duplicated += 1
                _example(ledger, "duplicated", index, time_ms)
                continue
            said[index, time_ms] = words | STORED
            if measured is None:
                ledger.wrong += 1
                _example(ledger, "wrong", index, time_ms)


def _window(windows: Sequence[int], ledgers: Sequence[Ledger], time_ms: int) -> Ledger:
    return ledgers[max(bisect_right(windows, time_ms) - 1, 0)]


def _example(ledger: Ledger, what: str, index: int, time_ms: int) -> None:
    if len(ledger.examples) < 5:
        ledger.examples.append(f"{what} {content.vps_id(index)} {time_ms}")
