"""The outbound gate: which addresses a notification may be sent to.

Public addresses are allowed. Private, loopback, link-local and other special addresses are refused,
except for the targets that a platform administrator lists, each with its port.
"""

import ipaddress
from collections.abc import Collection

from services.kit.errors import FlotillaError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# Networks that carry IPv4 addresses inside IPv6 ones, so the address says little about the target.
_TRANSLATED = (
    ipaddress.IPv6Network("64:ff9b::/96"),
    ipaddress.IPv6Network("64:ff9b:1::/48"),
    ipaddress.IPv6Network("2002::/16"),
    ipaddress.IPv6Network("2001::/32"),
)


class RefusedAddressError(FlotillaError):
    """The outbound gate does not allow this address."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(
            f"The address {join(host, port)} is private, and a platform administrator has not"
            " listed it in the outbound settings."
        )


def parse_target(target: str) -> tuple[str, int]:
    """Return the address and the port of an entry such as `10.0.0.5:587` or `[fd00::5]:587`.

    Raises:
        ValueError: it is not an address with a port.
    """
    host, separator, port = target.rpartition(":")
    if not separator or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise ValueError("a port is missing")
    if host.startswith("[") != host.endswith("]") or (":" in host and not host.startswith("[")):
        raise ValueError("an IPv6 address needs brackets")
    return str(ipaddress.ip_address(host.strip("[]"))), int(port)


def join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_allowed(host: str, port: int, listed: Collection[str]) -> bool:
    """Tell whether the gate allows an address. `host` is an address and never a name."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return join(str(address), port) in listed or _is_public(address)


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return _is_public(address.ipv4_mapped)
        if any(address in network for network in _TRANSLATED):
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def check_literal(host: str, port: int, listed: Collection[str]) -> None:
    """Refuse a host that can be seen to be private without asking DNS.

    The gate checks the real address of every host again when it connects.

    Raises:
        RefusedAddressError: the host is such an address, or a name of this machine.
    """
    name = host.rstrip(".").lower()
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if name == "localhost" or name.endswith((".localhost", ".local", ".internal")):
            raise RefusedAddressError(host, port) from None
        if name.replace(".", "").isdigit() or name.startswith("0x"):
            raise RefusedAddressError(host, port) from None
        return
    if not is_allowed(host, port, listed):
        raise RefusedAddressError(host, port)
