"""Files of a server over HTTP: gateway, bus, edge and a real agent."""

import hashlib
import os
from pathlib import Path

import httpx
import pytest

from services.gateway.api.problem_types import ProblemType
from tests.fixtures import programs
from tests.fixtures.agent.file_actions import names
from tests.fixtures.file_server import FileServer, audited, problem, served
from tests.fixtures.world import World

PIECE = 256 * 1024  # bytes


async def test_folders_are_listed_and_changed(world: World, server: FileServer) -> None:
    root = server.root
    (root / "b.txt").write_text("b")
    os.chown(root / "b.txt", 65534, 54321)
    (root / "link").symlink_to("b.txt")
    made = (await server.post("/mkdir", path=root / "a")).json()
    assert (made["name"], made["kind"], made["mode"]) == ("a", "directory", 0o755)

    listing = (await server.get("", root)).json()
    assert (listing["path"], listing["truncated"]) == (str(root), False)
    assert [entry["name"] for entry in listing["entries"]] == ["a", "b.txt", "link"]
    file = listing["entries"][1]
    assert (file["owner"], file["group"], file["size_bytes"]) == ("nobody", "", 1)
    assert file["modified_at"].endswith("Z")
    assert listing["entries"][2]["link_target"] == "b.txt"
    assert (await server.get("/stat", root / "b.txt")).json() == file

    checked = (await server.get("/checksum", root / "b.txt")).json()
    assert checked["sha256"] == hashlib.sha256(b"b").hexdigest()
    for what, body in (
        ("/rename", {"path": root / "b.txt", "destination": root / "c"}),
        ("/copy", {"path": root / "c", "destination": root / "a/d"}),
        ("/chmod", {"path": root / "c", "mode": 0o600}),
        ("/chown", {"path": root / "c", "owner": "root", "group": "0"}),
        ("/archive", {"path": root, "names": ["a", "c"], "destination": root / "x.tar.gz"}),
        ("/extract", {"path": root / "x.tar.gz", "destination": root / "out"}),
    ):
        answer = await server.post(what, **body)
        assert answer.status_code == 200, answer.text
    assert (root / "out/a/d").read_text() == "b"
    assert (root / "c").stat().st_mode & 0o777 == 0o600

    params = {"path": str(root / "out"), "recursive": "true"}
    assert (await server.user.delete(server.files, params=params)).status_code == 204
    assert not (root / "out").exists()
    entry = await audited(world, server.vps_id, "file.rename", str(root))
    assert entry["allowed"] is True
    assert entry["detail"] == f"{root}/b.txt → {root}/c"


@pytest.mark.parametrize("path", ["ROOT/../outside", "/etc/passwd", "ROOT/out/passwd"])
async def test_a_path_that_leads_out_is_in_the_audit_trail(
    world: World, server: FileServer, path: str
) -> None:
    (server.root / "out").symlink_to("/etc")
    asked = path.replace("ROOT", str(server.root))
    detail = (await server.get("", asked)).json()["detail"]
    entry = await audited(world, server.vps_id, "file.list", asked)
    assert (entry["allowed"], entry["reason"]) == (False, detail)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("ROOT/none", 404),
        ("ROOT/../outside", 422),
        ("/etc/passwd", 403),
        ("ROOT/out/passwd", 403),
        ("relative", 422),
        ("", 422),
        ("/" + "x" * 5000, 422),
        ("/a\0b", 422),
    ],
)
async def test_paths_that_lead_elsewhere_are_refused(
    server: FileServer, path: str, status: int
) -> None:
    (server.root / "out").symlink_to("/etc")
    asked = path.replace("ROOT", str(server.root))
    for what in ("", "/stat", "/checksum", "/content", "/download"):
        problem(await server.get(what, asked), status)
    answers = [
        await server.post("/mkdir", path=asked),
        await server.user.delete(server.files, params={"path": asked}),
        await server.user.put(
            f"{server.files}/content",
            params={"path": asked},
            json={"content": "x", "version": "x"},
        ),
    ]
    # A new folder or file can be created.
    refused = [answer.status_code for answer in answers if status != 404]
    assert set(refused) <= {status, 404}


