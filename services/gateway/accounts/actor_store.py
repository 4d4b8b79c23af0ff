"""Queries for what `allow` decides by: the actor of a login session, and servers as objects."""

from collections.abc import Mapping, Sequence
from typing import LiteralString
from uuid import UUID

from psycopg import AsyncConnection

from services.kit.access import Actor, Kind, Object, OrganisationRole, Role, Scope, TokenLimits

SHARES: LiteralString = (
    "coalesce((SELECT jsonb_object_agg(s.user_id, s.level) FROM server_shares s"
    " WHERE s.vps_id = vps.id AND (s.expires_at IS NULL OR s.expires_at > now())), '{}') AS shares"
)
"""Column with the valid shares of a row of `vps`: levels by user id."""

_MEMBERSHIPS: LiteralString = (
    "coalesce((SELECT jsonb_object_agg(m.organisation_id, m.role) FROM memberships m"
    " WHERE m.user_id = users.id), '{}')"
)


async def actors_of_sessions(
    connection: AsyncConnection, *, session_ids: Sequence[UUID]
) -> dict[UUID, Actor]:
    """Return who acts in each of these login sessions that is valid, if the account is enabled."""
    cursor = await connection.execute(
        f"SELECT users.id, username, role, sessions.id, {_MEMBERSHIPS}"
        " FROM sessions JOIN users ON users.id = sessions.user_id"
        " WHERE sessions.id = ANY(%(session_ids)s) AND expires_at > now() AND enabled",
        {"session_ids": list(session_ids)},
    )
    return {
        session_id: Actor(user_id, username, Role(role), session_id, _roles(memberships))
        for user_id, username, role, session_id, memberships in await cursor.fetchall()
    }


async def actors_of_tokens(
    connection: AsyncConnection, *, token_ids: Sequence[UUID]
) -> dict[UUID, Actor]:
    """Return who acts with each of these API tokens that is valid, if the account is enabled."""
    cursor = await connection.execute(
        f"SELECT users.id, username, role, t.id, {_MEMBERSHIPS}, scopes, server_ids, tags"
        " FROM api_tokens t JOIN users ON users.id = t.user_id"
        " WHERE t.id = ANY(%(token_ids)s) AND expires_at > now() AND enabled",
        {"token_ids": list(token_ids)},
    )
    return {
        token_id: Actor(
            user_id,
            username,
            Role(role),
            token_id,
            _roles(memberships),
            TokenLimits(
                frozenset(Scope(scope) for scope in scopes),
                None if server_ids is None else frozenset(server_ids),
                None if tags is None else frozenset(tags),
            ),
        )
        for user_id, username, role, token_id, memberships, scopes, server_ids, tags in (
            await cursor.fetchall()
        )
    }


async def servers(connection: AsyncConnection, *, vps_ids: Sequence[UUID]) -> dict[UUID, Object]:
    """Return what decides who may act on each of these servers that exists."""
    cursor = await connection.execute(
        f"SELECT id, organisation_id, {SHARES}, tags FROM vps WHERE id = ANY(%(vps_ids)s)",
        {"vps_ids": list(vps_ids)},
    )
    return {
        vps_id: server_object(vps_id, organisation_id, shares, tags)
        for vps_id, organisation_id, shares, tags in await cursor.fetchall()
    }


def server_object(
    server_id: UUID, organisation_id: UUID, shares: Mapping[str, str], tags: Sequence[str]
) -> Object:
    """Make the object of a server from its organisation, its `SHARES` and its tags."""
    return Object(
        Kind.SERVER,
        organisation=organisation_id,
        shares=_roles(shares),
        server_id=server_id,
        tags=frozenset(tags),
    )


def _roles(by_id: Mapping[str, str]) -> frozenset[tuple[UUID, OrganisationRole]]:
    return frozenset((UUID(one), OrganisationRole(role)) for one, role in by_id.items())


async def servers_of_runs(
    connection: AsyncConnection, *, run_ids: Sequence[UUID]
) -> dict[UUID, frozenset[UUID]]:
    """Return the servers of each of these runs, without those that were deleted."""
    cursor = await connection.execute(
        "SELECT run_id, array_agg(vps_id) FROM run_servers WHERE run_id = ANY(%(run_ids)s)"
        " GROUP BY run_id",
        {"run_ids": list(run_ids)},
    )
    return {run_id: frozenset(servers) for run_id, servers in await cursor.fetchall()}
