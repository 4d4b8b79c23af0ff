"""Connections to providers. Every one passes the outbound gate by its real address."""

import asyncio
import socket
from collections.abc import Collection

from services.alerting.notify.errors import NotDeliveredError, UndeliverableError
from services.kit.alerts.outbound import RefusedAddressError, is_allowed

CONNECT_TIMEOUT = 8.0  # seconds for one address


async def connect(host: str, port: int, *, allowed: Collection[str]) -> socket.socket:
    """Return a connected, non-blocking socket.

    The name is resolved once, and the socket is connected to an address that was checked. So a name
    that resolves to something else a moment later changes nothing.

    Raises:
        UndeliverableError: every address of the host is refused.
        NotDeliveredError: the name cannot be resolved, or no address answers.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise NotDeliveredError(f"The name {host} could not be resolved.") from None
    addresses = [
        (family, address)
        for family, _, _, _, address in found
        if is_allowed(str(address[0]), port, allowed)
    ]
    if not addresses:
        refused = str(found[0][4][0]) if found else host
        raise UndeliverableError(str(RefusedAddressError(refused, port)))
    for family, address in addresses[:4]:
        connection = socket.socket(family, socket.SOCK_STREAM)
        connection.setblocking(False)  # noqa: FBT003  the standard library's
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await loop.sock_connect(connection, address)
        except (OSError, TimeoutError):
            connection.close()
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise NotDeliveredError(f"{host} port {port} does not answer.")
