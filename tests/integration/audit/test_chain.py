"""The chain of the audit log: nobody changes it unnoticed, and several writers extend one chain."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest
import pytest_asyncio

from services.gateway.audit import chain, store
from services.gateway.audit.chain import Link, Verification
from services.kit.database.migrate import migrate, migrations

COLUMNS = "id, time, actor, action, object, detail, allowed, reason, peer"
SWAP = (
    "UPDATE audit_entries SET seq = 0 WHERE seq = 4",
    "UPDATE audit_entries SET seq = 4 WHERE seq = 5",
    "UPDATE audit_entries SET seq = 5 WHERE seq = 0",
)
MOVE_UP = (
    "UPDATE audit_entries SET seq = seq + 1000 WHERE seq >= 5",
    "UPDATE audit_entries SET seq = seq - 999 WHERE seq >= 1000",
)
FORGED = (
    f"INSERT INTO audit_entries ({COLUMNS}, seq, stored_at, hash) SELECT gen_random_uuid(), time,"
    " 'user:eve', action, object, detail, allowed, reason, peer, %d, stored_at, hash"
    " FROM audit_entries WHERE seq = 4"
)


def entry(number: int = 0, *, id_: UUID | None = None) -> store.Entry:
    return store.Entry(
        id=id_ or uuid4(),
        time=datetime(2026, 3, 1, tzinfo=UTC) + timedelta(microseconds=number),
        actor="user:alice",
        action="file.delete",
        object="vps:1",
        detail=f"/srv/{number} ü \U0001f6a2",
        allowed=number % 2 == 0,
        reason="" if number % 2 == 0 else "not here",
        peer="192.0.2.1",
    )


class Log:
    def __init__(self, connection: psycopg.AsyncConnection) -> None:
        self.connection = connection

    async def add(self, entries: Sequence[store.Entry]) -> None:
        async with self.connection.transaction():
            await store.insert(self.connection, entries=entries)

    async def execute(self, *statements: str) -> None:
        for statement in statements:
            await self.connection.execute(statement.encode())

    async def tamper(self, *statements: str) -> None:
        """Execute statements as somebody who may switch the triggers off."""
        tables = ("audit_entries", "audit_chain")
        async with self.connection.transaction():
            await self.execute(*(f"ALTER TABLE {table} DISABLE TRIGGER USER" for table in tables))
            await self.execute(*statements)
            await self.execute(*(f"ALTER TABLE {table} ENABLE TRIGGER USER" for table in tables))

    async def verify(
        self, *, since: datetime | None = None, expected: Link | None = None
    ) -> Verification:
        return await chain.verify(self.connection, since=since, expected=expected)

    async def broken(self) -> tuple[int, str]:
        broken = (await self.verify()).broken
        assert broken is not None, "nothing was found"
        return broken.seq, broken.reason


@pytest_asyncio.fixture(loop_scope="session")
async def log(database_url: str) -> AsyncIterator[Log]:
    """A log with the entries 1 to 9."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        log = Log(connection)
        await log.add([entry(number) for number in range(1, 10)])
        yield log


async def test_the_chain_of_an_untouched_log_is_intact(log: Log) -> None:
    result = await log.verify()
    assert (result.entries, result.start, result.broken) == (9, Link(0, bytes(32)), None)
    assert result.head == await store.head(log.connection)


async def test_the_canonical_form_is_as_documented() -> None:
    canonical = f"64:{'0' * 64}1:12:é".encode()
    assert chain.entry_hash(bytes(32), ["1", "é"]) == hashlib.sha256(canonical).digest()
    assert chain.entry_hash(bytes(32), ["1", "é"]) != chain.entry_hash(bytes(32), ["1é", ""])


@pytest.mark.parametrize(
    "change",
    [
        "actor = 'user:bob'",
        "time = time + interval '1 microsecond'",
        "stored_at = stored_at - interval '1 microsecond'",
        "time = 'infinity'",
        "allowed = NOT allowed",
        "detail = ''",
        "reason = reason || ' '",
        "peer = '192.0.2.2'",
        "id = gen_random_uuid()",
        "action = action || object, object = ''",
        "hash = sha256('')",
    ],
)
async def test_a_changed_entry_is_named(log: Log, change: str) -> None:
    await log.tamper(f"UPDATE audit_entries SET {change} WHERE seq = 4")
    seq, reason = await log.broken()
    assert (seq, "was changed" in reason) == (4, True)


