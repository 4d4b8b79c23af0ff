"""Request and response bodies of accounts."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from services.gateway.accounts.passwords import PASSWORD_MIN_LENGTH
from services.kit.access import OrganisationRole, Role

Username = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,62}(?!\n)$",
        description="1 to 63 characters of a-z, 0-9, `.`, `_` and `-`; begins with a letter or digit",
    ),
]
NewPassword = Annotated[str, Meta(min_length=PASSWORD_MIN_LENGTH, max_length=1024)]
Email = Annotated[
    str,
    Meta(
        max_length=254,
        pattern=r"^[!-?A-~]+@[!-?A-~]+(?!\n)$",
        description="Address for e-mail, such as `alice@example.com`",
    ),
]


class Credentials(Struct, forbid_unknown_fields=True):
    username: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^\x00]+$")]
    password: Annotated[str, Meta(min_length=1, max_length=1024)]


class AccountOrganisation(Struct):
    """An organisation of the user, and the user's role in it."""

    id: UUID
    name: str
    role: OrganisationRole


class Account(Struct):
    id: UUID
    username: str
    email: str | None
    role: Role
    created_at: datetime
    organisations: list[AccountOrganisation]


Theme = Literal["light", "dark", "system"]
Language = Literal["en", "zh-CN"]
RateUnit = Annotated[
    Literal["bits", "bytes"], Meta(description="Unit of network rates: bits or bytes per second")
]
SizeUnit = Annotated[
    Literal["binary", "decimal"],
    Meta(description="Unit of sizes: powers of 1024 (KiB, MiB) or of 1000 (kB, MB)"),
]
Clock = Literal["24h", "12h"]
TimeZone = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=r"^[\w+/-]+$",
        description="IANA time zone, such as `Europe/Berlin`",
    ),
]
Weekday = Literal["monday", "saturday", "sunday"]


class Preferences(Struct):
    """Choices of a user about the look of the console and the units and times that it shows.

    Null means that the user has chosen nothing. The console then takes the browser's setting.
    """

    theme: Theme | None
    language: Language | None
    rate_unit: RateUnit | None
    size_unit: SizeUnit | None
    clock: Clock | None
    time_zone: TimeZone | None
    first_weekday: Weekday | None


class PreferencesUpdate(Struct, forbid_unknown_fields=True):
    """Preferences to change. Null removes a choice; a missing one does not change."""

    theme: Theme | UnsetType | None = UNSET
    language: Language | UnsetType | None = UNSET
    rate_unit: RateUnit | UnsetType | None = UNSET
    size_unit: SizeUnit | UnsetType | None = UNSET
    clock: Clock | UnsetType | None = UNSET
    time_zone: TimeZone | UnsetType | None = UNSET
    first_weekday: Weekday | UnsetType | None = UNSET


class LoggedIn(Struct):
    access_token: str
    expires_in: Annotated[int, Meta(description="Seconds")]
    user: Account
    preferences: Preferences
