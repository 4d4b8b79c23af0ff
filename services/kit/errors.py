class FlotillaError(Exception):
    """Root of the errors that Flotilla raises itself."""


class TransientError(FlotillaError):
    """What was tried may work later: the database or the bus is away."""


class NobodyServesError(TransientError):
    """Nobody listens on a subject: the agent behind it is offline, or the service is down."""

    def __init__(self, subject: str) -> None:
        super().__init__(f"nobody serves {subject}")
        self.subject = subject


class PoisonError(FlotillaError):
    """What was received can never be handled."""


class SettingsError(FlotillaError):
    """Settings are missing, weak or malformed; says which, never their values."""
