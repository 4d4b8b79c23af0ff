"""The database roles of the services: created with their passwords, and granted exactly `grants`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import LiteralString

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import scalar_row

from services.kit.database import grants
from services.kit.database.grants import Grant
from services.kit.database.migrate import CONNECT_TIMEOUT, LOCK
from services.kit.errors import FlotillaError


class RoleError(FlotillaError):
    pass


@dataclass(frozen=True, slots=True)
class Login:
    """Role and password of a service, as in its database address."""

    service: str
    role: str
    password: str

    @classmethod
    def of(cls, service: str, url: str) -> "Login":
        """Read them from an address.

        Raises: RoleError.
        """
        parts = conninfo_to_dict(url)
        role, password = parts.get("user"), parts.get("password")
        if not role or not password:
            raise RoleError(
                f"The database address of the {service} has no user or no password. Set it to"
                f" postgresql://flotilla_{service}:PASSWORD@HOST:PORT/DATABASE."
            )
        return cls(service, str(role), str(password))


async def apply(url: str, logins: Sequence[Login]) -> list[str]:
    """Create or update the roles, as the owner of the tables; return one line for each.

    Raises:
        RoleError: the owner may not do that, or a role has rights that it must not have.
    """
    if not logins:  # every service connects as the owner, so nothing is closed to it
        return []
    async with (
        await AsyncConnection.connect(
            url, autocommit=True, connect_timeout=CONNECT_TIMEOUT
        ) as connection,
        connection.transaction(),
    ):
        # Two instances that change the same privileges at once would fail.
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        owner = connection.info.user
        taken: dict[str, str] = {owner: "the owner of the tables"}
        for login in logins:
            if login.role in taken:
                raise RoleError(
                    f"The {login.service} uses the database role {login.role}, which is also that of"
                    f" {taken[login.role]}. Give each service a role of its own."
                )
            taken[login.role] = f"the {login.service}"
        try:
            await _close_to_public(connection)
            return [await _apply(connection, login) for login in logins]
        except psycopg.errors.InsufficientPrivilege as error:
            raise RoleError(
                f"The database role {owner} may not set up the roles of the services:"
                f" {error.diag.message_primary}. As a superuser, run ALTER ROLE {owner} CREATEROLE,"
                f" and make {owner} the owner of the database."
            ) from error


async def _apply(connection: AsyncConnection, login: Login) -> str:
    state = await _create_or_update(connection, login)
    await _require_harmless(connection, login)
    await _grant_access(connection, login)
    wanted, found = grants.grants(login.service), await granted(connection, role=login.role)
    missing_objects = await _missing(connection, {grant.object for grant in wanted})
    if missing_objects:
        raise RoleError(
            f"The database has no {', '.join(missing_objects)}. Run `flotilla migrate` of this"
            " version."
        )
    if wanted == found:
        return f"role {login.role} {state or 'up to date'}"
    for grant in sorted(found - wanted):
        await connection.execute(_statement("REVOKE {} FROM {}", grant, login.role))
    # Revoking a privilege on a table also revokes it on the columns.
    left = await granted(connection, role=login.role)
    for grant in sorted(wanted - left):
        await connection.execute(_statement("GRANT {} TO {}", grant, login.role))
    return (
        f"role {login.role} {state or 'updated'}:"
        f" {len(wanted - found)} privileges granted, {len(found - wanted)} revoked"
    )


async def _create_or_update(connection: AsyncConnection, login: Login) -> str:
    """Create the role, or set its password; return "created" if it was created."""
    cursor = await connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [login.role])
    exists = cursor.rowcount == 1
    # The server, whose log may contain the statement, gets only the verifier of the password.
    verifier = connection.pgconn.encrypt_password(
        login.password.encode(), login.role.encode(), b"scram-sha-256"
    ).decode()
    statement = sql.SQL("{} ROLE {} LOGIN NOCREATEROLE NOCREATEDB PASSWORD {}").format(
        sql.SQL("ALTER" if exists else "CREATE"), sql.Identifier(login.role), verifier
    )
    if not exists:
        await connection.execute(statement)
        return "created"
    try:
        async with connection.transaction():
            await connection.execute(statement)
    except psycopg.errors.InsufficientPrivilege:
        # An administrator created the role, with its password. This role only grants.
        pass
    return ""


async def _require_harmless(connection: AsyncConnection, login: Login) -> None:
    """Check that nothing but the grants gives the role any right.

    Raises: RoleError.
    """
    cursor = await connection.execute(
        "SELECT concat_ws(', ', CASE WHEN rolsuper THEN 'is a superuser' END,"
        " CASE WHEN rolbypassrls THEN 'bypasses row-level security' END,"
        " CASE WHEN rolreplication THEN 'may replicate the database' END,"
        " CASE WHEN rolcreaterole OR rolcreatedb THEN 'may create roles or databases' END,"
        " CASE WHEN EXISTS (SELECT FROM pg_auth_members WHERE member = r.oid)"
        " THEN 'is a member of another role' END,"
        " CASE WHEN EXISTS (SELECT FROM pg_class"
        " WHERE relowner = r.oid AND relpersistence <> 't')"
        " OR EXISTS (SELECT FROM pg_proc WHERE proowner = r.oid)"
        " OR EXISTS (SELECT FROM pg_database WHERE datdba = r.oid) THEN 'owns objects' END)"
        " FROM pg_roles r WHERE rolname = %s",
        [login.role],
    )
    (rights,) = await cursor.fetchone() or ("",)
    if rights:
        raise RoleError(
            f"The database role {login.role} {rights}. The {login.service} needs a role without any"
            " right of its own. Name another one in its database address, or take this right away."
        )


async def _grant_access(connection: AsyncConnection, login: Login) -> None:
    """Let the role connect and see the tables' schema, and create temporary tables if it has to."""
    database, role = sql.Identifier(connection.info.dbname), sql.Identifier(login.role)
    for statement in (
        "GRANT CONNECT ON DATABASE {} TO {}",
        "GRANT TEMPORARY ON DATABASE {} TO {}"
        if login.service in grants.TEMPORARY_TABLES
        else "REVOKE TEMPORARY, CREATE ON DATABASE {} FROM {}",
    ):
        await connection.execute(sql.SQL(statement).format(database, role))
    await connection.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(role))
    await connection.execute(sql.SQL("REVOKE CREATE ON SCHEMA public FROM {}").format(role))


