"""Traffic records and billing periods: the growth of servers' network counters.

A traffic record covers five minutes. It contains its first and last reading, so it can be connected
to its neighbours and extended with late samples even after its samples have been dropped. The totals
of a period are sums of its records and are counted again when a record changes.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from services.ingest.store import traffic as store
from services.ingest.store.rollup import BucketKey
from services.kit.database import pool as database
from services.kit.metrics.tiers import TRAFFIC, TierState, floor


async def roll(connection: database.Connection, *, since: datetime, until: datetime) -> int:
    """Create the records of the window and their periods; return how many servers have any."""
    ends = await store.roll(connection, since=since, until=until)
    if ends:
        await store.create_periods(connection, records=ends)
    return len({vps for vps, _ in ends})


async def count(connection: database.Connection, *, until: datetime) -> bool:
    """Add the records before `until` to the totals; return True if any total changed."""
    return await store.count_periods(connection, until=until) > 0


async def rebuild(
    connection: database.Connection,
    *,
    states: Mapping[str, TierState],
    minutes: Sequence[BucketKey],
) -> None:
    """Create or replace the records that contain these minutes, from all samples."""
    rolled = _rolled(states, minutes)
    if rolled:
        await store.rebuild(connection, minutes=rolled)
        await _update_totals(connection, states, rolled)


async def merge(
    connection: database.Connection,
    *,
    states: Mapping[str, TierState],
    minutes: Sequence[BucketKey],
) -> None:
    """Add late samples of these minutes to records whose other samples have been dropped."""
    rolled = _rolled(states, minutes)
    if rolled:
        await store.merge(connection, minutes=rolled)
        await _update_totals(connection, states, rolled)


def _rolled(states: Mapping[str, TierState], minutes: Sequence[BucketKey]) -> list[BucketKey]:
    """Return the minutes whose records exist; `roll` creates those of later minutes."""
    state = states[TRAFFIC.name]
    return [
        (vps, time)
        for vps, time in minutes
        if state.complete_from <= floor(time, TRAFFIC.width) < state.rolled_until
    ]


async def _update_totals(
    connection: database.Connection, states: Mapping[str, TierState], minutes: Sequence[BucketKey]
) -> None:
    records = await store.update_steps(connection, minutes=minutes)
    await store.create_periods(connection, records=records)
    await store.outdate_periods(
        connection, records=records, complete_from=states[TRAFFIC.name].complete_from
    )
