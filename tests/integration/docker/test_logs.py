"""Log lines of a container, read and searched."""

from datetime import UTC, datetime

from services.gateway.api.problem_types import ProblemType
from tests.fixtures.docker_engine import IMAGE
from tests.fixtures.docker_host import ABSENT, DockerHost
from tests.fixtures.problems import assert_problem

COUNT = "i=0; while [ $i -lt {n} ]; do i=$((i+1)); echo line $i; done"


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
        await box.owner.get(f"{box.path}/containers/{ABSENT}/logs"),
        404,
        ProblemType.AGENT_NOT_FOUND,
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
