from datetime import UTC, datetime

import pytest

from flotilla.v1.command_pb2 import ContainerDetails, ContainerList, ImageList
from flotilla.v1.docker_pb2 import DockerContainerInfo
from services.gateway.docker import mapping
from services.gateway.docker.schemas import LogLine
from services.gateway.docker.store import ReportedContainer

ID = "0123456789ab"
SEEN_AT = datetime(2026, 3, 1, tzinfo=UTC)


def reported(**labels: str) -> ReportedContainer:
    return ReportedContainer(
        container_id=ID,
        names=["web"],
        image="nginx",
        state="running",
        status="Up 2 hours",
        created_at=None,
        facts={"labels": labels},
        seen_at=SEEN_AT,
        cpu_usage=12.5,
        mem_usage=1000,
        mem_limit=2000,
        net_rx=1.0,
        net_tx=2.0,
        block_read=3.0,
        block_write=4.0,
    )


def test_a_container_has_the_metrics_of_the_agent_before_those_of_the_report() -> None:
    info = DockerContainerInfo(id=ID, cpu_usage_percent=0.0)
    container = mapping.container(info, reported())
    assert container.cpu_usage_percent == 0.0
    assert container.memory_usage_bytes == 1000
    assert mapping.container(info).memory_usage_bytes is None


def test_a_container_is_assigned_to_its_compose_project() -> None:
    labels = {mapping.PROJECT: "shop", mapping.SERVICE: "web"}
    live = mapping.container(DockerContainerInfo(id=ID, labels=labels))
    last = mapping.reported_container(reported(**labels))
    assert (live.project, live.service) == (last.project, last.service) == ("shop", "web")
    assert mapping.container(DockerContainerInfo(id=ID)).project is None


def test_times_and_limits_that_are_not_set_are_null() -> None:
    details = mapping.details(ContainerDetails(info=DockerContainerInfo(id=ID)), None)
    assert details.created_at is details.started_at is details.finished_at is None
    assert details.memory_limit_bytes is details.cpu_limit is None


def test_the_value_of_a_masked_variable_is_null() -> None:
    details = mapping.details(
        ContainerDetails(
            info=DockerContainerInfo(id=ID),
            environment=[
                ContainerDetails.Variable(name="PATH", value="/bin"),
                ContainerDetails.Variable(name="TOKEN", value="secret", masked=True),
            ],
        ),
        None,
    )
    assert [(v.name, v.value, v.masked) for v in details.environment] == [
        ("PATH", "/bin", False),
        ("TOKEN", None, True),
    ]


def test_a_list_of_images_says_when_it_was_cut() -> None:
    image = ImageList.Image(id="sha256:1", tags=["a:1"], created_at_unix_ms=1_000)
    page = mapping.images(ImageList(images=[image], truncated=True))
    assert page.truncated
    assert page.items[0].created_at == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_log_lines_are_read_whole_however_they_are_split(size: int) -> None:
    log = b"2026-03-01T00:00:00.123456789Z o one\n- e two\n\n2026-03-01T00:00:00+02:00 e three"
    reader = mapping.LineReader()
    lines: list[LogLine] = []
    for at in range(0, len(log), size):
        lines += reader.feed(log[at : at + size])
    lines += reader.end()
    assert lines == [
        LogLine("2026-03-01T00:00:00.123456789Z", "stdout", "one"),
        LogLine(None, "stderr", "two"),
        LogLine(None, "stdout", ""),
        LogLine("2026-03-01T00:00:00+02:00", "stderr", "three"),
    ]
    assert list(reader.end()) == []


def test_a_log_line_of_another_format_keeps_its_text() -> None:
    assert list(mapping.LineReader().feed(b"yesterday o text \xff\n")) == [
        LogLine(None, "stdout", "yesterday o text �")
    ]


def test_a_log_line_that_is_too_long_is_cut() -> None:
    reader = mapping.LineReader()
    (line,) = reader.feed(b"- o " + b"x" * mapping.MAX_LINE)
    assert line.text == "x" * mapping.MAX_LINE
    assert list(reader.feed(b"rest\n")) == [LogLine(None, "stdout", "rest")]


def test_a_listing_says_that_the_agent_left_out_containers() -> None:
    infos = [DockerContainerInfo(id=name * 12, names=[name]) for name in "ba"]
    now = datetime.now(UTC)
    part = mapping.containers(ContainerList(containers=infos, truncated=True), {}, at=now)
    assert [item.names for item in part.items] == [["a"], ["b"]]
    assert (part.live, part.as_of, part.truncated) == (True, now, True)
    assert mapping.containers(ContainerList(containers=infos), {}, at=now).truncated is False
