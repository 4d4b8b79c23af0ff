"""Request and response bodies of users."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from services.gateway.accounts.schemas import Email, NewPassword, Username
from services.kit.access import Role


class User(Struct):
    id: UUID
    username: str
    email: str | None
    role: Role
    enabled: bool
    created_at: datetime
    last_login_at: Annotated[datetime | None, Meta(description="Newest valid login session")]
    organisations: Annotated[list[str], Meta(description="Names of the user's organisations")]


class UserPage(Struct):
    items: list[User]
    total: int


class UserCreate(Struct, forbid_unknown_fields=True):
    username: Username
    password: NewPassword
    email: Email | None = None
    role: Role = Role.MEMBER


class UserUpdate(Struct, forbid_unknown_fields=True):
    enabled: bool | None = None
    role: Role | None = None
