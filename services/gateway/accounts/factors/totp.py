"""Time-based one-time passwords: RFC 6238 with SHA-1, 6 digits and steps of 30 seconds."""

import base64
import hmac
import secrets
from urllib.parse import quote, urlencode

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.hotp import HOTP
from pydantic import SecretBytes

DIGITS = 6
STEP = 30  # seconds
# Codes of the step before and the step after are accepted too: clocks differ, and typing takes time.
WINDOW = 1  # steps
SEED_LENGTH = 20  # bytes, as RFC 4226 recommends
ISSUER = "Flotilla"


def new_seed() -> SecretBytes:
    return SecretBytes(secrets.token_bytes(SEED_LENGTH))


def code_of_step(seed: SecretBytes, step: int) -> str:
    # Apps for these codes support SHA-1 only. HMAC does not need a hash without collisions.
    generator = HOTP(seed.get_secret_value(), DIGITS, SHA1())  # noqa: S303
    return generator.generate(step).decode()


def matching_step(seed: SecretBytes, code: str, *, now: float, after: int) -> int | None:
    """Return the time step of a code; None if it is wrong or not newer than the step `after`."""
    present = int(now // STEP)
    steps = range(present - WINDOW, present + WINDOW + 1)
    matching = [
        step
        for step in steps
        if hmac.compare_digest(code_of_step(seed, step).encode(), code.encode())
    ]
    return next((step for step in matching if step > after), None)


def base32(seed: SecretBytes) -> str:
    """Return the seed as people type it into an app."""
    return base64.b32encode(seed.get_secret_value()).decode()


def uri(seed: SecretBytes, account: str) -> str:
    """Return the address that a QR code contains.

    https://github.com/google/google-authenticator/wiki/Key-Uri-Format
    """
    label = quote(f"{ISSUER}:{account}")
    return f"otpauth://totp/{label}?{urlencode({'secret': base32(seed), 'issuer': ISSUER})}"
