"""Limits on concurrent work in one gateway, and on the share that one user has of everything."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID
from weakref import WeakValueDictionary

import prometheus_client
from prometheus_client import Gauge

from services.gateway.api import errors
from services.gateway.api.problem_types import ProblemType

TRANSFERS = 16  # concurrent transfers on one gateway
# An agent executes eight commands at a time. Half of them stay free for other requests.
PER_AGENT = 4

# Limits per user, so that one user cannot occupy all resources.
TRANSFERS_OF_USER = 8  # at the same time, on one gateway
RUNS_OF_USER = 50  # that have not ended
TERMINALS_OF_USER = 16  # that are open
TICKETS_OF_USER = 1_000  # that are valid
CHALLENGES_OF_USER = 10  # log-ins that wait for a code
SESSIONS_OF_USER = 50  # log-ins; a further one ends the oldest
REQUESTS_OF_TOKEN = 3_000  # a minute, on one gateway
SERVERS_OF_ORGANISATION = 10_000
RULES_OF_ORGANISATION = 1_000
CHANNELS_OF_ORGANISATION = 100

REFUSED = prometheus_client.Counter(
    "flotilla_gateway_shares_refused_total",
    "Requests that were refused because a user reached a limit, by limit",
    ["limit"],
)
RUNNING = Gauge("flotilla_transfers", "Uploads and downloads that are running")

RUN_VIEWERS = Gauge("flotilla_run_viewers", "Requests that follow the output of runs")


class TransferLimits:
    """Limits of uploads and downloads, per gateway and per agent."""

    def __init__(self) -> None:
        self._occupied = 0
        self._users: Counter[UUID] = Counter()
        self._agents: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    def agent_slots(self, vps_id: str) -> asyncio.Semaphore:
        """Return the command slots of one agent. All transfers with this agent share them."""
        slots = self._agents.get(vps_id)
        if slots is None:
            slots = self._agents[vps_id] = asyncio.Semaphore(PER_AGENT)
        return slots

    @contextmanager
    def slot(self, user_id: UUID) -> Iterator[None]:
        """Occupy one transfer slot for the duration of the block.

        Raises:
            RequestError: all slots are occupied, or all that one user may occupy.
        """
        check_share(
            "transfers",
            self._users[user_id],
            TRANSFERS_OF_USER,
            "uploads and downloads. Try again when one has ended.",
        )
        if self._occupied >= TRANSFERS:
            raise errors.busy(
                f"{TRANSFERS} uploads and downloads are already running. Try again in a moment."
            )
        self._occupied += 1
        self._users[user_id] += 1
        RUNNING.set(self._occupied)
        try:
            yield
        finally:
            self._occupied -= 1
            self._users[user_id] -= 1
            if not self._users[user_id]:
                del self._users[user_id]
            RUNNING.set(self._occupied)


class TokenUses:
    """Limit of the requests with one API token, on one gateway."""

    def __init__(self) -> None:
        self._minute = 0
        self._uses: Counter[UUID] = Counter()

    def count(self, token_id: UUID) -> None:
        """Count one request.

        Raises:
            RequestError: 429, there were too many in this minute.
        """
        minute = int(time.monotonic() // 60)
        if minute != self._minute:
            self._minute = minute
            self._uses.clear()
        self._uses[token_id] += 1
        if self._uses[token_id] > REQUESTS_OF_TOKEN:
            REFUSED.labels("token requests").inc()
            raise errors.busy(
                f"An API token has {REQUESTS_OF_TOKEN:,} requests a minute. Try again in a minute."
            )


def check_share(limit: str, used: int, most: int, advice: str) -> None:
    """Check that a user may have one more of something that ends by itself.

    `advice` continues the sentence "You already have 8 …".

    Raises:
        RequestError: 429, the user has as many as allowed.
    """
    if used >= most:
        REFUSED.labels(limit).inc()
        raise errors.busy(f"You already have {most:,} {advice}")


def check_quota(limit: str, used: int, most: int, advice: str) -> None:
    """Check that a user may have one more of something that stays until somebody deletes it.

    Raises:
        RequestError: 409, the user has as many as allowed.
    """
    if used >= most:
        REFUSED.labels(limit).inc()
        raise errors.RequestError(ProblemType.LIMIT_REACHED, f"You already have {most:,} {advice}")


@dataclass(frozen=True, slots=True)
class RunLimits:
    """Limits of runs on one gateway; `waiting` and `output` apply to all gateways together."""

    runs: int = 100
    """Runs that one gateway drives at the same time."""
    waiting: int = 200
    """Runs that wait for a gateway with room."""
    servers: int = 20
    """Servers on which one run executes at the same time."""
    writes: int = 4
    """Concurrent transactions that write output."""
    viewers: int = 200
    """Concurrent requests that follow the output of a run."""
    output: int = 64 * 1024 * 1024
    """Bytes of output that are stored for one run."""


class Viewers:
    """Counter of the requests that follow runs."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._number = 0

    def require_room(self) -> None:
        """Check that one more viewer is allowed.

        Raises:
            RequestError: the limit is reached.
        """
        if self._number >= self._limit:
            raise errors.busy(
                f"{self._limit} requests already follow runs on this gateway. Try again later."
            )

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count one viewer for the duration of the block."""
        self._number += 1
        RUN_VIEWERS.set(self._number)
        try:
            yield
        finally:
            self._number -= 1
            RUN_VIEWERS.set(self._number)
