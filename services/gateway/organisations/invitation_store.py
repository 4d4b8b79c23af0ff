"""Queries for invitations. Functions never commit."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import LiteralString
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from services.gateway.api import pagination
from services.kit.access import OrganisationRole


@dataclass(frozen=True, slots=True)
class Invitation:
    id: UUID
    organisation_id: UUID
    email: str
    role: str
    invited_by: str
    created_at: datetime
    expires_at: datetime


_INVITATION: LiteralString = (
    "i.id, i.organisation_id, i.email, i.role, u.username AS invited_by, i.created_at, i.expires_at"
)
_SOURCE: LiteralString = "FROM invitations i JOIN users u ON u.id = i.invited_by"


async def insert(
    connection: AsyncConnection,
    *,
    organisation_id: UUID,
    email: str,
    role: OrganisationRole,
    token_hash: bytes,
    invited_by: UUID,
    lifetime: timedelta,
) -> Invitation:
    """Add an invitation, in place of an earlier one of this address to this organisation."""
    await connection.execute("DELETE FROM invitations WHERE expires_at < now()")
    async with connection.cursor(row_factory=class_row(Invitation)) as cursor:
        await cursor.execute(
            "WITH i AS (INSERT INTO invitations"
            " (organisation_id, email, role, token_hash, invited_by, expires_at)"
            " VALUES (%(organisation_id)s, %(email)s, %(role)s, %(token_hash)s, %(invited_by)s,"
            "  now() + %(lifetime)s)"
            " ON CONFLICT (organisation_id, lower(email)) DO UPDATE SET role = excluded.role,"
            "  token_hash = excluded.token_hash, invited_by = excluded.invited_by,"
            "  expires_at = excluded.expires_at, created_at = now() RETURNING *)"
            f" SELECT {_INVITATION} FROM i JOIN users u ON u.id = i.invited_by",
            {
                "organisation_id": organisation_id,
                "email": email,
                "role": role,
                "token_hash": token_hash,
                "invited_by": invited_by,
                "lifetime": lifetime,
            },
        )
        made = await cursor.fetchone()
        assert made is not None
        return made


async def page(
    connection: AsyncConnection, *, organisation_ids: list[UUID], limit: int, offset: int
) -> tuple[list[Invitation], int]:
    """Return the valid invitations to these organisations, the newest first, and their number."""
    return await pagination.page(
        connection,
        Invitation,
        columns=_INVITATION,
        source=f"{_SOURCE} WHERE i.organisation_id = ANY(%(ids)s) AND i.expires_at > now()",
        order="i.created_at DESC, i.id",
        parameters={"ids": organisation_ids},
        limit=limit,
        offset=offset,
    )


async def get(connection: AsyncConnection, *, invitation_id: UUID) -> Invitation | None:
    async with connection.cursor(row_factory=class_row(Invitation)) as cursor:
        await cursor.execute(
            f"SELECT {_INVITATION} {_SOURCE} WHERE i.id = %(id)s", {"id": invitation_id}
        )
        return await cursor.fetchone()


async def delete(connection: AsyncConnection, *, invitation_id: UUID) -> None:
    await connection.execute("DELETE FROM invitations WHERE id = %(id)s", {"id": invitation_id})


async def exists(connection: AsyncConnection, *, token_hash: bytes) -> bool:
    """Tell whether there is an invitation with this token, valid or not."""
    cursor = await connection.execute("SELECT FROM invitations WHERE token_hash = %s", [token_hash])
    return cursor.rowcount > 0


async def take(
    connection: AsyncConnection, *, token_hash: bytes, roles: dict[str, list[str]]
) -> Invitation | None:
    """Use up an invitation; None if it is invalid, or its maker lost the right to make it.

    `roles` has, for each role, the roles whose members may invite with it.
    """
    async with connection.cursor(row_factory=class_row(Invitation)) as cursor:
        await cursor.execute(
            "WITH i AS (DELETE FROM invitations WHERE token_hash = %(token_hash)s RETURNING *)"
            f" SELECT {_INVITATION} FROM i JOIN users u ON u.id = i.invited_by"
            " JOIN memberships m ON m.user_id = u.id AND m.organisation_id = i.organisation_id"
            " WHERE i.expires_at > now() AND u.enabled"
            " AND %(roles)s::jsonb -> i.role ? m.role",
            {"token_hash": token_hash, "roles": Jsonb(roles)},
        )
        return await cursor.fetchone()
