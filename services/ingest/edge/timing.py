"""Times of the edge and of its streams."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EdgeTiming:
    """Times in seconds, and the number of batches that one acknowledgement waits for."""

    edge_heartbeat: float = 5.0
    """Interval between renewals of the edge's key in the bucket `edges`."""
    drain_grace: float = 5.0
    """Time for agents to receive the reason when the edge stops."""
    connection_age: float = 6 * 3600.0
    """Age at which an agent connects again, so that a new edge gets its share of the agents."""
    connection_age_grace: float = 10.0
    handshake_timeout: float = 5.0
    agent_heartbeat: float = 15.0
    """Silence after which an agent is asked for a heartbeat."""
    agent_timeout: float = 50.0
    """Silence after which a stream is ended. An edge notices it within 80 s."""
    # Each write wakes gRPC's own thread, which costs more than any other step. Acknowledgements
    # are therefore sent for a few batches at once. Agents keep eight batches in flight.
    accepted_per_ack: int = 3  # batches
    ack_delay: float = 12.0
    """Time that an acknowledgement may wait for more batches."""


DEFAULT_TIMING = EdgeTiming()
