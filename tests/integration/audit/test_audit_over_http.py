"""The audit log over HTTP, and how long it is kept."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from services.gateway import maintenance
from services.gateway.audit import export
from services.gateway.audit import store as audit_store
from services.kit.database import pool as database
from services.kit.health import Health
from services.kit.settings import DatabaseSettings
from tests.fixtures.waiting import until
from tests.fixtures.world import World


async def test_old_entries_are_deleted_in_steps(own_world: World) -> None:
    settings = own_world.settings(DatabaseSettings)
    await own_world.sql(
        "INSERT INTO audit_entries (id, time, actor, action, object, detail, allowed, reason, peer,"
        " stored_at) SELECT gen_random_uuid(), now(), 'anonymous', 'old.thing', '', '', true, '', '',"
        " now() - interval '500 days' FROM generate_series(1, 25)"
    )
    async with database.open_pool(settings, Health("gateway"), size=1) as pool:
        deleted = []
        for _ in range(4):
            async with database.transaction(pool) as connection:
                deleted.append(
                    await audit_store.delete_old(connection, keep=maintenance.KEEP_AUDIT, limit=10)
                )
    assert deleted == [10, 10, 5, 0]


async def test_the_audit_log_is_for_administrators_and_records_what_was_refused(
    world: World,
) -> None:
    owner, stranger, admin = [await world.user(role) for role in ("member", "member", "admin")]
    vps_id = (await owner.post("/vps", json={"name": "box"})).json()["id"]
    me = (await stranger.get("/auth/me")).json()
    assert (await stranger.get("/audit")).status_code == 403
    assert (await stranger.get(f"/vps/{vps_id}")).status_code == 404

    async def found(**filters: str) -> list[dict[str, Any]]:
        page = (await admin.get("/audit", params=filters)).json()
        assert page["total"] == len(page["items"])
        return list(page["items"])

    async def all_there() -> bool:
        return len(await found(actor=f"user:{me['id']}")) == 3

    await until(all_there)
    newest, before, first = await found(actor=f"user:{me['id']}")
    assert (first["action"], first["allowed"]) == ("session.login", True)
    assert (before["action"], before["allowed"]) == ("audit.read", False)
    assert (newest["action"], newest["object"]) == ("vps.read", f"vps:{vps_id}")
    assert {entry["username"] for entry in (newest, before, first)} == {me["username"]}

    async def added() -> list[dict[str, Any]] | None:
        entries = await found(object=f"vps:{vps_id}")
        return [entry for entry in entries if entry["action"] == "vps.create"] or None

    (entry,) = await until(added) or []
    assert entry["actor"] == f"user:{(await owner.get('/auth/me')).json()['id']}"


START = datetime(2026, 3, 1, 12, tzinfo=UTC)
FORMULA = "=HYPERLINK(1)"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def admin(world: World) -> httpx.AsyncClient:
    """An administrator, in a world with six known entries of the kind "seen"."""
    admin = await world.user("admin")
    user_id = (await admin.get("/auth/me")).json()["id"]
    vps_id = (await admin.post("/vps", json={"name": "seen-box"})).json()["id"]
    rows = [
        ("user:" + user_id, "seen.one", "vps:" + vps_id, "/srv/100%", True, ""),
        ("user:" + user_id, "seen.two", "vps:" + vps_id, "/srv/100x", False, "not the owner"),
        ("anonymous", "seen.two", "", "bad\x1b[31m\u202e", False, "no token"),
        ("user:" + str(uuid4()), "seen.three", "vps:" + str(uuid4()), "", True, ""),
        ("console", "seen.three", "vps:none", FORMULA, True, "it, failed"),
        ("console", "seenless.one", "", "", True, ""),
    ]
    for number, (actor, action, object_, detail, allowed, reason) in enumerate(rows):
        await world.sql(
            "INSERT INTO audit_entries (id, time, actor, action, object, detail, allowed, reason,"
            " peer) VALUES (gen_random_uuid(), %(t)s, %(a)s, %(c)s, %(o)s, %(d)s, %(w)s, %(r)s,"
            " '192.0.2.7')",
            t=START + timedelta(minutes=number),
            a=actor,
            c=action,
            o=object_,
            d=detail,
            w=allowed,
            r=reason,
        )
    return admin


async def details(admin: httpx.AsyncClient, **filters: str) -> list[str]:
    """The details of the known entries that match, oldest first."""
    answer = await admin.get("/audit", params={"action": "seen", **filters})
    assert answer.status_code == 200, answer.text
    return [entry["detail"] for entry in reversed(answer.json()["items"])]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"action": "seen.one,seenless"}, [0, 5]),
        ({"action": "see"}, []),
        ({"allowed": "true"}, [0, 3, 4]),
        ({"allowed": "false"}, [1, 2]),
        ({"actor": "anonymous"}, [2]),
        ({"object": "seen-box"}, [0, 1]),
        ({"text": "100%"}, [0]),
        ({"text": "OWNER"}, [1]),
        ({"text": "192.0.2.7", "allowed": "false"}, [1, 2]),
        ({"since": "2026-03-01T12:02:00Z"}, [2, 3, 4]),
        ({"since": "2026-03-01T12:01:00", "until": "2026-03-01T13:03:00+01:00"}, [1, 2]),
    ],
)
async def test_filters_select_entries(
    admin: httpx.AsyncClient, filters: dict[str, str], found: list[int]
) -> None:
    texts = ["/srv/100%", "/srv/100x", "bad\x1b[31m\u202e", "", FORMULA, ""]
    assert await details(admin, **filters) == [texts[number] for number in found]


async def test_users_and_servers_have_names_beside_their_ids(admin: httpx.AsyncClient) -> None:
    me = (await admin.get("/auth/me")).json()
    assert await details(admin, actor=me["username"].upper()) == ["/srv/100%", "/srv/100x"]
    assert await details(admin, actor=f"user:{me['id']}") == ["/srv/100%", "/srv/100x"]
    page = (await admin.get("/audit", params={"action": "seen"})).json()
    names = [(entry["username"], entry["object_name"]) for entry in reversed(page["items"])]
    assert names == [
        (me["username"], "seen-box"),
        (me["username"], "seen-box"),
        (None, None),
        (None, None),
        (None, None),
    ]


async def test_pages_do_not_shift_when_entries_are_added(
    admin: httpx.AsyncClient, world: World
) -> None:
    seen: list[int] = []
    query: dict[str, Any] = {"action": "seen", "limit": 2}
    while True:
        page = (await admin.get("/audit", params=query)).json()
        seen += [entry["seq"] for entry in page["items"]]
        await world.anonymous().get("/vps")
        if page["next_before"] is None:
            break
        query["before"] = page["next_before"]
    assert len(seen) == 5
    assert seen == sorted(set(seen), reverse=True)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"since": "2026-03-02", "until": "2026-03-01"}, "since"),
        ({"allowed": "perhaps"}, "allowed"),
        ({"before": "0"}, "before"),
        ({"action": "file'; DROP TABLE"}, "action"),
        ({"text": "x" * 201}, "text"),
        ({"secret": "1"}, "secret"),
    ],
)
async def test_wrong_filters_are_named(
    admin: httpx.AsyncClient, query: dict[str, str], field: str
) -> None:
    for path in ("/audit", "/audit/export"):
        answer = await admin.get(path, params=query)
        assert answer.status_code == 422, answer.text
        assert field in [error["field"] for error in answer.json()["errors"]]


async def test_an_export_has_the_selected_entries_and_is_audited(
    admin: httpx.AsyncClient, world: World
) -> None:
    query = {"action": "seen"}
    page = (await admin.get("/audit", params=query)).json()
    answer = await admin.get("/audit/export", params=query)
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert "link" not in answer.headers
    assert [json.loads(line) for line in answer.text.splitlines()] == page["items"]

    answer = await admin.get("/audit/export", params={**query, "format": "csv"})
    assert answer.headers["content-disposition"].endswith('.csv"')
    assert "\x1b" not in answer.text
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["seq"] for row in rows] == [str(entry["seq"]) for entry in page["items"]]
    assert [row["detail"] for row in reversed(rows)] == [
        "/srv/100%",
        "/srv/100x",
        "bad\\x1b[31m\u202e",
        "",
        f"'{FORMULA}",
    ]
    me = (await admin.get("/auth/me")).json()["id"]

    async def audited() -> bool:
        found = await world.sql(
            "SELECT detail FROM audit_entries WHERE actor = %(a)s AND action = 'audit.export'",
            a=f"user:{me}",
        )
        return sorted(found) == [("csv",), ("ndjson",)]

    await until(audited)


async def test_a_long_export_says_where_it_continues(
    admin: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "MAX_ENTRIES", 3)
    monkeypatch.setattr(export, "STEP", 2)
    first = await admin.get("/audit/export", params={"action": "seen", "allowed": "true"})
    assert "link" not in first.headers
    first = await admin.get("/audit/export", params={"action": "seen"})
    assert len(first.text.splitlines()) == 3
    address = first.headers["link"].partition(">")[0].lstrip("<")
    second = await admin.get(address.removeprefix("/api/v1"))
    seqs = [
        json.loads(line)["seq"] for line in [*first.text.splitlines(), *second.text.splitlines()]
    ]
    assert len(seqs) == 5
    assert seqs == sorted(set(seqs), reverse=True)


async def test_the_audit_log_is_exported_by_administrators_only(world: World) -> None:
    member = await world.user("member")
    assert (await member.get("/audit/export")).status_code == 403
    assert (await world.anonymous().get("/audit/export")).status_code == 401


async def test_a_failed_log_in_names_the_account_and_never_the_password(
    admin: httpx.AsyncClient, world: World
) -> None:
    me = (await admin.get("/auth/me")).json()
    body = {"username": me["username"], "password": "canary-password"}
    assert (await world.anonymous().post("/auth/login", json=body)).status_code == 401
    stranger = {"username": "canary-name", "password": "canary-password"}
    assert (await world.anonymous().post("/auth/login", json=stranger)).status_code == 401

    async def named() -> Any:
        page = (await admin.get("/audit", params={"object": me["username"]})).json()
        return page["items"] or None

    (entry, *_) = await until(named) or []
    assert (entry["action"], entry["allowed"]) == ("session.login", False)
    assert (entry["object_name"], entry["detail"]) == (me["username"], me["username"])
    everything = await world.sql("SELECT to_jsonb(a)::text FROM audit_entries a")
    assert "canary" not in str(everything)
