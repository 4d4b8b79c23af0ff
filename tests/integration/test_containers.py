"""Containers through gateway, bus and edge, on a real agent and a real Docker engine."""

import asyncio
import json
import secrets
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fixtures.dockerhost import POLICY, STAY, DockerHost, docker_host
from tests.fixtures.engine import IMAGE, Engine
from tests.fixtures.registry import serving
from tests.fixtures.waiting import until
from tests.fixtures.world import World

CANARY = "canary-5d1e77"
ABSENT = "0" * 64
COUNT = "i=0; while [ $i -lt {n} ]; do i=$((i+1)); echo line $i; done"


async def entries(box: DockerHost, action: str, count: int = 1) -> list[dict[str, Any]]:
    """Of the audit trail, newest first, once there are so many."""
    admin = await box.world.user()

    async def look() -> list[dict[str, Any]] | None:
        page = (await admin.get("/audit", params={"object": f"vps:{box.vps_id}"})).json()
        found = [entry for entry in page["items"] if entry["action"] == action]
        return found if len(found) >= count else None

    found: list[dict[str, Any]] | None = await until(look)
    assert found is not None
    return found


def named(listed: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in listed["items"] if name in one["names"])
    return found


def assert_problem(answer: httpx.Response, status: int, title: str) -> str:
    assert (answer.status_code, answer.json()["title"]) == (status, title), answer.text
    return str(answer.json()["detail"])


async def test_containers_are_listed_as_they_are_now(box: DockerHost) -> None:
    web = await box.run(
        *("run", "--detach", "--name", "shop-web-1", "--memory", "64m"),
        *("--label", "com.docker.compose.project=shop"),
        *("--label", "com.docker.compose.service=web", "--publish", "127.0.0.1:18081:80"),
        *(IMAGE, "/bin/sh", "-c", STAY),
    )
    await box.run("create", "--name", "a-first", IMAGE, "/bin/sh")

    first = await box.get("/containers")
    second = await box.get("/containers")

    assert first["live"] is True
    assert abs(datetime.fromisoformat(first["as_of"]) - datetime.now(UTC)) < timedelta(seconds=20)
    names = [one["names"] for one in first["items"]]
    assert names == sorted(names)
    shown = named(second, "shop-web-1")
    assert (shown["id"], shown["state"], shown["image"]) == (web, "running", IMAGE)
    assert (shown["project"], shown["service"]) == ("shop", "web")
    assert shown["ports"][0] == {
        "host_ip": "127.0.0.1",
        "host_port": 18081,
        "container_port": 80,
        "protocol": "tcp",
    }
    assert shown["memory_limit_bytes"] == 64 * 1024 * 1024
    assert 0 < shown["memory_usage_bytes"] < 20_000_000
    assert shown["cpu_usage_percent"] is not None
    idle = named(second, "a-first")
    assert (idle["state"], idle["project"], idle["memory_usage_bytes"]) == ("created", None, None)
    await box.run("rm", "--force", "shop-web-1", "a-first")


async def test_details_tell_all_but_secrets(box: DockerHost) -> None:
    name = await box.run(
        *("create", "--name", "told", "--env", f"DB_PASSWORD={CANARY}"),
        *("--env", f"URL=amqp://u:{CANARY}@mq/", "--env", "TZ=UTC", "--restart", "always"),
        *(IMAGE, "/bin/sh", f"--token={CANARY}"),
    )

    answer = await box.owner.get(f"{box.path}/containers/{name}")

    assert CANARY not in answer.text
    told = answer.json()
    assert (told["id"], told["names"], told["state"]) == (name, ["told"], "created")
    assert told["restart_policy"] == "always"
    variables = {one["name"]: (one["value"], one["masked"]) for one in told["environment"]}
    assert variables["DB_PASSWORD"] == variables["URL"] == (None, True)
    assert variables["TZ"] == ("UTC", False)
    assert told["command"] == ["/bin/sh", "--token=***"]
    assert told["started_at"] is None
    assert told["memory_limit_bytes"] is told["cpu_limit"] is None
    await box.run("rm", "told")


