from itertools import combinations

import pytest

from flotilla.v1.command_pb2 import CommandResponse
from services.gateway.runs import states
from services.gateway.runs.states import UNFINISHED, WORST_FIRST, Status


@pytest.mark.parametrize(
    ("servers", "expected"),
    [
        ({"queued": 3}, "queued"),
        ({"queued": 2, "running": 1}, "running"),
        ({"queued": 2, "finished": 1}, "running"),
        ({"queued": 2, "cancelled": 1}, "running"),
        ({"running": 1, "lost": 4}, "running"),
        ({"finished": 3}, "finished"),
        ({"finished": 3, "queued": 0}, "finished"),
        ({"finished": 3, "cancelled": 1}, "cancelled"),
        ({"cancelled": 3, "timed_out": 1}, "timed_out"),
        ({"timed_out": 3, "failed": 1}, "failed"),
        ({"failed": 3, "lost": 1, "finished": 9}, "lost"),
        ({}, "cancelled"),
    ],
)
def test_a_runs_state_follows_from_its_servers(
    servers: dict[Status, int], expected: Status
) -> None:
    assert states.of_run(servers) == expected


def test_a_run_ends_exactly_when_each_of_its_servers_has() -> None:
    every = (*UNFINISHED, *WORST_FIRST)
    for number in range(1, len(every) + 1):
        for there in combinations(every, number):
            ended = states.of_run(dict.fromkeys(there, 1)) not in UNFINISHED
            assert ended == set(there).isdisjoint(UNFINISHED), there


def test_every_answer_of_an_agent_is_an_end() -> None:
    for status in CommandResponse.Status.values():
        assert states.of_answer(status) in WORST_FIRST
    assert states.of_answer(CommandResponse.STATUS_REFUSED) == "failed"
