"""Containers of a server, as the gateway lists and describes them."""

import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from services.gateway.api.problem_types import ProblemType
from tests.fixtures.claims import free_port
from tests.fixtures.docker_engine import IMAGE, Engine
from tests.fixtures.docker_host import POLICY, STAY, DockerHost, docker_host, named
from tests.fixtures.problems import assert_problem
from tests.fixtures.waiting import until
from tests.fixtures.world import World

CANARY = "canary-5d1e77"


async def test_containers_are_listed_as_they_are_now(box: DockerHost) -> None:
    port = free_port()
    web = await box.run(
        *("run", "--detach", "--name", "shop-web-1", "--memory", "64m"),
        *("--label", "com.docker.compose.project=shop"),
        *("--label", "com.docker.compose.service=web", "--publish", f"127.0.0.1:{port}:80"),
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
        "host_port": port,
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


async def test_others_are_told_nothing_and_an_admin_may(box: DockerHost, container: str) -> None:
    other, admin = await box.world.user("member"), await box.world.colleague(box.owner, "admin")
    for path in ("", f"/{container}", f"/{container}/logs", f"/{container}/stats"):
        answer = await other.get(f"{box.path}/containers{path}")
        assert_problem(answer, 404, ProblemType.NOT_FOUND)
        assert (await admin.get(f"{box.path}/containers{path}")).status_code == 200
    answer = await other.post(f"{box.path}/containers/{container}/kill")
    assert_problem(answer, 404, ProblemType.NOT_FOUND)
    assert (await box.get(f"/containers/{container}"))["state"] == "running"


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
            assert_problem(answer, 409, ProblemType.AGENT_OFFLINE)
        await box.run("rm", "--force", name)


async def test_a_server_that_never_reported_has_no_containers_to_tell(world: World) -> None:
    owner = await world.user("member")
    vps_id = (await owner.post("/vps", json={"name": "new"})).json()["id"]

    assert_problem(
        await owner.get(f"/vps/{vps_id}/docker/containers"), 409, ProblemType.AGENT_OFFLINE
    )


async def test_a_containers_use_is_told_in_points_of_equal_width(world: World) -> None:
    owner, other = await world.user("member"), await world.user("member")
    vps_id = (await owner.post("/vps", json={"name": "box"})).json()["id"]
    (row,) = await world.sql(
        "INSERT INTO docker_containers (vps_id, container_id, names, image, state, status, seen_at)"
        " VALUES (%(vps)s, %(id)s, '{web}', 'i', 'running', 'Up', now()) RETURNING id",
        vps=vps_id,
        id="ab" * 32,
    )
    # Two days at the agent's interval, but only the first half of each minute.
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
    assert_problem(await other.get(url), 404, ProblemType.NOT_FOUND)
    plan = await world.sql(
        "EXPLAIN SELECT avg(cpu_usage) FROM docker_metrics WHERE container_db_id = %(id)s"
        " AND time >= '2026-01-01T01:00Z' AND time < '2026-01-01T02:00Z'",
        id=row[0],
    )
    assert any("Index" in line for (line,) in plan), plan
