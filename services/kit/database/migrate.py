"""Migrations: numbered files of plain SQL, forward only, each in its own transaction."""

from importlib.resources import files

import psycopg

from services.kit.errors import FlotillaError

LOCK = 0x666C6F74  # "flot", for pg_advisory_lock
CONNECT_TIMEOUT = 5  # seconds
LOCK_TIMEOUT = "4s"  # a migration must not make other transactions wait behind it for long


class MigrationError(FlotillaError):
    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"Migration {name} failed: {reason}.")
        self.name = name


def migrations() -> list[tuple[str, str]]:
    """Return name and SQL of each migration, in order."""
    folder = files("services.kit.database") / "migrations"
    return sorted(
        (entry.name.removesuffix(".sql"), entry.read_text())
        for entry in folder.iterdir()
        if entry.name.endswith(".sql")
    )


async def migrate(url: str) -> list[str]:
    """Apply the missing migrations and return their names. Other instances wait until this ends.

    Raises:
        MigrationError: a migration failed and was rolled back; those before it stay applied.
    """
    applied = []
    async with await psycopg.AsyncConnection.connect(
        url, autocommit=True, connect_timeout=CONNECT_TIMEOUT
    ) as connection:
        await connection.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations"
            " (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        cursor = await connection.execute("SELECT name FROM migrations")
        known = {name for (name,) in await cursor.fetchall()}
        for name, sql in migrations():
            if name in known:
                continue
            try:
                async with connection.transaction():
                    await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
                    await connection.execute(sql.encode())
                    await connection.execute("INSERT INTO migrations (name) VALUES (%s)", [name])
            except psycopg.Error as error:
                raise MigrationError(name, str(error)) from error
            applied.append(name)
    return applied