async def test_each_action_answers_with_the_container_and_leaves_an_entry(
    box: DockerHost, container: str
) -> None:
    steps = [
        *(("pause", "paused"), ("unpause", "running"), ("stop", "exited"), ("start", "running")),
        *(("restart", "running"), ("kill", "exited")),
    ]
    for action, state in steps:
        body = {"grace_seconds": 5} if action in {"stop", "restart"} else None
        answer = await box.owner.post(f"{box.path}/containers/{container}/{action}", json=body)
        assert (answer.status_code, answer.json()["state"]) == (200, state), action
        (entry, *_) = await entries(box, f"docker.{action}")
        assert (entry["allowed"], entry["detail"], entry["reason"]) == (True, container, "")


async def test_after_an_action_telemetry_looks_at_once(box: DockerHost, container: str) -> None:
    async def state() -> str | None:
        rows = await box.world.sql(
            "SELECT state FROM docker_containers WHERE container_id = %(id)s", id=container
        )
        return rows[0][0] if rows else None

    async def is_running() -> bool:
        return await state() == "running"

    await until(is_running)
    began = time.monotonic()
    await box.owner.post(f"{box.path}/containers/{container}/pause")

    async def is_paused() -> bool:
        return await state() == "paused"

    await until(is_paused)
    # Its own turn is every ten seconds.
    assert time.monotonic() - began < 5


async def test_a_body_need_not_be_and_may_not_be_anything(box: DockerHost, container: str) -> None:
    url = f"{box.path}/containers/{container}/stop"
    bodies: list[Any] = [{"grace_seconds": 301}, {"grace_seconds": -1}, {"signal": "SIGUSR1"}, []]
    for body in bodies:
        assert (await box.owner.post(url, json=body)).status_code == 422
    assert (await box.get(f"/containers/{container}"))["state"] == "running"

    assert (await box.owner.post(url)).json()["state"] == "exited"


async def test_only_force_removes_what_runs(box: DockerHost, container: str) -> None:
    url = f"{box.path}/containers/{container}"

    detail = assert_problem(await box.owner.delete(url), 409, "In conflict")
    assert "You cannot remove a running container" in detail
    assert (await box.get(f"/containers/{container}"))["state"] == "running"
    (entry, *_) = await entries(box, "docker.remove")
    assert entry["reason"] == detail

    answer = await box.owner.delete(url, params={"force": True})
    assert (answer.status_code, answer.text) == (204, "")
    assert_problem(await box.owner.get(url), 404, "Not found there")
    assert_problem(await box.owner.post(f"{url}/start"), 404, "Not found there")


@pytest.mark.parametrize(
    "cid",
    [
        *("..%2f..%2fimages%2fjson", "x%3fforce=1", "-", "web", "a" * 11, "a" * 65, "A" * 12),
        *("a" * 12 + "%0a", "%00" + "a" * 12, "a" * 12 + "%2fstart"),
    ],
)
async def test_an_id_that_is_none_goes_nowhere(box: DockerHost, cid: str) -> None:
    heard: list[str] = []

    async def hear(message: Any) -> None:
        heard.append(message.subject)

    url = f"{box.path}/containers/{cid}"
    async with box.world.nats.client("edge") as edge:
        await edge.subscribe(f"flotilla.agent.{box.vps_id}.>", cb=hear)
        await edge.flush()
        answers = [
            await box.owner.get(url),
            await box.owner.delete(url),
            await box.owner.get(f"{url}/logs"),
            await box.owner.get(f"{url}/stats"),
            await box.owner.post(f"{url}/start"),
            await box.owner.delete(f"{box.path}/images/{cid}"),
        ]
        await edge.flush()
    assert {answer.status_code for answer in answers} <= {404, 405, 422}
    assert [subject for subject in heard if subject.endswith((".command", ".pty"))] == []


async def test_an_action_that_is_none_is_refused(box: DockerHost, container: str) -> None:
    for action in ("exec", "commit", "update", "archive", "START"):
        answer = await box.owner.post(f"{box.path}/containers/{container}/{action}")
        assert answer.status_code in {404, 405, 422}


