from services.kit.errors import FlotillaError


class NotDeliveredError(FlotillaError):
    """The provider did not accept a notification. The message contains no secret."""


class UndeliverableError(FlotillaError):
    """A notification can never be sent: the channel's configuration or address is refused."""
