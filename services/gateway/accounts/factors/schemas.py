"""Request and response bodies of second factors."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

CodeText = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        description="A code of the authenticator app, or a recovery code; spaces and hyphens do not matter",
    ),
]
PasswordText = Annotated[str, Meta(min_length=1, max_length=1024)]


class FactorLogin(Struct, forbid_unknown_fields=True):
    challenge: Annotated[
        str, Meta(min_length=1, max_length=128, description="From the answer to the log-in")
    ]
    code: CodeText


class Password(Struct, forbid_unknown_fields=True):
    password: PasswordText


class Code(Struct, forbid_unknown_fields=True):
    code: CodeText


class Proof(Struct, forbid_unknown_fields=True):
    """Either the password or a code."""

    password: PasswordText | None = None
    code: CodeText | None = None


class Totp(Struct):
    confirmed_at: datetime


class Factors(Struct):
    totp: Annotated[Totp | None, Meta(description="Null if the second factor is off")]
    recovery_codes: Annotated[int, Meta(description="Number of codes that were not used")]


class TotpEnrolment(Struct):
    """A new second factor. It counts once a code confirms it. Its secret is shown only here."""

    secret: Annotated[str, Meta(description="The seed in Base32, to type into an app")]
    uri: Annotated[str, Meta(description="The seed as an `otpauth:` address")]
    qr_svg: Annotated[str, Meta(description="The address as a QR code, in SVG")]
    expires_in: Annotated[int, Meta(description="Seconds within which a code must confirm it")]


class RecoveryCodes(Struct):
    """New recovery codes, in place of all earlier ones. They are shown only here."""

    codes: list[str]
