"""States of a run and of its servers."""

from collections.abc import Mapping
from typing import Literal

from flotilla.v1.command_pb2 import CommandResponse

Status = Literal["queued", "running", "finished", "failed", "cancelled", "timed_out", "lost"]

UNFINISHED: tuple[Status, ...] = ("queued", "running")
# A run has ended when all its servers have ended. Its state is then the first of these states that
# a server has.
WORST_FIRST: tuple[Status, ...] = ("lost", "failed", "timed_out", "cancelled", "finished")

_ANSWERED: dict[CommandResponse.Status.ValueType, Status] = {
    CommandResponse.STATUS_FINISHED: "finished",
    CommandResponse.STATUS_TIMED_OUT: "timed_out",
    CommandResponse.STATUS_CANCELLED: "cancelled",
}


def of_run(servers: Mapping[Status, int]) -> Status:
    """Derive a run's state from the number of its servers in each state."""
    there = {status for status, number in servers.items() if number}
    if there == {"queued"}:
        return "queued"
    if not there.isdisjoint(UNFINISHED):
        return "running"
    # All servers of this run were deleted, so it counts as cancelled.
    return next((status for status in WORST_FIRST if status in there), "cancelled")


def of_answer(status: CommandResponse.Status.ValueType) -> Status:
    """Return the state of a server after the last part of its agent's answer.

    A command that the agent refused counts as failed.
    """
    return _ANSWERED.get(status, "failed")
