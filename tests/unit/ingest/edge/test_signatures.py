import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from services.ingest.edge.signatures import is_signed_by

P = 2**255 - 19
SIGN = 1 << 255
ORDER_EIGHT = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"
MIRRORED = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"


def encoded(y: int) -> bytes:
    return y.to_bytes(32, "little")


SMALL_ORDER = [
    *(encoded(y + sign) for y in (0, 1, P - 1, P, P + 1) for sign in (0, SIGN)),
    bytes.fromhex(ORDER_EIGHT),
    bytes.fromhex(MIRRORED),
    encoded(int.from_bytes(bytes.fromhex(ORDER_EIGHT), "little") + SIGN),
]


def test_a_signature_is_good_for_its_key_and_message_alone() -> None:
    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    signature = key.sign(b"a")
    assert is_signed_by(public, signature, b"a")
    assert not is_signed_by(public, signature, b"b")
    assert not is_signed_by(other.public_key().public_bytes_raw(), signature, b"a")


@pytest.mark.parametrize("key", [b"", b"\0" * 31, b"\xff" * 32])
def test_a_malformed_key_signs_nothing(key: bytes) -> None:
    assert not is_signed_by(key, b"\0" * 64, b"a")


@pytest.mark.parametrize("key", SMALL_ORDER, ids=bytes.hex)
def test_a_key_of_small_order_signs_nothing(key: bytes) -> None:
    for point in SMALL_ORDER:
        assert not is_signed_by(key, point + bytes(32), b"any message")


def test_the_library_alone_accepts_a_forged_signature() -> None:
    identity = encoded(1)
    Ed25519PublicKey.from_public_bytes(identity).verify(identity + bytes(32), b"any message")
