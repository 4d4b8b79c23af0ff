"""Losses of measurements that must still be reported to the server."""

import logging
from collections.abc import Iterable

from agent.base.log_throttle import LogThrottle
from agent.spool.models import Kind, Loss, LossReport, Reason

log = logging.getLogger(__name__)

LOG_PERIOD = 60.0  # seconds
CAUSES = {
    Reason.SPACE: "The spool is full",
    Reason.AGE: "Measurements in the spool are too old",
    Reason.MEMORY: "The disk stores nothing and the memory for measurements is full",
    Reason.REFUSED: "The server refused measurements",
    Reason.DAMAGED: "The spool is damaged",
}
REPORTS_PER_BATCH = 8
# Beyond this number, losses are added to reports that are in flight.
REPORT_LIMIT = 64


class LossReports:
    """Reports of losses that the server may not know yet.

    Losses of one reason and kind share a report. A report that is in flight in a batch does not
    grow, so that losses at other times get a report, and a gap in the charts, of their own.
    """

    def __init__(self, interval: float) -> None:
        """Begin without reports. `interval` is the least time between two batches with reports."""
        self.count = 0  # measurements lost since the start
        self._interval = interval  # seconds
        self._next = -interval
        self._reports: dict[int, LossReport] = {}
        self._in_flight: set[int] = set()
        self._last_id = 0
        self._log_throttle = LogThrottle(LOG_PERIOD)

    def add(self, loss: Loss) -> LossReport:
        """Return the report that includes the loss."""
        self._count(loss)
        return self._merge(loss) or self._open(loss)

    def add_stored(self, stored: LossReport) -> LossReport:
        """Return the report that includes a loss for which the spool has stored a report."""
        self._count(stored.loss)
        if merged := self._merge(stored.loss):
            return merged
        self._reports[stored.id] = stored
        return stored

    def _merge(self, loss: Loss) -> LossReport | None:
        report = self._open_report(loss.reason, loss.kind)
        if report is None:
            return None
        merged = LossReport(report.id, report.loss.merged(loss))
        self._reports[report.id] = merged
        return merged

    def _open(self, loss: Loss) -> LossReport:
        self._last_id += 1
        report = LossReport(self._last_id, loss)
        self._reports[report.id] = report
        return report

    def _open_report(self, reason: Reason, kind: Kind) -> LossReport | None:
        """Return a report of this reason and kind that can grow."""
        same = [
            report
            for report in self._reports.values()
            if (report.loss.reason, report.loss.kind) == (reason, kind)
        ]
        free = [report for report in same if report.id not in self._in_flight]
        if free or not same:
            return free[-1] if free else None
        return same[-1] if len(self._reports) >= REPORT_LIMIT else None

    def _count(self, loss: Loss) -> None:
        self.count += loss.count
        if self._log_throttle():
            log.warning(
                "%s. %d measurements have been lost since the start.",
                CAUSES[loss.reason],
                self.count,
            )

    def take(self, now: float) -> tuple[LossReport, ...]:
        """Return reports for the next batch. They are in flight until released or settled."""
        waiting = [report for report in self._reports.values() if report.id not in self._in_flight]
        if not waiting or now < self._next:
            return ()
        self._next = now + self._interval
        taken = tuple(waiting[:REPORTS_PER_BATCH])
        self._in_flight.update(report.id for report in taken)
        return taken

    def release(self, reports: Iterable[LossReport]) -> None:
        """Report these losses again, because their batch will not arrive."""
        self._in_flight.difference_update(report.id for report in reports)

    def settle(self, reports: Iterable[LossReport]) -> list[int]:
        """Forget reports that the server has. Return their ids.

        A report that has grown in flight is kept. It replaces the earlier one at the server.
        """
        reports = list(reports)
        self.release(reports)
        settled = [report.id for report in reports if self._reports.get(report.id) == report]
        for number in settled:
            del self._reports[number]
        return settled

    def adopt(self, stored: Iterable[LossReport], last_id: int) -> list[LossReport]:
        """Continue with the reports of another spool. Return those that include present losses.

        New reports get ids after `last_id`.
        """
        losses = [report.loss for report in self._reports.values()]
        self._reports = {report.id: report for report in stored}
        self._in_flight.clear()
        self._last_id = last_id
        return [self._merge(loss) or self._open(loss) for loss in losses]
