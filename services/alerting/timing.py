from dataclasses import dataclass, field

from services.kit.agents.presence import PresenceTiming
from services.kit.bus.consumer import ConsumerTiming


@dataclass(frozen=True, slots=True)
class AlertingTiming:
    """Times of the alerting service, in seconds."""

    lease: float = 15.0
    """Time after which a standby instance takes over from one that stopped."""
    renew_interval: float = 2.0
    """Interval between renewals of the lease. Rules and servers are read with each."""
    checkpoint_interval: float = 20.0
    """Interval at which the newest times of pending alerts are stored."""
    cleaning_interval: float = 3_600.0
    """Interval at which old alerts and notifications are deleted."""
    presence_interval: float = 1.0
    """Interval at which offline rules are evaluated."""
    grace: float = 60.0
    """Time after a start, or after the bus or all edges were away, without offline verdicts.

    Agents need it to connect again.
    """
    catch_up: float = 300.0
    """Age from which a change was missed at its time, because no instance was running."""
    catch_up_pause: float = 10.0
    """Time before the notifications of such an alert. There are none if it ended in the meantime."""
    delivery_interval: float = 1.0
    """Interval between looks for notifications to send."""
    first_retry: float = 5.0
    """Time until a notification that failed is sent again; it doubles for each further attempt."""
    max_retry: float = 600.0
    give_up: float = 86_400.0
    """Age at which a notification that could not be sent counts as failed."""
    presence: PresenceTiming = PresenceTiming()  # noqa: RUF009  immutable
    consumer: ConsumerTiming = field(default_factory=ConsumerTiming)


DEFAULT_TIMING = AlertingTiming()
