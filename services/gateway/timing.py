"""Time limits of the gateway."""

from dataclasses import dataclass

from services.kit.agents.presence import DEFAULT_TIMING as PRESENCE_TIMING
from services.kit.agents.presence import PresenceTiming
from services.kit.agents.timing import DEFAULT_TIMING as COMMAND_TIMING
from services.kit.agents.timing import CommandTiming


@dataclass(frozen=True, slots=True)
class GatewayTiming:
    """Time limits of the gateway, in seconds."""

    commands: CommandTiming = COMMAND_TIMING
    presence: PresenceTiming = PRESENCE_TIMING
    revocation_interval: float = 2.0
    """Interval between checks that the callers of open requests still have the right to them."""
    key_rotation_interval: float = 10.0
    """Interval between checks for agents that came online and trust the previous command key."""
    transfer_patience: float = 60.0
    """A transfer of a file fails after this time without progress."""


DEFAULT_TIMING = GatewayTiming()
