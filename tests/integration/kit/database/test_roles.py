"""A service's database role can do what the service does, and nothing else.

The other tests run every service with its own role. They prove that the privileges are enough: a
test session fails if PostgreSQL refuses a statement of a service, except in the databases of this file.
"""

import secrets
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
import pytest_asyncio
from psycopg import AsyncConnection, sql
from psycopg.errors import InsufficientPrivilege

from services.gateway.audit import chain
from services.kit.database import grants, roles
from services.kit.database.grants import Grant
from services.kit.database.roles import Login, RoleError
from services.kit.services import DATABASE_SERVICES, SERVICES
from tests.fixtures.stack import (
    MANAGED_ROLE,
    REFUSING,
    PostgresServer,
    copy_of_template,
    logins,
    role_url,
)

SAMPLE = "(vps_id, time) VALUES (gen_random_uuid(), now())"
ENTRY = "id, time, actor, action, object, detail, allowed, reason, peer"
VALUES = "gen_random_uuid(), now(), 'user:eve', 'run.start', '', '', true, '', ''"

# Statements that no service may run.
BY_NO_SERVICE = [
    "CREATE TABLE mine (n integer)",
    "CREATE FUNCTION mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    "CREATE SCHEMA mine",
    "ALTER TABLE users ADD COLUMN mine integer",
    "ALTER TABLE audit_entries DISABLE TRIGGER ALL",
    "SET session_replication_role = replica",  # would switch all triggers off
    "DROP TABLE audit_entries",
    "TRUNCATE audit_entries",
    "SET ROLE flotilla",
    "CREATE ROLE mine",
    "ALTER ROLE flotilla PASSWORD 'mine'",
    "COPY users TO '/tmp/users'",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "SELECT pg_read_file('postgresql.conf')",
    "SELECT drop_chunks('performance_metrics', older_than => now())",
    "SELECT audit_hash('', 1, gen_random_uuid(), now(), now(), '', '', '', '', true, '', '')",
    "SELECT * FROM migrations",
    "UPDATE audit_entries SET actor = 'user:eve'",
    "DELETE FROM audit_entries",
    "UPDATE audit_chain SET head_seq = head_seq + 1",
    "DELETE FROM audit_chain",
    "INSERT INTO audit_chain DEFAULT VALUES",
    "UPDATE shell_recordings SET data = ''",
    "UPDATE traffic_corrections SET rx = 0",
]
# Statements that one service may not run, though another one may.
BY_SERVICE = {
    "writer": [
        "SELECT username FROM users",
        "SELECT secret_hash FROM sessions",
        "SELECT seed FROM totp_factors",
        "SELECT wrapped FROM data_key_wraps",
        "SELECT name FROM vps",
        "SELECT script FROM runs",
        "SELECT data FROM run_output",
        "SELECT vps_id FROM performance_metrics",
        "SELECT value FROM generic_metrics",
        "SELECT * FROM performance_1m",
        "SELECT * FROM audit_entries",
        f"INSERT INTO audit_entries ({ENTRY}) VALUES ({VALUES})",
        "UPDATE performance_metrics SET cpu_usage = 0",
        "DELETE FROM performance_metrics",
        "UPDATE rollup_state SET rolled_until = now()",
        "UPDATE vps SET agent_public_key = ''",
        "SELECT drop_chunks_before('performance_metrics', now())",
        "SELECT enable_compression('performance_metrics', 'vps_id', '1 day')",
    ],
    "rollup": [
        "SELECT password_hash FROM users",
        "SELECT seed FROM totp_factors",
        "SELECT wrapped FROM data_key_wraps",
        "SELECT agent_public_key FROM vps",
        "SELECT * FROM audit_entries",
        "SELECT script FROM runs",
        "SELECT data FROM shell_recordings",
        "UPDATE vps SET agent_public_key = ''",
        "UPDATE vps SET organisation_id = gen_random_uuid()",
        "DELETE FROM vps",
        f"INSERT INTO performance_metrics {SAMPLE}",
        "DELETE FROM performance_2h",
        "UPDATE traffic_settings SET reset_day = 1",
        "CREATE TEMPORARY TABLE audit_chain (n integer)",
        "SELECT delete_old_audit_entries('400 days', 1)",
    ],
    "gateway": [
        f"INSERT INTO audit_entries (seq, {ENTRY}) VALUES (1, {VALUES})",
        f"INSERT INTO audit_entries (stored_at, {ENTRY}) VALUES ('epoch', {VALUES})",
        f"INSERT INTO audit_entries (hash, {ENTRY}) VALUES ('', {VALUES})",
        "SELECT delete_old_audit_entries('1 day', 1000)",
        "SELECT delete_old_audit_entries('-400 days', 1000)",
        "SELECT delete_old_audit_entries(NULL, 1000)",
        "LOCK TABLE audit_entries IN ACCESS EXCLUSIVE MODE",
        f"INSERT INTO performance_metrics {SAMPLE}",
        "UPDATE performance_1m SET cpu_usage = 0",
        "UPDATE rollup_state SET rolled_until = now()",
        "UPDATE data_keys SET master_key_id = ''",
        "DELETE FROM data_keys",
        "UPDATE data_key_wraps SET wrapped = ''",
        "UPDATE run_output SET data = ''",
        "DELETE FROM shell_recordings",
        "UPDATE shell_sessions SET ended_at = now()",
        "DELETE FROM traffic_corrections",
        "UPDATE api_tokens SET scopes = '{}'",
        "SELECT script FROM commands",
        "SELECT drop_chunks_before('performance_metrics', now())",
        "CREATE TEMPORARY TABLE audit_chain (n integer)",
    ],
    "shellproxy": [
        "SELECT username FROM users",
        "SELECT secret_hash FROM sessions",
        "SELECT seed FROM totp_factors",
        "SELECT * FROM data_keys",
        "SELECT wrapped FROM data_key_wraps",
        "SELECT name FROM vps",
        "SELECT * FROM runs",
        "SELECT * FROM audit_entries",
        f"INSERT INTO audit_entries ({ENTRY}) VALUES ({VALUES})",
        "SELECT data FROM shell_recordings",
        "UPDATE shell_sessions SET user_id = gen_random_uuid()",
        "UPDATE shell_sessions SET username = 'eve'",
        "SELECT * FROM performance_metrics",
        "CREATE TEMPORARY TABLE shell_sessions (n integer)",
    ],
    "alerting": [
        "SELECT username FROM users",
        "SELECT secret_hash FROM sessions",
        "SELECT seed FROM totp_factors",
        "SELECT * FROM data_keys",
        "SELECT user_id FROM vps",
        "SELECT * FROM audit_entries",
        f"INSERT INTO audit_entries ({ENTRY}) VALUES ({VALUES})",
        "SELECT * FROM performance_metrics",
        "UPDATE alert_rules SET threshold = 0",
        "UPDATE alert_channels SET target = 'eve'",
        "INSERT INTO outbound_targets (target) VALUES ('127.0.0.1:22')",
        "CREATE TEMPORARY TABLE alert_states (n integer)",
    ],
}
REFUSED = [
    (service, statement)
    for service, statements in BY_SERVICE.items()
    for statement in (*BY_NO_SERVICE, *statements)
]


