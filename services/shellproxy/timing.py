"""Times of terminal sessions."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TerminalTiming:
    """Times in seconds."""

    heartbeat_interval: float = 5.0
    """Interval between heartbeats of the sessions in the database."""
    start_timeout: float = 10.0
    """Time for the agent to answer that a terminal started."""
    first_viewer_timeout: float = 60.0
    """Age at which a session that never had a viewer is closed."""
    idle_limit: float = 30 * 60.0
    """Time without a viewer after which a session is closed."""
    age_limit: float = 12 * 3600.0
    viewer_timeout: float = 30.0
    """Time without a message from its gateway after which a viewer is detached."""
    recording_wait: float = 5.0
    """Time that a terminal waits for the database. Then its recording stops."""


DEFAULT_TIMING = TerminalTiming()