async def _close_to_public(connection: AsyncConnection) -> None:
    """Take away what PostgreSQL lets every role do: call functions and create temporary tables."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "SELECT format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', p.oid::regprocedure)"
            " FROM pg_proc p,"
            " aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a"
            " WHERE p.pronamespace = 'public'::regnamespace AND a.grantee = 0"
            " AND pg_has_role(p.proowner, 'USAGE') AND NOT EXISTS (SELECT FROM pg_depend d"
            " WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')"
        )
        for statement in await cursor.fetchall():
            await connection.execute(statement.encode())
        database = connection.info.dbname
        revoke = sql.SQL("REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC")
        is_open = b"SELECT has_database_privilege('public', current_database(), 'TEMPORARY')"
        if await (await cursor.execute(is_open)).fetchone():
            await connection.execute(revoke.format(sql.Identifier(database)))
        # Instead of failing, REVOKE only warns a role that does not own the database.
        if await (await cursor.execute(is_open)).fetchone():
            raise RoleError(
                f"Every role may create temporary tables in the database {database}, because"
                f" {connection.info.user} does not own it. As a superuser, run ALTER DATABASE"
                f" {database} OWNER TO {connection.info.user}."
            )
        await cursor.execute("SELECT has_schema_privilege('public', 'public', 'CREATE')")
        if await cursor.fetchone():
            await connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")


_GRANTED = """
WITH acl AS (
    SELECT c.relname AS object, '' AS "column", c.relacl AS privileges FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relacl IS NOT NULL
    UNION ALL
    SELECT c.relname, t.attname, t.attacl FROM pg_attribute t JOIN pg_class c ON c.oid = t.attrelid
    WHERE c.relnamespace = 'public'::regnamespace AND t.attacl IS NOT NULL AND NOT t.attisdropped
    UNION ALL
    SELECT p.proname, '', p.proacl FROM pg_proc p
    WHERE p.pronamespace = 'public'::regnamespace AND p.proacl IS NOT NULL
)
SELECT acl.object, acl.column, a.privilege_type
FROM acl, aclexplode(acl.privileges) a JOIN pg_roles r ON r.oid = a.grantee WHERE r.rolname = %s
"""


async def granted(connection: AsyncConnection, *, role: str) -> set[Grant]:
    """Return the privileges that the role has on tables, columns and functions."""
    cursor = await connection.execute(_GRANTED, [role])
    return {Grant(*row) for row in await cursor.fetchall()}


async def objects(connection: AsyncConnection) -> Mapping[str, set[str]]:
    """Return the names of the schema's own "tables" and "functions", except trigger functions."""
    cursor = await connection.execute(
        "SELECT 'tables', relname FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f')"
        " AND relnamespace = 'public'::regnamespace AND NOT EXISTS (SELECT FROM pg_depend d"
        " WHERE d.classid = 'pg_class'::regclass AND d.objid = pg_class.oid AND d.deptype = 'e')"
        " UNION ALL SELECT 'functions', proname FROM pg_proc"
        " WHERE pronamespace = 'public'::regnamespace AND prorettype <> 'trigger'::regtype"
        " AND NOT EXISTS (SELECT FROM pg_depend d"
        " WHERE d.classid = 'pg_proc'::regclass AND d.objid = pg_proc.oid AND d.deptype = 'e')"
    )
    found: dict[str, set[str]] = {"tables": set(), "functions": set()}
    for kind, name in await cursor.fetchall():
        found[kind].add(name)
    return found


async def _missing(connection: AsyncConnection, names: set[str]) -> list[str]:
    found = await objects(connection)
    return sorted(names - found["tables"] - found["functions"])


def _statement(template: LiteralString, grant: Grant, role: str) -> sql.Composed:
    """Return GRANT or REVOKE; `template` has places for the privilege and the role."""
    kind = sql.SQL("FUNCTION" if grant.privilege == "EXECUTE" else "TABLE")
    column = sql.SQL("({})").format(sql.Identifier(grant.column)) if grant.column else sql.SQL("")
    privilege = sql.SQL("{}{} ON {} {}").format(
        sql.SQL(grant.privilege), column, kind, sql.Identifier(grant.object)
    )
    return sql.SQL(template).format(privilege, sql.Identifier(role))
