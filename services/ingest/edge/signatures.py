"""Ed25519 signatures of agents (RFC 8032)."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

# The y coordinates of the eight points of small order. Anyone can forge a signature for such a key, so
# a signature proves nothing.
_P = 2**255 - 19
_OF_ORDER_EIGHT = int.from_bytes(
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
)
_SMALL_ORDER = frozenset({0, 1, _P - 1, _OF_ORDER_EIGHT, _P - _OF_ORDER_EIGHT})
_SIGN = 1 << 255  # the bit of x


def is_signed_by(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Verify a signature. A malformed key or signature, or a key of small order, is False too."""
    if int.from_bytes(public_key, "little") % _SIGN % _P in _SMALL_ORDER:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
