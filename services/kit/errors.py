class FlotillaError(Exception):
    """Root of the errors that Flotilla raises itself."""


class TransientError(FlotillaError):
    """What was tried may work later: the database or the bus is away."""


class PoisonError(FlotillaError):
    """What was received can never be handled."""


class SettingsError(FlotillaError):
    """Settings are missing, weak or malformed; says which, never their values."""
