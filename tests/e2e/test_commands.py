"""The commands of the local stack and of `flotilla`."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import httpx
from websockets.sync.client import connect

from deploy.local.waiting import wait_for
from tests.e2e.own_stack import OwnStack, lines_of_json


def test_a_second_up_at_once_is_harmless(stack: OwnStack) -> None:
    before = stack.psql("SELECT count(*) FROM vps")
    programs = stack.programs()
    done = stack.make("up")
    assert done.returncode == 0, done.stdout + done.stderr
    for told in (stack.url, "admin", str(stack.state / "admin-password")):
        assert told in done.stdout
    assert stack.password not in done.stdout + done.stderr
    assert stack.psql("SELECT count(*) FROM vps") == before == "1"
    assert stack.programs() == programs


def test_status_and_tail_speak_of_what_runs(stack: OwnStack) -> None:
    assert stack.make("status").returncode == 0
    told = stack.flotilla("status")
    assert told.returncode == 0, told.stdout + told.stderr
    for service in ("edge", "writer", "gateway"):
        assert f"✓ {service}" in told.stdout

    tail = stack.flotilla("tail", "telemetry.>", "--count", "3")
    assert tail.returncode == 0, tail.stderr
    lines = lines_of_json(tail.stdout)
    assert len(lines) == 3
    for line in lines:
        assert line["type"].startswith("flotilla.v1.")
        assert "traceparent" in line["headers"]
        assert "cpu_usage_percent" in str(line["message"])


def test_this_machine_is_online_and_its_rows_grow(stack: OwnStack) -> None:
    with stack.logged_in() as client:
        listed = client.get("/vps").raise_for_status().json()
        assert listed["total"] == 1
        (vps,) = listed["items"]
        assert (vps["id"], vps["status"]) == (stack.vps_id, "online")
        before = _rows(stack)
        wait_for(lambda: _rows(stack) >= before + 2, seconds=15, otherwise="No rows came.")
        _assert_history_answers(client, stack.vps_id)


def _rows(stack: OwnStack) -> int:
    return int(stack.psql("SELECT count(*) FROM performance_metrics"))


def _assert_history_answers(client: httpx.Client, vps_id: str) -> None:
    end = datetime.now(UTC)
    span = {"start": (end - timedelta(hours=1)).isoformat(), "end": end.isoformat()}
    answer = client.get(f"/vps/{vps_id}/metrics/historical", params=span).raise_for_status()
    columns = answer.json()
    assert 1 <= len(columns["time"]) <= 1000
    assert len(columns["cpu_usage"]) == len(columns["time"])
    assert all(0 <= value <= 100 for value in columns["mem_usage"])


def test_the_socket_brings_a_sample_every_two_seconds_while_it_is_fresh(stack: OwnStack) -> None:
    with stack.logged_in() as client:
        address = stack.live_address(client, f"vps/{stack.vps_id}/metrics/realtime")
    measured: list[datetime] = []
    late: list[float] = []
    with connect(address, proxy=None) as socket:
        while len(measured) < 5:
            event = lines_of_json(str(socket.recv(timeout=10)))[0]
            if event["event"] != "sample":
                continue
            measured.append(datetime.fromisoformat(event["time"]))
            late.append((datetime.now(UTC) - measured[-1]).total_seconds())
    # The first sample is the newest one from before the socket opened.
    assert max(late[1:]) < 1, late
    apart = [(b - a).total_seconds() for a, b in pairwise(measured[1:])]
    assert all(1.5 < seconds < 2.5 for seconds in apart), apart
