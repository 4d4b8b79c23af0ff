"""Forward-only migrations: plain SQL, numbered, each in a transaction of its own."""

from importlib.resources import files

import psycopg

from services.kit.errors import FlotillaError

LOCK = 0x666C6F74  # "flot", for pg_advisory_lock
LOCK_TIMEOUT = "4s"  # a migration never queues long behind traffic


class MigrationError(FlotillaError):
    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"migration {name} failed: {reason}")
        self.name = name


def migrations() -> list[tuple[str, str]]:
    """Name and SQL of each, in order."""
    folder = files("services.kit") / "migrations"
    return sorted(
        (entry.name.removesuffix(".sql"), entry.read_text())
        for entry in folder.iterdir()
        if entry.name.endswith(".sql")
    )


async def migrate(url: str) -> list[str]:
    """Apply what is missing, one instance at a time; the names that were applied.

    Raises:
        MigrationError: one failed and was rolled back; those before it stand.
    """
    applied = []
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
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
