"""Queries for organisations and their members. Functions never commit."""

from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row, scalar_row

from services.gateway.api import pagination
from services.kit.access import OrganisationRole


@dataclass(frozen=True, slots=True)
class Organisation:
    id: UUID
    name: str
    created_at: datetime
    members: int
    servers: int


@dataclass(frozen=True, slots=True)
class Member:
    user_id: UUID
    username: str
    email: str | None
    role: str
    enabled: bool
    joined_at: datetime


_ORGANISATION: LiteralString = (
    "id, name, created_at,"
    " (SELECT count(*) FROM memberships m WHERE m.organisation_id = o.id) AS members,"
    " (SELECT count(*) FROM vps WHERE vps.organisation_id = o.id) AS servers"
)
_MEMBER: LiteralString = (
    "m.user_id, u.username, u.email, m.role, u.enabled, m.created_at AS joined_at"
)
_MEMBERS: LiteralString = "FROM memberships m JOIN users u ON u.id = m.user_id"


async def page(
    connection: AsyncConnection, *, ids: list[UUID] | None, limit: int, offset: int
) -> tuple[list[Organisation], int]:
    """Return organisations ordered by name, and how many there are; all of them if `ids` is None."""
    return await pagination.page(
        connection,
        Organisation,
        columns=_ORGANISATION,
        source="FROM organisations o WHERE (%(ids)s::uuid[] IS NULL OR id = ANY(%(ids)s))",
        order="name, id",
        parameters={"ids": ids},
        limit=limit,
        offset=offset,
    )


async def lock(connection: AsyncConnection, *, organisation_id: UUID) -> Organisation | None:
    """Return an organisation. Its row stays locked, so changes of its members wait for each other."""
    async with connection.cursor(row_factory=class_row(Organisation)) as cursor:
        await cursor.execute(
            f"SELECT {_ORGANISATION} FROM organisations o WHERE id = %(id)s FOR UPDATE",
            {"id": organisation_id},
        )
        return await cursor.fetchone()


async def rename(connection: AsyncConnection, *, organisation_id: UUID, name: str) -> None:
    await connection.execute(
        "UPDATE organisations SET name = %(name)s, updated_at = now() WHERE id = %(id)s",
        {"id": organisation_id, "name": name},
    )


async def delete(connection: AsyncConnection, *, organisation_id: UUID) -> None:
    await connection.execute("DELETE FROM organisations WHERE id = %(id)s", {"id": organisation_id})


async def members(
    connection: AsyncConnection, *, organisation_id: UUID, limit: int, offset: int
) -> tuple[list[Member], int]:
    """Return members ordered by name, and how many there are."""
    return await pagination.page(
        connection,
        Member,
        columns=_MEMBER,
        source=f"{_MEMBERS} WHERE m.organisation_id = %(id)s",
        order="u.username",
        parameters={"id": organisation_id},
        limit=limit,
        offset=offset,
    )


async def member(
    connection: AsyncConnection, *, organisation_id: UUID, user_id: UUID
) -> Member | None:
    async with connection.cursor(row_factory=class_row(Member)) as cursor:
        await cursor.execute(
            f"SELECT {_MEMBER} {_MEMBERS} WHERE m.organisation_id = %(id)s"
            " AND m.user_id = %(user_id)s",
            {"id": organisation_id, "user_id": user_id},
        )
        return await cursor.fetchone()


async def owners(connection: AsyncConnection, *, organisation_id: UUID) -> set[UUID]:
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "SELECT user_id FROM memberships WHERE organisation_id = %s AND role = 'owner'",
            [organisation_id],
        )
        return set(await cursor.fetchall())


async def put_member(
    connection: AsyncConnection, *, organisation_id: UUID, user_id: UUID, role: OrganisationRole
) -> None:
    """Add a member, or change the role of one."""
    await connection.execute(
        "INSERT INTO memberships (organisation_id, user_id, role)"
        " VALUES (%(id)s, %(user_id)s, %(role)s)"
        " ON CONFLICT (organisation_id, user_id) DO UPDATE SET role = excluded.role",
        {"id": organisation_id, "user_id": user_id, "role": role},
    )


async def remove_member(
    connection: AsyncConnection, *, organisation_id: UUID, user_id: UUID
) -> None:
    await connection.execute(
        "DELETE FROM memberships WHERE organisation_id = %(id)s AND user_id = %(user_id)s",
        {"id": organisation_id, "user_id": user_id},
    )