async def test_an_entry_that_was_changed_together_with_its_hash_breaks_the_next_one(
    log: Log,
) -> None:
    await log.tamper(
        "UPDATE audit_entries e SET actor = 'user:eve', hash = audit_hash(p.hash, e.seq, e.id,"
        " e.time, e.stored_at, 'user:eve', e.action, e.object, e.detail, e.allowed, e.reason, e.peer)"
        " FROM audit_entries p WHERE p.seq = 3 AND e.seq = 4"
    )
    assert (await log.broken())[0] == 5


@pytest.mark.parametrize(
    ("removed", "seq"), [("seq = 1", 1), ("seq IN (4, 5)", 4), ("seq = 9", 9), ("true", 1)]
)
async def test_a_removed_entry_is_named(log: Log, removed: str, seq: int) -> None:
    await log.tamper(f"DELETE FROM audit_entries WHERE {removed}")
    found, reason = await log.broken()
    assert (found, "missing" in reason) == (seq, True)


async def test_a_removed_end_is_found_in_spite_of_new_entries(log: Log) -> None:
    await log.tamper("DELETE FROM audit_entries WHERE seq = 9")
    await log.add([entry(10)])
    assert (await log.broken())[0] == 9


async def test_exchanged_entries_are_named(log: Log) -> None:
    await log.tamper(*SWAP)
    assert (await log.broken())[0] == 4


async def test_an_inserted_entry_is_named(log: Log) -> None:
    await log.tamper(*MOVE_UP, FORGED % 5)
    assert (await log.broken())[0] == 5


async def test_an_entry_inserted_at_the_end_is_named(log: Log) -> None:
    await log.tamper(FORGED % 10)
    assert (await log.broken())[0] == 10


async def test_a_chain_that_was_rewritten_does_not_have_a_noted_link(log: Log) -> None:
    noted = (await log.verify()).head
    await log.add([entry(10)])
    assert (await log.verify(expected=noted)).broken is None

    others = [entry(number) for number in range(1, 11)]
    await log.tamper(
        "DELETE FROM audit_entries",
        "UPDATE audit_chain SET head_seq = 0, head_hash = decode(repeat('00', 32), 'hex')",
    )
    await log.add(others)
    assert (await log.verify()).broken is None
    broken = (await log.verify(expected=noted)).broken
    assert broken is not None
    assert (broken.seq, "rewritten" in broken.reason) == (9, True)


async def test_a_log_that_was_cut_off_lacks_a_noted_link(log: Log) -> None:
    noted = (await log.verify()).head
    await log.tamper(
        "DELETE FROM audit_entries WHERE seq > 5",
        "UPDATE audit_chain SET (head_seq, head_hash) = (SELECT seq, hash FROM audit_entries"
        " WHERE seq = 5)",
    )
    assert (await log.verify()).broken is None
    broken = (await log.verify(expected=noted)).broken
    assert broken is not None
    assert broken.seq == 9


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entries SET detail = '' WHERE seq = 4",
        "DELETE FROM audit_entries WHERE seq = 4",
        "DELETE FROM audit_entries",
        "TRUNCATE audit_entries",
        "UPDATE audit_chain SET head_seq = 3",
        "UPDATE audit_chain SET deleted_seq = 100",
        "DELETE FROM audit_chain",
        "TRUNCATE audit_chain",
    ],
)
async def test_the_database_refuses_changes(log: Log, statement: str) -> None:
    with pytest.raises(
        (psycopg.errors.InsufficientPrivilege, psycopg.errors.CheckViolation)
    ) as raised:
        await log.execute(statement)
    assert "append-only" in str(raised.value) or "audit_chain" in str(raised.value)
    assert (await log.verify()).broken is None


