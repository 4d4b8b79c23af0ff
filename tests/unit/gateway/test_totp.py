"""Codes of authenticator apps: the vectors of RFC 6238, the window, and the address for apps."""

import base64
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import pytest
from pydantic import SecretBytes

from services.gateway.accounts.factors import recovery_codes, totp

RFC_SEED = SecretBytes(b"12345678901234567890")
# RFC 6238, appendix B, for SHA-1; the last six of the eight digits.
VECTORS = {
    59: "287082",
    1111111109: "081804",
    1111111111: "050471",
    1234567890: "005924",
    2000000000: "279037",
    20000000000: "353130",
}


@pytest.mark.parametrize(("at", "code"), VECTORS.items())
def test_codes_are_those_of_the_standard(at: int, code: str) -> None:
    assert totp.code_of_step(RFC_SEED, at // totp.STEP) == code
    assert totp.matching_step(RFC_SEED, code, now=at, after=0) == at // totp.STEP


def test_a_code_is_accepted_one_step_early_and_one_step_late_and_no_more() -> None:
    step = 1_000_000
    accepted = [
        offset
        for offset in range(-5, 6)
        if totp.matching_step(
            RFC_SEED, totp.code_of_step(RFC_SEED, step + offset), now=step * 30 + 29.9, after=0
        )
    ]
    assert accepted == [-1, 0, 1]


def test_no_code_of_an_accepted_step_or_an_earlier_one_is_accepted() -> None:
    step = 1_000_000
    codes = [totp.code_of_step(RFC_SEED, step + offset) for offset in (-1, 0, 1)]
    found = [totp.matching_step(RFC_SEED, code, now=step * 30, after=step) for code in codes]
    assert found == [None, None, step + 1]


@pytest.mark.parametrize("text", ["", "28708", "2870822", "abcdef", "२८७०८२", "287082\n", "é"])
def test_what_is_no_code_is_refused(text: str) -> None:
    assert totp.matching_step(RFC_SEED, text, now=59, after=0) is None


def test_the_address_for_apps_has_the_seed_and_names_the_account() -> None:
    seed = totp.new_seed()
    address = urlsplit(totp.uri(seed, "ann@fleet.example:8080"))
    assert (address.scheme, address.netloc) == ("otpauth", "totp")
    assert address.path == "/Flotilla%3Aann%40fleet.example%3A8080"
    query = parse_qs(address.query)
    assert query == {"secret": [totp.base32(seed)], "issuer": ["Flotilla"]}
    assert base64.b32decode(query["secret"][0]) == seed.get_secret_value()
    assert len(seed.get_secret_value()) == 20
    assert "*" in repr(seed)


def test_recovery_codes_are_long_and_forgive_how_they_are_typed() -> None:
    codes, user_id = recovery_codes.new_codes(), uuid4()
    assert len(set(codes)) == 10
    assert {len(recovery_codes.plain(code)) for code in codes} == {16}
    hashed = recovery_codes.hash_code(user_id, "k3v9-0b1m-aaaa-bbbb")
    for typed in ("K3V9 OBIM AAAA BBBB", "k3v90b1maaaabbbb", " k3v9-0blm-aaaa-bbbb\t"):
        assert recovery_codes.hash_code(user_id, typed) == hashed
    assert recovery_codes.hash_code(UUID(int=0), "k3v9-0b1m-aaaa-bbbb") != hashed
