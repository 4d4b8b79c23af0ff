"""Tickets: short-lived secrets in an address, where a browser cannot send an access token."""

from datetime import datetime, timedelta

import psycopg
from psycopg import AsyncConnection

from services.gateway.accounts import store
from services.gateway.accounts.tokens import hash_secret, new_secret
from services.gateway.api import errors
from services.gateway.api.limits import TICKETS_OF_USER, check_share
from services.kit.access import Actor


async def create_ticket(
    connection: AsyncConnection, *, actor: Actor, resource: str, lifetime: timedelta
) -> tuple[str, datetime]:
    """Store a ticket of the actor for a resource; return its secret and when it expires.

    Raises:
        RequestError: 429, the actor has too many tickets that nobody used; 403, the actor has an
            API token, which needs no ticket; 401, the login session has ended.
    """
    if actor.token is not None:
        raise errors.forbidden(
            "An API token needs no ticket. Send it in the header `Authorization`."
        )
    used = await store.count_tickets(connection, user_id=actor.id)
    check_share(
        "tickets", used, TICKETS_OF_USER, "unused tickets. Use them, or wait until they expire."
    )
    secret = new_secret()
    try:
        expires_at = await store.insert_ticket(
            connection,
            secret_hash=hash_secret(secret),
            user_id=actor.id,
            session_id=actor.session_id,
            resource=resource,
            lifetime=lifetime,
        )
    except psycopg.errors.ForeignKeyViolation:
        # The session ended after the request was authenticated.
        raise errors.unauthenticated("The login session has ended. Log in again.") from None
    return secret, expires_at
