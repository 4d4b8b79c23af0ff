"""Images of a server: list, pull, remove, prune."""

import asyncio
import json

import httpx

from services.gateway.api.problem_types import ProblemType
from tests.fixtures.docker_host import DockerHost, entries
from tests.fixtures.problems import assert_problem
from tests.fixtures.registry import serving


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
    assert_problem(again, 404, ProblemType.AGENT_NOT_FOUND)


async def test_a_pull_that_fails_says_why(box: DockerHost) -> None:
    async def pulled(reference: str) -> httpx.Response:
        body = {"reference": reference}
        return await box.owner.post(f"{box.path}/images/pull", json=body, timeout=60)

    with serving() as registry:
        detail = assert_problem(
            await pulled(f"{registry.address}/team/none:1"), 404, ProblemType.AGENT_NOT_FOUND
        )["detail"]
        assert "unknown" in detail
    refused = await pulled("127.0.0.1:1/a:1")
    detail = assert_problem(refused, 503, ProblemType.AGENT_UNAVAILABLE)["detail"]
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
