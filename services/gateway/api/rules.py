"""Keys of the rule that every route declares in its `opt`."""

ACTION = "action"
"""Action (`services.kit.access.Action`) that the caller must be allowed to do."""

PUBLIC = "public"
"""True if the route needs no login."""

TICKET = "ticket"
"""Function that returns the resource of a connection. A ticket is valid for one resource.

A WebSocket uses its ticket up. A download can be repeated with the same ticket.
"""

LONG = "long"
"""True if the request may take long. It is ended when its caller loses the right to it."""

API = "/api/v1"
