"""HTTP routes for the preferences of a user. They follow the user from browser to browser."""

from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from litestar import Controller, get, patch
from litestar.params import JSONBody

from services.gateway.accounts import store
from services.gateway.accounts.authentication import AuthedRequest
from services.gateway.accounts.schemas import Preferences, PreferencesUpdate
from services.gateway.api import errors
from services.gateway.api.rules import ACTION
from services.gateway.api.transaction import UseConnection
from services.kit.access import Action


class PreferencesController(Controller):
    path = "/auth/me/preferences"
    tags = ("Session",)

    @get(
        operation_id="preferences",
        summary="Get your preferences",
        opt={ACTION: Action.ACCOUNT_READ},
    )
    async def read(self, request: AuthedRequest, db: UseConnection) -> Preferences:
        user = await store.user_by_name(db, username=request.user.username)
        if user is None:
            raise errors.unauthenticated("The login session has ended. Log in again.")
        return stored_preferences(user.preferences)

    @patch(
        operation_id="updatePreferences",
        summary="Change some of your preferences",
        opt={ACTION: Action.ACCOUNT_UPDATE},
    )
    async def update(
        self, request: AuthedRequest, data: JSONBody[PreferencesUpdate], db: UseConnection
    ) -> Preferences:
        """Return all preferences after the change."""
        if isinstance(data.time_zone, str) and not is_time_zone(data.time_zone):
            raise errors.invalid(
                f"`{data.time_zone}` is not a time zone. Send an IANA name, such as `Europe/Berlin`.",
                "time_zone",
            )
        preferences = await store.update_preferences(
            db, user_id=request.user.id, changes=msgspec.to_builtins(data)
        )
        if preferences is None:
            raise errors.unauthenticated("The account was deleted. Log in again.")
        return stored_preferences(preferences)


def stored_preferences(stored: dict[str, Any]) -> Preferences:
    """Read preferences from the database. What another version of Flotilla wrote is left out."""
    return Preferences(
        **{field.name: _known(stored, field) for field in msgspec.structs.fields(Preferences)}
    )


def is_time_zone(name: str) -> bool:
    """Tell whether this is the name of an IANA time zone."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # an OSError where it names a folder
        return False
    # Some systems keep copies in folders such as `posix`, which no browser knows.
    return name[0].isupper()


def _known(stored: dict[str, Any], field: msgspec.structs.FieldInfo) -> Any:
    try:
        return msgspec.convert(stored.get(field.name), field.type)
    except msgspec.ValidationError:
        return None