async def test_log_lines_are_read_and_searched(box: DockerHost) -> None:
    script = f"echo First; echo '<b>ERROR</b> \x1b[31mred' >&2; sleep 0.3; {COUNT.format(n=600)}"
    name = await box.run("run", "--detach", IMAGE, "/bin/sh", "-c", script)
    await box.run("wait", name)
    url = f"/containers/{name}/logs"

    whole = await box.get(url, tail=10_000)
    assert len(whole["lines"]) == 602
    assert whole["truncated"] is False
    assert datetime.fromisoformat(whole["lines"][0]["time"][:19] + "+00:00") < datetime.now(UTC)
    texts = [(line["stream"], line["text"]) for line in whole["lines"]]
    assert ("stdout", "First") in texts
    assert ("stderr", "<b>ERROR</b> \x1b[31mred") in texts

    assert len((await box.get(url))["lines"]) == 500
    found = await box.get(url, tail=10_000, search="LINE 59")
    assert [line["text"] for line in found["lines"]] == [
        "line 59",
        *(f"line 59{n}" for n in range(10)),
    ]
    assert (await box.get(url, search="error", tail=500))["lines"] == []
    middle = whole["lines"][300]["time"]
    later = await box.get(url, since=middle[:23] + "Z", tail=10_000)
    assert 0 < len(later["lines"]) <= 602
    assert (await box.get(url, until="2020-01-01T00:00:00Z"))["lines"] == []
    assert_problem(
        await box.owner.get(f"{box.path}/containers/{ABSENT}/logs"), 404, "Not found there"
    )
    for query in (
        {"tail": 0},
        {"tail": 10_001},
        {"since": "-1"},
        {"until": "9999-01-01T00:00:00Z"},
    ):
        answer = await box.owner.get(f"{box.path}{url}", params=query)
        assert answer.status_code == 422, query
    await box.run("rm", name)


async def test_a_large_log_is_cut_at_its_beginning(box: DockerHost) -> None:
    script = f"i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo {'x' * 1_000} $i; done"
    name = await box.run("run", "--detach", IMAGE, "/bin/sh", "-c", script)
    await box.run("wait", name)

    told = await box.get(f"/containers/{name}/logs", tail=10_000)

    assert told["truncated"] is True
    assert told["lines"][-1]["text"].endswith(" 3000")
    assert 900 < len(told["lines"]) < 1_100
    assert all(line["time"] for line in told["lines"])
    await box.run("rm", name)


async def test_bytes_that_are_no_text_are_shown_as_such(box: DockerHost) -> None:
    name = await box.run(
        *("run", "--detach", IMAGE, "/bin/sh", "-c", r"printf 'a\0\377b\nc\r\n'; printf '\342\202'")
    )
    await box.run("wait", name)

    told = await box.get(f"/containers/{name}/logs")

    assert [line["text"] for line in told["lines"]] == ["a\0\ufffdb", "c", "\ufffd\ufffd"]
    await box.run("rm", name)


async def test_images_are_pulled_listed_and_removed(box: DockerHost) -> None:
    with serving() as registry:
        reference = registry.add("team/app", "1", [b"\0" * 1024 * 1024, b"\0" * 2 * 1024 * 1024])
        answer = await box.owner.post(
            f"{box.path}/images/pull", json={"reference": reference}, timeout=60
        )
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("application/x-ndjson")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines[-1] == {"event": "finished"}
    assert any("complete" in line.get("status", "") for line in lines)

    listed = await box.get("/images")
    image = next(one for one in listed["items"] if reference in one["tags"])
    assert image["containers"] == 0
    (entry, *_) = await entries(box, "docker.pull")
    assert (entry["allowed"], entry["detail"]) == (True, reference)

    answer = await box.owner.delete(f"{box.path}/images/{image['id']}")
    assert answer.status_code == 204
    listed = await box.get("/images")
    assert image["id"] not in {one["id"] for one in listed["items"]}
    again = await box.owner.delete(f"{box.path}/images/{image['id']}")
    assert_problem(again, 404, "Not found there")


