"""The hash chain of the audit log. docs/security.md describes it for other implementations.

The database computes the hashes when entries are stored. `verify` computes them again, so that a
changed function of the database does not hide a changed entry.
"""

import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import AsyncConnection, sql
from psycopg.rows import class_row

FETCHED = 2_000  # entries per round trip


@dataclass(frozen=True, slots=True)
class Link:
    """The number and the hash of an entry. Together they prove everything before it."""

    seq: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash.hex()}"

    @classmethod
    def parse(cls, text: str) -> "Link":
        """Parse `<number>:<hash>`. Raises: ValueError."""
        seq, _, digest = text.partition(":")
        link = cls(int(seq), bytes.fromhex(digest))
        if link.seq < 0 or len(link.hash) != hashlib.sha256().digest_size:
            raise ValueError(f"{text} is not a link")
        return link


@dataclass(frozen=True, slots=True)
class Break:
    """The first entry that is not as it was stored."""

    seq: int
    reason: str


@dataclass(frozen=True, slots=True)
class Verification:
    entries: int
    """Number of entries that were checked."""
    start: Link
    """The link before the first checked entry, which is trusted."""
    head: Link
    """The newest entry, or `start` if there is none."""
    broken: Break | None


@dataclass(frozen=True, slots=True)
class _Row:
    seq: int
    hash: bytes
    id: str
    time: str
    stored_at: str
    actor: str
    action: str
    object: str
    detail: str
    allowed: str
    reason: str
    peer: str
    shown_time: str

    @property
    def fields(self) -> Sequence[str]:
        """The fields of the canonical form, in its order, after the hash of the entry before."""
        return (
            str(self.seq),
            self.id,
            self.time,
            self.stored_at,
            self.actor,
            self.action,
            self.object,
            self.detail,
            self.allowed,
            self.reason,
            self.peer,
        )

    def __str__(self) -> str:
        return f"{self.action} by {self.actor} at {self.shown_time}, id {self.id}"


def entry_hash(previous: bytes, fields: Sequence[str]) -> bytes:
    """Return the SHA-256 of an entry's canonical form; `previous` is the hash of the one before."""
    digest = hashlib.sha256()
    for field in (previous.hex(), *fields):
        encoded = field.encode()
        digest.update(b"%d:%s" % (len(encoded), encoded))
    return digest.digest()


async def verify(
    connection: AsyncConnection, *, since: datetime | None = None, expected: Link | None = None
) -> Verification:
    """Check the entries in their order, and that none is missing.

    With `since`, check only entries that were stored from then on. `expected` is a link that was
    noted earlier: the entry with its number must still have its hash. Opens a transaction.
    """
    async with connection.transaction():
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        head, deleted = await _ends(connection)
        start = deleted if since is None else await _link_before(connection, since, head)
        last, entries, broken = start, 0, _mismatch(start, expected)
        if broken is None:
            async for row in _rows(connection, start.seq):
                broken = _check(last, row) or _mismatch(Link(row.seq, row.hash), expected)
                if broken is not None:
                    break
                last, entries = Link(row.seq, row.hash), entries + 1
        if broken is None and last != head:
            broken = Break(last.seq + 1, f"it is missing: the chain ends with {head.seq}")
        if broken is None and expected is not None and expected.seq > head.seq:
            broken = Break(expected.seq, "it is missing: it was noted, and is no longer there")
    return Verification(entries, start, last, broken)


async def _ends(connection: AsyncConnection) -> tuple[Link, Link]:
    cursor = await connection.execute(
        "SELECT head_seq, head_hash, deleted_seq, deleted_hash FROM audit_chain"
    )
    row = await cursor.fetchone()
    if row is None:  # only somebody who removed the triggers can delete it
        return Link(0, bytes(32)), Link(0, bytes(32))
    return Link(row[0], bytes(row[1])), Link(row[2], bytes(row[3]))


async def _link_before(connection: AsyncConnection, since: datetime, head: Link) -> Link:
    """Return the link before the first entry that was stored at `since` or later."""
    cursor = await connection.execute(
        "SELECT seq, hash FROM audit_entries WHERE seq < coalesce((SELECT min(seq)"
        " FROM audit_entries WHERE stored_at >= %(since)s), %(head)s + 1)"
        " UNION ALL SELECT deleted_seq, deleted_hash FROM audit_chain ORDER BY seq DESC LIMIT 1",
        {"since": since, "head": head.seq},
    )
    row = await cursor.fetchone()
    return Link(0, bytes(32)) if row is None else Link(row[0], bytes(row[1]))


async def _rows(connection: AsyncConnection, after: int) -> AsyncIterator[_Row]:
    # Times as text: a forged one may have no representation in Python.
    query = sql.SQL(
        "SELECT seq, hash, id::text AS id,"
        " trunc(extract(epoch FROM time) * 1000000)::text AS time,"
        " trunc(extract(epoch FROM stored_at) * 1000000)::text AS stored_at,"
        " actor, action, object, detail,"
        " CASE WHEN allowed THEN 'allowed' ELSE 'refused' END AS allowed, reason, peer,"
        " to_char(time AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS shown_time"
        " FROM audit_entries WHERE seq > %s ORDER BY seq"
    )
    async with connection.cursor("audit_chain", row_factory=class_row(_Row)) as cursor:
        cursor.itersize = FETCHED
        await cursor.execute(query, [after])
        async for row in cursor:
            yield row


def _check(last: Link, row: _Row) -> Break | None:
    """Compare an entry with the link before it."""
    if row.seq != last.seq + 1:
        return Break(last.seq + 1, f"it is missing: the next entry is {row.seq} ({row})")
    if bytes(row.hash) != entry_hash(last.hash, row.fields):
        return Break(row.seq, f"it was changed, moved or inserted ({row})")
    return None


def _mismatch(link: Link, expected: Link | None) -> Break | None:
    if expected is None or link.seq != expected.seq or link.hash == expected.hash:
        return None
    return Break(link.seq, "its hash is not the one that was noted: the chain was rewritten")