async def test_a_path_in_json_that_is_no_text_is_refused(server: FileServer) -> None:
    for path in ('"/\\ud800"', '"/a\\u0000b"', "7", "null"):
        answer = await server.user.post(
            f"{server.files}/mkdir",
            content=f'{{"path": {path}}}',
            headers={"Content-Type": "application/json"},
        )
        assert answer.status_code in {400, 422}, answer.text


async def test_a_text_is_edited_unless_it_was_changed_meanwhile(
    world: World, server: FileServer
) -> None:
    path = server.root / "conf"
    params = {"path": str(path)}
    url = f"{server.files}/content"
    made = await server.user.put(url, params=params, json={"content": "one ä\n", "version": None})
    assert made.status_code == 200, made.text
    problem(await server.user.put(url, params=params, json={"content": "", "version": None}), 409)

    read = (await server.get("/content", path)).json()
    assert read == {
        "path": str(path),
        "content": "one ä\n",
        "version": made.json()["version"],
        "size_bytes": 7,
    }
    path.chmod(0o640)
    stale = {"content": "two", "version": read["version"]}
    assert "changed in the meantime" in problem(
        await server.user.put(url, params=params, json=stale), 409
    )
    fresh = {"content": "two", "version": (await server.get("/stat", path)).json()["version"]}
    assert (await server.user.put(url, params=params, json=fresh)).json()["mode"] == 0o640
    assert path.read_text() == "two"
    assert [name.name for name in server.root.iterdir()] == ["conf"]
    assert (await audited(world, server.vps_id, "file.edit", str(path)))["allowed"] is True


async def test_only_texts_of_a_bearable_size_are_edited(server: FileServer) -> None:
    path = server.root / "f"
    text = "ä" * 1000 + "\x01" * (1024 * 1024 - 2000)
    path.write_text(text)
    assert (await server.get("/content", path)).json()["content"] == text
    version = (await server.get("/stat", path)).json()["version"]
    body = {"content": text[::-1], "version": version}
    put = await server.user.put(f"{server.files}/content", params={"path": str(path)}, json=body)
    assert put.status_code == 200, put.text
    assert path.read_text() == text[::-1]

    path.write_bytes(bytes(1024 * 1024 + 1))
    problem(await server.get("/content", path), 413)
    for content in (b"\xff\xfe", b"a\0b"):
        path.write_bytes(content)
        problem(await server.get("/content", path), 422)
    body = {"content": "x" * (1024 * 1024 + 1), "version": version}
    put = await server.user.put(f"{server.files}/content", params={"path": str(path)}, json=body)
    problem(put, 413)


async def test_anothers_server_is_not_there(world: World, server: FileServer) -> None:
    (server.root / "f").write_text("f")
    stranger = FileServer(await world.user("member"), server.vps_id, server.root)
    answers = [
        await stranger.get("", server.root),
        await stranger.get("/download", server.root / "f"),
        await stranger.post("/download-tickets", path=server.root / "f"),
        await stranger.upload(server.root / "g", b"x"),
        await stranger.user.delete(stranger.files, params={"path": str(server.root / "f")}),
        await stranger.user.head(
            f"{server.files}/download", params={"path": str(server.root / "f")}
        ),
    ]
    assert [answer.status_code for answer in answers] == [404] * 6
    anonymous = await world.anonymous().head(
        f"{server.files}/download", params={"path": str(server.root / "f")}
    )
    assert anonymous.status_code == 401
    assert [entry.name for entry in server.root.iterdir()] == ["f"]


async def test_a_host_that_only_lets_read_says_how_to_allow_more(
    world: World, tmp_path: Path
) -> None:
    reader, program = await served(world, tmp_path, "read")
    try:
        (reader.root / "f").write_text("f")
        assert (await reader.get("/content", reader.root / "f")).json()["content"] == "f"
        refused = [
            await reader.upload(reader.root / "g", b"x"),
            await reader.post("/mkdir", path=reader.root / "d"),
            await reader.user.delete(reader.files, params={"path": str(reader.root / "f")}),
        ]
        for answer in refused:
            assert 'files = "write"' in problem(answer, 403)
        entry = await audited(world, reader.vps_id, "file.upload", "g")
        assert (entry["allowed"], 'files = "write"' in entry["reason"]) == (False, True)
        assert [entry.name for entry in reader.root.iterdir()] == ["f"]
    finally:
        program.kill()


