"""Items that are missing in a sample, and the reasons."""

import logging

from flotilla.v1.metrics_pb2 import OmittedItem, PerformanceSnapshot

log = logging.getLogger(__name__)

ITEM_LIMIT = 32  # per snapshot
NAME_LIMIT = 256  # characters
DETAIL_LIMIT = 120  # characters


def omit(
    snapshot: PerformanceSnapshot,
    collector: str,
    item: str,
    reason: OmittedItem.Reason.ValueType,
    detail: str,
) -> None:
    """Record in the snapshot that `item` is left out. An empty item means the whole collector."""
    if len(snapshot.omitted) < ITEM_LIMIT:
        snapshot.omitted.add(
            collector=collector,
            item=readable(item)[:NAME_LIMIT],
            reason=reason,
            detail=readable(detail)[:DETAIL_LIMIT],
        )


def omit_error(snapshot: PerformanceSnapshot, collector: str, item: str, error: Exception) -> None:
    """Record that `item` cannot be read or understood."""
    detail = str(error)
    if isinstance(error, OSError) and error.strerror:
        file = f"{error.filename}: " if error.filename and not item else ""
        detail = f"{file}{error.strerror}"
    omit(snapshot, collector, item, OmittedItem.REASON_UNREADABLE, detail)


def omit_more(snapshot: PerformanceSnapshot, collector: str, count: int, limit: int) -> None:
    """Record how many of `count` items exceed the limit, if any."""
    if count > limit:
        detail = f"{count - limit} more than the limit of {limit}"
        omit(snapshot, collector, "", OmittedItem.REASON_TOO_MANY, detail)


def readable(name: str) -> str:
    """Return a name that was read with `surrogateescape`, with U+FFFD for bytes outside UTF-8."""
    if name.isascii():
        return name.replace("\0", "\ufffd")
    data = name.encode("utf-8", "surrogateescape")
    return data.decode("utf-8", "replace").replace("\0", "\ufffd")


class OmissionLog:
    """Logs each omitted item when it appears and when it is reported again."""

    def __init__(self) -> None:
        self._logged: frozenset[tuple[str, str]] = frozenset()

    def update(self, snapshot: PerformanceSnapshot) -> None:
        if not snapshot.omitted and not self._logged:
            return
        current = {(each.collector, each.item): each.detail for each in snapshot.omitted}
        for collector, item in current.keys() - self._logged:
            log.warning("%s is not reported: %s", _named(collector, item), current[collector, item])
        for collector, item in self._logged - current.keys():
            log.info("%s is reported again.", _named(collector, item))
        self._logged = frozenset(current)


def _named(collector: str, item: str) -> str:
    return f"{collector} {item}" if item else f"The collector {collector}"
