class FlotillaError(Exception):
    """Base class of the errors that Flotilla defines."""


class TransientError(FlotillaError):
    """The operation may succeed later: the database or NATS is unavailable."""


class NoResponderError(TransientError):
    """A subject has no subscriber: the agent is offline, or the service is down."""

    def __init__(self, subject: str) -> None:
        super().__init__(f"No subscriber on {subject}.")
        self.subject = subject


class PoisonError(FlotillaError):
    """A received message can never be processed."""


class SettingsError(FlotillaError):
    """Settings are missing, weak or malformed. The message names them without their values."""


class UnreachableError(FlotillaError):
    """A command cannot reach NATS or the database."""