async def test_an_offline_server_is_said_at_once(world: World) -> None:
    user = await world.user("member")
    vps_id = (await user.post("/vps", json={"name": "away"})).json()["id"]
    away = FileServer(user, vps_id, Path("/srv"))
    answers = [
        await away.get("", "/srv"),
        await away.get("/content", "/srv/f"),
        await away.get("/download", "/srv/f"),
        await away.upload(Path("/srv/f"), b"x"),
        await away.post("/mkdir", path="/srv/d"),
    ]
    told = [(answer.status_code, answer.json()["type"]) for answer in answers]
    assert told == [(409, ProblemType.AGENT_OFFLINE)] * 5


async def test_what_configures_the_agent_is_not_reached_through_it(
    world: World, tmp_path: Path
) -> None:
    user = await world.user("member")
    vps_id, program = await programs.enrolled_agent(
        *(user, tmp_path),
        policy='files = "write"\nfile_roots = ["/"]\n',
        authority=world.certificates / "ca.pem",
        command_key=world.command_key,
    )
    try:
        for name in ("config.toml", "policy.toml", "state/identity.json"):
            path = tmp_path / name
            before = path.read_bytes()
            answer = await user.put(
                f"/vps/{vps_id}/files/content",
                params={"path": str(path)},
                json={"content": "[[collector]]\ncommand = ['/bin/evil']\n", "version": None},
            )
            assert "agent's own" in problem(answer, 403)
            reading = await user.get(f"/vps/{vps_id}/files/content", params={"path": str(path)})
            assert "agent's own" in problem(reading, 403)
            assert path.read_bytes() == before
    finally:
        program.kill()


async def test_a_checksum_ends_when_its_client_leaves(server: FileServer) -> None:
    huge, small = server.root / "huge", server.root / "small"
    huge.touch()
    os.truncate(huge, 1 << 40)
    small.write_bytes(b"small")
    parameters = {"path": str(huge)}
    for _ in range(3):  # more than the agent computes at the same time
        with pytest.raises(httpx.ReadTimeout):
            await server.user.get(f"{server.files}/checksum", params=parameters, timeout=0.5)

    checked = (await server.get("/checksum", small)).json()
    assert checked["sha256"] == hashlib.sha256(b"small").hexdigest()


async def test_names_that_are_not_utf8_are_listed_and_worked_with(server: FileServer) -> None:
    raw = server.root / "d\udcff"
    raw.mkdir()
    (raw / "touch\udce9.txt").write_text("one")
    (folder,) = (await server.get("", server.root)).json()["entries"]
    inside = f"{server.root}/{folder['name']}"
    (entry,) = (await server.get("", inside)).json()["entries"]
    path = f"{inside}/{entry['name']}"
    assert (await server.get("/stat", path)).json() == entry

    downloaded = await server.get("/download", path)
    assert downloaded.content == b"one"
    assert "filename*=UTF-8''touch_.txt" in downloaded.headers["Content-Disposition"]
    edited = await server.user.put(
        f"{server.files}/content",
        params={"path": path},
        json={"content": "two", "version": entry["version"]},
    )
    assert edited.status_code == 200, edited.text
    assert (await server.get("/content", path)).json()["content"] == "two"
    assert (await server.upload(Path(f"{inside}/up"), b"three")).status_code == 200
    moved = await server.post("/rename", path=path, destination=f"{inside}/touché.txt")
    assert moved.json()["name"] == "touché.txt"
    assert names(raw) == ["touché.txt", "up"]

    gone = await server.user.delete(server.files, params={"path": inside, "recursive": "true"})
    assert gone.status_code == 204
    assert not names(server.root)
