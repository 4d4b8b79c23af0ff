"""`flotilla audit`, as an operator runs it."""

import json

import psycopg
import pytest

from tests.integration.cli.test_command import run

INSERT = (
    "INSERT INTO audit_entries (id, time, actor, action, object, detail, allowed, reason, peer)"
    " SELECT gen_random_uuid(), '2026-03-01T12:00:00Z', 'user:alice', 'file.delete', 'vps:1',"
    " '/srv/' || n || chr(27) || chr(8238), true, '', '' FROM generate_series(1, 5) n"
)


async def execute(url: str, *statements: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        for statement in statements:
            await connection.execute(statement.encode())


async def test_an_intact_log_is_verified_and_a_broken_one_is_named(database_url: str) -> None:
    environment = {"DATABASE_URL": database_url}
    status, out, _ = await run(environment, "audit", "verify")
    assert (status, out) == (
        0,
        f"0 entries checked, after entry 0; the chain is intact up to 0:{'0' * 64}.\n",
    )
    await execute(database_url, INSERT)
    status, out, _ = await run(environment, "audit", "verify")
    assert status == 0
    assert out.startswith("5 entries checked, after entry 0; the chain is intact up to 5:")
    link = out.split()[-1].rstrip(".")
    assert (await run(environment, "audit", "verify", "--expect", link))[0] == 0
    assert (await run(environment, "audit", "verify", "--expect", f"5:{'0' * 64}"))[0] == 1
    assert (await run(environment, "audit", "verify", "--since", "1h"))[0] == 0

    await execute(
        database_url,
        "ALTER TABLE audit_entries DISABLE TRIGGER USER",
        "UPDATE audit_entries SET actor = 'user:' || chr(27) WHERE seq = 3",
    )
    status, out, _ = await run(environment, "audit", "verify")
    assert status == 1
    assert out.startswith("BROKEN at entry 3: it was changed, moved or inserted (file.delete by")
    assert "\x1b" not in out
    assert "intact up to 2:" in out


async def test_the_log_is_exported_in_its_order(database_url: str) -> None:
    await execute(database_url, INSERT)
    status, out, _ = await run({"DATABASE_URL": database_url}, "audit", "export")
    assert status == 0
    entries = [json.loads(line) for line in out.splitlines()]
    assert [entry["seq"] for entry in entries] == [1, 2, 3, 4, 5]
    assert (entries[0]["actor"], entries[0]["time"]) == ("user:alice", "2026-03-01T12:00:00+00:00")
    assert "\x1b" not in out
    assert "\u202e" not in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("verify", "--since", "yesterday"), "neither a time"),
        (("verify", "--since", "99999999999d"), "neither a time"),
        (("verify", "--expect", "5"), "NUMBER:HASH"),
        (("export", "--since", ""), "neither a time"),
    ],
)
async def test_wrong_arguments_are_explained(arguments: tuple[str, ...], told: str) -> None:
    status, _, err = await run({"DATABASE_URL": "postgresql://nowhere"}, "audit", *arguments)
    assert (status, told in err) == (2, True), err