def _new_database(server: PostgresServer) -> str:
    name = f"test{REFUSING}{secrets.token_hex(6)}"
    with psycopg.connect(server.url(), autocommit=True) as connection:
        for statement in copy_of_template(name):
            connection.execute(statement)
    return name


def _drop(server: PostgresServer, name: str) -> None:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        )


@pytest.fixture(scope="module")
def url(postgres_server: PostgresServer) -> Iterator[str]:
    """A database that no test changes."""
    name = _new_database(postgres_server)
    yield postgres_server.url(name)
    _drop(postgres_server, name)


@pytest.fixture
def own_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A database for one test."""
    name = _new_database(postgres_server)
    yield postgres_server.url(name)
    _drop(postgres_server, name)


@pytest_asyncio.fixture(loop_scope="session")
async def owner(own_url: str) -> AsyncIterator[AsyncConnection]:
    async with await AsyncConnection.connect(own_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def new_role(postgres_server: PostgresServer) -> Iterator[str]:
    """A name for a role; the role is dropped after the test."""
    name = f"flotilla_writer_{secrets.token_hex(4)}"
    yield name
    with psycopg.connect(postgres_server.url(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))


@pytest.mark.parametrize(("service", "statement"), REFUSED)
def test_a_service_may_not_run_what_it_does_not_need(
    url: str, service: str, statement: str
) -> None:
    with (
        psycopg.connect(role_url(url, service)) as connection,
        pytest.raises(InsufficientPrivilege),
    ):
        connection.execute(statement.encode())


def test_every_service_with_a_role_has_statements_that_are_refused() -> None:
    assert set(BY_SERVICE) == set(DATABASE_SERVICES)


@pytest.mark.parametrize("service", sorted(set(SERVICES) - set(DATABASE_SERVICES)))
def test_a_service_without_a_role_cannot_connect(url: str, service: str) -> None:
    assert grants.grants(service) == set()
    with pytest.raises(psycopg.OperationalError, match="authentication failed"):
        psycopg.connect(role_url(url, service))


async def test_every_table_and_function_has_an_entry_and_no_other_has(
    owner: AsyncConnection,
) -> None:
    found = await roles.objects(owner)
    assert found["tables"] == set(grants.TABLES), "see services/kit/database/grants.py"
    assert found["functions"] == set(grants.FUNCTIONS), "see services/kit/database/grants.py"


async def test_the_roles_have_the_listed_privileges_and_no_others(owner: AsyncConnection) -> None:
    for service in DATABASE_SERVICES:
        found = await roles.granted(owner, role=f"flotilla_{service}")
        assert found == grants.grants(service), service


async def test_a_new_table_or_function_is_closed_until_it_has_an_entry(
    owner: AsyncConnection, own_url: str
) -> None:
    await owner.execute("CREATE TABLE plans (secret text)")
    await owner.execute("CREATE FUNCTION secret() RETURNS integer LANGUAGE sql AS 'SELECT 1'")
    await roles.apply(own_url, logins(own_url))
    for service in DATABASE_SERVICES:
        async with await AsyncConnection.connect(
            role_url(own_url, service), autocommit=True
        ) as connection:
            for statement in (b"SELECT * FROM plans", b"SELECT secret()"):
                with pytest.raises(InsufficientPrivilege):
                    await connection.execute(statement)


async def test_no_privilege_is_limited_to_columns_of_a_hypertable(owner: AsyncConnection) -> None:
    cursor = await owner.execute("SELECT hypertable_name FROM timescaledb_information.hypertables")
    hypertables = {name for (name,) in await cursor.fetchall()}
    assert "performance_metrics" in hypertables
    for service in DATABASE_SERVICES:
        limited = {grant.object for grant in grants.grants(service) if grant.column}
        assert not limited & hypertables


async def test_functions_with_the_owners_rights_search_temporary_tables_last(
    owner: AsyncConnection,
) -> None:
    cursor = await owner.execute(
        "SELECT proname, proconfig[1] FROM pg_proc"
        " WHERE prosecdef AND pronamespace = 'public'::regnamespace"
    )
    found: dict[str, str | None] = dict(await cursor.fetchall())
    assert "chain_audit_entry" in found
    for name, path in found.items():
        assert (path or "").endswith("pg_temp"), name


async def test_the_gateway_adds_entries_to_the_audit_log_and_deletes_only_old_ones(
    owner: AsyncConnection, own_url: str
) -> None:
    for days in (500, 450):
        await owner.execute(
            f"INSERT INTO audit_entries (stored_at, {ENTRY})"
            f" VALUES (now() - interval '{days} days', {VALUES})".encode()
        )
    async with await AsyncConnection.connect(role_url(own_url, "gateway")) as gateway:
        await gateway.execute(f"INSERT INTO audit_entries ({ENTRY}) VALUES ({VALUES})".encode())
        cursor = await gateway.execute("SELECT delete_old_audit_entries('400 days', 10)")
        assert await cursor.fetchone() == (2,)
        await gateway.commit()
        result = await chain.verify(gateway)
    assert (result.entries, result.broken) == (1, None)


async def test_setting_up_the_roles_again_changes_nothing(own_url: str) -> None:
    expected = [f"role flotilla_{service} up to date" for service in DATABASE_SERVICES]
    assert await roles.apply(own_url, logins(own_url)) == expected


async def test_privileges_that_are_not_listed_are_taken_back(
    owner: AsyncConnection, own_url: str
) -> None:
    for statement in (
        b"GRANT SELECT, UPDATE (username) ON users TO flotilla_shellproxy",
        b"GRANT SELECT ON vps TO flotilla_writer",  # it may read one column
        b"GRANT EXECUTE ON FUNCTION drop_chunks_before TO flotilla_writer",
        b"REVOKE INSERT ON gaps FROM flotilla_writer",
    ):
        await owner.execute(statement)
    lines = await roles.apply(own_url, logins(own_url))
    assert "role flotilla_writer updated: 1 privileges granted, 2 revoked" in lines
    assert "role flotilla_shellproxy updated: 0 privileges granted, 2 revoked" in lines
    for service in ("writer", "shellproxy"):
        assert await roles.granted(owner, role=f"flotilla_{service}") == grants.grants(service)


async def test_a_new_role_gets_its_password_and_privileges(new_role: str, own_url: str) -> None:
    login = Login("writer", new_role, secrets.token_hex(20))
    (line,) = await roles.apply(own_url, [login])
    assert line.startswith(f"role {new_role} created: ")
    own = role_url(own_url, "writer").replace("flotilla_writer", new_role)
    changed = Login("writer", new_role, secrets.token_hex(20))
    for current in (login, changed):
        await roles.apply(own_url, [current])
        async with await AsyncConnection.connect(own, password=current.password) as connection:
            found = await roles.granted(connection, role=new_role)
            assert Grant("vps", "id", "SELECT") in found


async def test_a_role_that_the_owner_cannot_change_only_gets_its_privileges(
    owner: AsyncConnection, own_url: str
) -> None:
    login = Login("writer", MANAGED_ROLE, "x" * 40)
    (line,) = await roles.apply(own_url, [login])
    assert line.startswith(f"role {MANAGED_ROLE} updated: ")
    assert await roles.granted(owner, role=MANAGED_ROLE) == grants.grants("writer")
    assert await roles.apply(own_url, [login]) == [f"role {MANAGED_ROLE} up to date"]


@pytest.mark.parametrize(
    ("role", "reason"),
    [("flotilla", "also that of the owner"), ("flotilla_rollup", "also that of the rollup")],
)
async def test_two_services_or_the_owner_cannot_share_a_role(
    own_url: str, role: str, reason: str
) -> None:
    with pytest.raises(RoleError, match=reason):
        await roles.apply(own_url, [*logins(own_url)[1:], Login("writer", role, "x" * 40)])


async def test_a_role_that_is_a_member_of_another_is_refused(new_role: str, own_url: str) -> None:
    login = Login("writer", new_role, secrets.token_hex(20))
    await roles.apply(own_url, [login])
    name = sql.Identifier(new_role)
    async with await AsyncConnection.connect(own_url, autocommit=True) as owner:
        await owner.execute(sql.SQL("GRANT flotilla_gateway TO {}").format(name))
    with pytest.raises(RoleError, match="is a member of another role"):
        await roles.apply(own_url, [login])


def test_an_address_without_a_password_is_refused() -> None:
    with pytest.raises(RoleError, match="no user or no password"):
        Login.of("writer", "postgresql://flotilla_writer@127.0.0.1/flotilla")
