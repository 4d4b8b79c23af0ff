"""The history of commands, and commands of gateways of the previous version, become runs."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest_asyncio

from services.kit.database.migrate import migrate, migrations

# The statements of the previous version.
INSERT = (
    "INSERT INTO commands (id, vps_id, user_id, username, script, request, timeout_seconds, lost_at)"
    " VALUES (%(id)s, %(vps)s, %(user)s, 'somebody', 'true', %(request)s, 60,"
    " now() + interval '1 hour')"
)
FINISH = (
    "UPDATE commands SET status = %(status)s, exit_code = %(exit_code)s, stdout = %(stdout)s,"
    " stderr = %(stderr)s, truncated = true, reason = %(reason)s, finished_at = now(),"
    " request = NULL WHERE id = %(id)s AND status IN ('running', 'lost') RETURNING id"
)
BEAT = (
    "UPDATE commands SET followed_at = '2020-01-01' WHERE id = ANY(%(ids)s) AND status = 'running'"
)


class Commands:
    def __init__(self, connection: psycopg.AsyncConnection, user: UUID, vps: UUID) -> None:
        self.connection = connection
        self.user = user
        self.vps = vps

    async def begin(self) -> UUID:
        command_id = uuid4()
        await self.connection.execute(
            INSERT,
            {"id": command_id, "vps": self.vps, "user": self.user, "request": b"signed"},
        )
        return command_id

    async def finish(self, command_id: UUID, **fields: Any) -> None:
        defaults = {"status": "finished", "exit_code": 0, "stdout": "", "stderr": "", "reason": ""}
        cursor = await self.connection.execute(FINISH, {"id": command_id, **defaults, **fields})
        assert cursor.rowcount == 1

    async def run(self, run_id: UUID) -> tuple[Any, ...]:
        cursor = await self.connection.execute(
            "SELECT r.status, s.status, s.exit_code, s.reason, s.truncated, s.request,"
            " r.user_id, r.next_position FROM runs r JOIN run_servers s ON s.run_id = r.id"
            " WHERE r.id = %s",
            [run_id],
        )
        (row,) = await cursor.fetchall()
        return row

    async def lines(self, run_id: UUID) -> list[tuple[int, str, str]]:
        cursor = await self.connection.execute(
            "SELECT position, stream, data FROM run_output WHERE run_id = %s ORDER BY position",
            [run_id],
        )
        return await cursor.fetchall()


@pytest_asyncio.fixture(loop_scope="session")
async def commands(empty_database_url: str) -> AsyncIterator[Commands]:
    """The schema of the previous version, with a server in it."""
    async with await psycopg.AsyncConnection.connect(
        empty_database_url, autocommit=True
    ) as connection:
        await connection.execute("CREATE TABLE migrations (name text PRIMARY KEY)")
        for name, sql in migrations():
            if name >= "0019":
                break
            await connection.execute(sql.encode())
            await connection.execute("INSERT INTO migrations VALUES (%s)", [name])
        cursor = await connection.execute(
            "INSERT INTO users (username, password_hash, role) VALUES ('somebody', '', 'member')"
            " RETURNING id"
        )
        ((user,),) = await cursor.fetchall()
        cursor = await connection.execute(
            "INSERT INTO vps (user_id, name) VALUES (%s, 'box') RETURNING id", [user]
        )
        ((vps,),) = await cursor.fetchall()
        yield Commands(connection, user, vps)


async def test_the_history_is_kept_as_runs_on_one_server(
    commands: Commands, empty_database_url: str
) -> None:
    ended, refused, runs_still = [await commands.begin() for _ in range(3)]
    await commands.finish(ended, exit_code=3, stdout="out\n", stderr="err\n")
    await commands.finish(refused, status="refused", exit_code=None, reason="not here")

    await migrate(empty_database_url)

    assert await commands.run(ended) == (
        *("finished", "finished", 3, "", True, None),
        *(commands.user, 4),
    )
    lines = await commands.lines(ended)
    assert lines[1:3] == [(1, "stdout", "out\n"), (2, "stderr", "err\n")]
    assert json.loads(lines[3][2]) == {
        "status": "finished",
        "exit_code": 3,
        "truncated": True,
        "reason": "",
    }
    assert (await commands.run(refused))[:4] == ("failed", "failed", None, "not here")
    assert (await commands.run(runs_still))[:6] == (
        "running",
        "running",
        None,
        "",
        False,
        b"signed",
    )


async def test_a_gateway_of_the_version_before_still_works_and_its_scripts_become_runs(
    commands: Commands, empty_database_url: str
) -> None:
    await migrate(empty_database_url)
    command_id = await commands.begin()
    await commands.connection.execute(BEAT, {"ids": [command_id]})
    cursor = await commands.connection.execute(
        "SELECT followed_at < now() - interval '1 year' FROM runs WHERE id = %s", [command_id]
    )
    assert await cursor.fetchall() == [(True,)]
    assert (await commands.run(command_id))[0] == "running"

    await commands.finish(command_id, status="lost", exit_code=None, stdout="so far")
    await commands.finish(command_id, stdout="so far and on")

    assert (await commands.run(command_id))[:3] == ("lost", "lost", None)
    assert [line[:2] for line in await commands.lines(command_id)] == [
        (0, "status"),
        (1, "stdout"),
        (3, "status"),
    ]
