"""The servers that an actor may do an action on, as a condition of SQL queries.

It gives the same answer as `allow` on each server. A test compares the two.
"""

from collections.abc import Mapping
from typing import Any, LiteralString

from services.kit.access import SHARE_LEVELS, Action, Actor, roles_for

VISIBLE: LiteralString = (
    "((%(organisations)s::uuid[] IS NULL OR vps.organisation_id = ANY(%(organisations)s)"
    " OR EXISTS (SELECT FROM server_shares s WHERE s.vps_id = vps.id AND s.user_id = %(viewer)s"
    " AND s.level = ANY(%(levels)s) AND (s.expires_at IS NULL OR s.expires_at > now())))"
    " AND (%(only_ids)s::uuid[] IS NULL AND %(only_tags)s::text[] IS NULL"
    " OR vps.id = ANY(%(only_ids)s) OR vps.tags && %(only_tags)s))"
)
"""Condition on a row of `vps`, with the parameters of a visibility."""

Visibility = Mapping[str, Any]

EVERYTHING: Visibility = {
    "organisations": None,
    "viewer": None,
    "levels": [],
    "only_ids": None,
    "only_tags": None,
}


def visible_to(actor: Actor, action: Action) -> Visibility:
    """Return the parameters of `VISIBLE` for the servers on which the actor may do the action."""
    roles = roles_for(action, actor.token)
    token = actor.token
    return {
        "only_ids": None if token is None or token.server_ids is None else [*token.server_ids],
        "only_tags": None if token is None or token.tags is None else [*token.tags],
        "organisations": [one for one, role in actor.memberships if role in roles],
        "viewer": actor.id,
        "levels": [level.value for level in SHARE_LEVELS if level in roles],
    }