async def test_a_pull_that_fails_says_why(box: DockerHost) -> None:
    async def pulled(reference: str) -> httpx.Response:
        body = {"reference": reference}
        return await box.owner.post(f"{box.path}/images/pull", json=body, timeout=60)

    with serving() as registry:
        detail = assert_problem(
            await pulled(f"{registry.address}/team/none:1"), 404, "Not found there"
        )
        assert "unknown" in detail
    detail = assert_problem(await pulled("127.0.0.1:1/a:1"), 503, "Not available there")
    assert "connection refused" in detail
    for reference in ("../../containers/json", "x?force=1", "-", "A", "a b", ""):
        assert (await pulled(reference)).status_code == 422, reference


async def test_images_without_a_name_are_pruned(box: DockerHost) -> None:
    content = b"\0" * 10240
    nameless = await asyncio.to_thread(box.engine.docker, "import", "-", content=content)

    pruned = await box.owner.post(f"{box.path}/images/prune")

    assert pruned.status_code == 200
    assert pruned.json()["images"] >= 1
    assert nameless not in {one["id"] for one in (await box.get("/images"))["items"]}


async def test_others_are_told_nothing_and_an_admin_may(box: DockerHost, container: str) -> None:
    other, admin = await box.world.user("member"), await box.world.user("admin")
    for path in ("", f"/{container}", f"/{container}/logs", f"/{container}/stats"):
        answer = await other.get(f"{box.path}/containers{path}")
        assert_problem(answer, 404, "Not found")
        assert (await admin.get(f"{box.path}/containers{path}")).status_code == 200
    answer = await other.post(f"{box.path}/containers/{container}/kill")
    assert_problem(answer, 404, "Not found")
    assert (await box.get(f"/containers/{container}"))["state"] == "running"


async def test_a_policy_of_reading_refuses_actions_and_exec(
    world: World, docker_engine: Engine, tmp_path: Path
) -> None:
    async with docker_host(world, docker_engine, tmp_path / "reads", 'docker = "read"\n') as box:
        name = await box.run("run", "--detach", IMAGE, "/bin/sh", "-c", STAY)
        assert named(await box.get("/containers"), named_of(box, name))["id"] == name
        url = f"{box.path}/containers/{name}"
        for answer in (
            await box.owner.post(f"{url}/stop"),
            await box.owner.delete(url, params={"force": True}),
            await box.owner.post(f"{box.path}/images/pull", json={"reference": "a:1"}),
            await box.owner.post(f"{box.path}/images/prune"),
        ):
            assert "not to act" in assert_problem(answer, 403, "Not allowed there")
        (entry, *_) = await entries(box, "docker.stop")
        assert entry["allowed"] is False
        async with box.following(name, tail=1):
            pass
        assert (await box.get(f"/containers/{name}"))["state"] == "running"
        await box.run("rm", "--force", name)


def named_of(box: DockerHost, container: str) -> str:
    return box.engine.docker("inspect", "--format", "{{.Name}}", container).lstrip("/")


async def test_a_server_that_cannot_be_asked_tells_what_it_told_last(
    world: World, docker_engine: Engine, tmp_path: Path
) -> None:
    async with docker_host(world, docker_engine, tmp_path / "leaves", POLICY) as box:
        label = secrets.token_hex(4)
        name = await box.run(
            *("run", "--detach", "--name", label),
            *("--label", "com.docker.compose.project=shop", IMAGE, "/bin/sh", "-c", STAY),
        )

        async def reported() -> bool:
            rows = await world.sql(
                "SELECT 1 FROM docker_containers c JOIN docker_metrics m ON m.container_db_id = c.id"
                " WHERE c.container_id = %(id)s AND c.vps_id = %(vps)s AND m.cpu_usage IS NOT NULL",
                id=name,
                vps=box.vps_id,
            )
            return bool(rows)

        await until(reported, seconds=40)
        live = named(await box.get("/containers"), label)
        await box.agent.stop()

        async def is_offline() -> bool:
            return bool((await box.owner.get(f"/vps/{box.vps_id}")).json()["status"] == "offline")

        await until(is_offline)
        listed = await box.get("/containers")
        shown = named(listed, label)
        assert listed["live"] is False
        age = datetime.now(UTC) - datetime.fromisoformat(listed["as_of"])
        assert timedelta(0) < age < timedelta(seconds=60)
        assert (shown["id"], shown["project"], shown["state"]) == (name, "shop", "running")
        assert shown["memory_usage_bytes"] > 0
        assert shown.keys() == live.keys()
        for answer in (
            await box.owner.get(f"{box.path}/containers/{name}"),
            await box.owner.post(f"{box.path}/containers/{name}/stop"),
            await box.owner.get(f"{box.path}/containers/{name}/logs"),
            await box.owner.get(f"{box.path}/images"),
            await box.owner.post(f"{box.path}/images/pull", json={"reference": "a:1"}),
        ):
            assert_problem(answer, 409, "Offline")
        await box.run("rm", "--force", name)


