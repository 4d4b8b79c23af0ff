"""The traffic ledger: what servers' counters grew by, in facts of five minutes and in periods.

A fact holds the ends of its readings, so that it can be joined to its neighbours, and be added
to, after the samples are gone. Totals follow from facts, and are counted anew where facts change.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from services.ingest.store import traffic as store
from services.ingest.store.rollup import Mark
from services.kit import database
from services.kit.tiers import TRAFFIC, State, floor


async def roll(connection: database.Connection, *, since: datetime, until: datetime) -> int:
    """Make the window's facts, and have the periods they are in; how many servers have any."""
    ends = await store.roll(connection, since=since, until=until)
    if ends:
        await store.open_periods(connection, marks=ends)
    return len({vps for vps, _ in ends})


async def count(connection: database.Connection, *, until: datetime) -> bool:
    """Bring totals up to the facts before `until`; whether any changed."""
    return await store.count_periods(connection, until=until) > 0


async def remake(
    connection: database.Connection, *, states: Mapping[str, State], marks: Sequence[Mark]
) -> None:
    """Make the facts of those minutes again, from all samples."""
    rolled = _rolled(states, marks)
    if rolled:
        await store.remake(connection, marks=rolled)
        await _follow(connection, states, rolled)


async def merge(
    connection: database.Connection, *, states: Mapping[str, State], marks: Sequence[Mark]
) -> None:
    """Add to the facts of those minutes what came after the samples were dropped."""
    rolled = _rolled(states, marks)
    if rolled:
        await store.merge(connection, marks=rolled)
        await _follow(connection, states, rolled)


def _rolled(states: Mapping[str, State], marks: Sequence[Mark]) -> list[Mark]:
    """Those whose facts have been made; the others' will be."""
    state = states[TRAFFIC.name]
    return [
        (vps, time)
        for vps, time in marks
        if state.complete_from <= floor(time, TRAFFIC.width) < state.rolled_until
    ]


async def _follow(
    connection: database.Connection, states: Mapping[str, State], marks: Sequence[Mark]
) -> None:
    changed = await store.join(connection, marks=marks)
    await store.open_periods(connection, marks=changed)
    await store.outdate_periods(
        connection, marks=changed, facts_from=states[TRAFFIC.name].complete_from
    )