async def test_an_entry_that_comes_again_is_stored_once(log: Log) -> None:
    first, second = entry(10), entry(11)
    await log.add([first, first])
    await log.add([first, second])
    assert (await log.verify()).entries == 11
    assert (await store.head(log.connection)).seq == 11


async def test_several_writers_extend_one_chain(log: Log, database_url: str) -> None:
    shared = [entry(number) for number in range(100)]

    async def write(start: int) -> None:
        async with await psycopg.AsyncConnection.connect(database_url) as connection:
            for step in range(10):
                own = [entry(number) for number in range(10)]
                place = (start + 10 * step) % 100
                await store.insert(connection, entries=[*own, *shared[place : place + 10]])
                await connection.commit()

    await asyncio.gather(*(write(30 * number) for number in range(4)))
    result = await log.verify()
    assert (result.entries, result.broken) == (9 + 4 * 100 + 100, None)


async def test_a_rolled_back_entry_leaves_no_gap(log: Log, database_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        await store.insert(connection, entries=[entry(10)])
        await connection.rollback()
    await log.add([entry(11)])
    result = await log.verify()
    assert (result.entries, result.broken) == (10, None)


async def test_only_recent_entries_are_verified(log: Log) -> None:
    now = datetime.now(UTC) + timedelta(seconds=1)
    await log.tamper("UPDATE audit_entries SET detail = 'forged' WHERE seq = 4")
    await log.execute(
        f"INSERT INTO audit_entries ({COLUMNS}, stored_at) SELECT gen_random_uuid(), time, actor,"
        " action, object, detail, allowed, reason, peer, now() + interval '1 minute'"
        " FROM audit_entries WHERE seq = 1"
    )
    assert (await log.broken())[0] == 4
    recent = await log.verify(since=now)
    assert (recent.entries, recent.start.seq, recent.broken) == (1, 9, None)
    none = await log.verify(since=now + timedelta(days=1))
    assert (none.entries, none.broken) == (0, None)


async def test_the_chain_is_intact_after_old_entries_were_deleted(log: Log) -> None:
    await log.tamper("DELETE FROM audit_entries", "DELETE FROM audit_chain")
    await log.execute("INSERT INTO audit_chain DEFAULT VALUES")
    for days in (900, 500, 3, 700, 1):  # the clock of the database was wrong for a while
        await log.execute(
            f"INSERT INTO audit_entries ({COLUMNS}, stored_at) VALUES (gen_random_uuid(), now(),"
            f" 'a', 'b', '', '', true, '', '', now() - interval '{days} days')"
        )
    async with log.connection.transaction():
        deleted = await store.delete_old(log.connection, keep=timedelta(days=400), limit=100)
    result = await log.verify()
    assert (deleted, result.entries, result.start.seq, result.broken) == (2, 3, 2, None)

    await log.tamper("DELETE FROM audit_entries WHERE seq = 3")
    assert (await log.broken())[0] == 3


async def test_entries_of_the_version_before_are_chained(empty_database_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(
        empty_database_url, autocommit=True
    ) as connection:
        await connection.execute("CREATE TABLE migrations (name text PRIMARY KEY)")
        for name, sql in migrations():
            if name >= "0050":
                break
            await connection.execute(sql.encode())
            await connection.execute("INSERT INTO migrations VALUES (%s)", [name])
        insert = (
            f"INSERT INTO audit_entries ({COLUMNS}) SELECT gen_random_uuid(),"
            " now() - n * interval '1 hour', 'user:alice', 'file.read', 'vps:1', n::text, true, '',"
            " '' FROM generate_series(1, 1000) n"
        )
        await connection.execute(insert.encode())
        await migrate(empty_database_url)
        # As a gateway of the version before adds one.
        await connection.execute(
            f"INSERT INTO audit_entries ({COLUMNS}) VALUES (gen_random_uuid(), now(), 'a', 'b', '',"
            " '', true, '', '') ON CONFLICT (id) DO NOTHING".encode()
        )
        result = await chain.verify(connection)
        assert (result.entries, result.broken) == (1001, None)
        newest = await store.listed(connection, store.Filters(), before=1001, limit=2)
        assert [stored.detail for stored in newest] == ["1", "2"]