async def test_a_server_that_never_reported_has_no_containers_to_tell(world: World) -> None:
    owner = await world.user("member")
    vps_id = (await owner.post("/vps", json={"name": "new"})).json()["id"]

    assert_problem(await owner.get(f"/vps/{vps_id}/docker/containers"), 409, "Offline")


async def test_a_containers_use_is_told_in_points_of_equal_width(world: World) -> None:
    owner, other = await world.user("member"), await world.user("member")
    vps_id = (await owner.post("/vps", json={"name": "box"})).json()["id"]
    (row,) = await world.sql(
        "INSERT INTO docker_containers (vps_id, container_id, names, image, state, status, seen_at)"
        " VALUES (%(vps)s, %(id)s, '{web}', 'i', 'running', 'Up', now()) RETURNING id",
        vps=vps_id,
        id="ab" * 32,
    )
    # Two days at the agent's interval; of each minute the first half.
    await world.sql(
        "INSERT INTO docker_metrics (time, container_db_id, cpu_usage, mem_usage, net_rx)"
        " SELECT t, %(id)s, extract(minute FROM t), 1000, NULL FROM generate_series("
        "'2026-01-01Z'::timestamptz, '2026-01-03Z', interval '10 seconds') AS t"
        " WHERE extract(second FROM t) < 30",
        id=row[0],
    )
    url = f"/vps/{vps_id}/docker/containers/{'ab' * 32}/stats"

    async def stats(start: str, end: str) -> dict[str, Any]:
        found: dict[str, Any] = (await owner.get(url, params={"start": start, "end": end})).json()
        return found

    hour = await stats("2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z")
    assert hour["granularity_seconds"] == 10
    assert len(hour["points"]) == 60 * 3
    assert hour["points"][3] == {
        "time": "2026-01-01T01:01:00Z",
        "cpu_usage": 1.0,
        "mem_usage": 1000.0,
        **dict.fromkeys(("mem_limit", "net_rx", "net_tx", "block_read", "block_write")),
    }
    days = await stats("2026-01-01T00:00:00Z", "2026-01-03T00:00:00Z")
    assert (days["granularity_seconds"], len(days["points"])) == (300, 576)
    assert days["points"][1]["cpu_usage"] == 7.0
    for start, end, count in (
        ("2026-01-01T00:00:00Z", "2026-01-01T02:46:20Z", 499),
        ("2025-01-01T00:00:00Z", "2026-02-01T00:00:00Z", 5),
        ("2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z", 0),
    ):
        found = await stats(start, end)
        assert count <= len(found["points"]) <= min(count * 1.1 + 1, 1_000), found["points"][:2]
    short = await owner.get(url.replace("ab" * 32, "ab" * 6))
    assert short.json()["points"] == []
    assert_problem(await other.get(url), 404, "Not found")
    plan = await world.sql(
        "EXPLAIN SELECT avg(cpu_usage) FROM docker_metrics WHERE container_db_id = %(id)s"
        " AND time >= '2026-01-01T01:00Z' AND time < '2026-01-01T02:00Z'",
        id=row[0],
    )
    assert any("Index" in line for (line,) in plan), plan
