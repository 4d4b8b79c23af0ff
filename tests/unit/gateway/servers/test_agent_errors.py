import pytest

from flotilla.v1.command_pb2 import CommandResponse
from flotilla.v1.shell_pb2 import ShellRefusal
from services.gateway.api.errors import RequestError
from services.gateway.api.problem_types import ProblemType
from services.gateway.servers.agent_errors import (
    failed_there,
    is_passing,
    problem_of,
    refused_terminal,
    was_refused,
)
from services.kit.agents.commands import CommandError, OfflineError
from services.kit.errors import TransientError


def test_every_failure_of_an_agent_has_a_type_of_its_own() -> None:
    failures = [value for value in CommandResponse.Failure.values() if value]
    types = [failed_there(failure, CommandResponse.STATUS_FAILED, "").type for failure in failures]
    assert len(set(types)) == len(failures)
    assert all("/agent-" in kind for kind in types)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (CommandResponse.STATUS_TIMED_OUT, ProblemType.AGENT_TIMED_OUT),
        (CommandResponse.STATUS_CANCELLED, ProblemType.AGENT_CANCELLED),
        (CommandResponse.STATUS_FAILED, ProblemType.AGENT_FAILED),
        (CommandResponse.STATUS_REFUSED, ProblemType.AGENT_FAILED),
    ],
)
def test_an_answer_without_a_failure_is_judged_by_its_status(
    status: CommandResponse.Status.ValueType, kind: ProblemType
) -> None:
    assert failed_there(CommandResponse.FAILURE_UNSPECIFIED, status, "").type is kind


def test_an_agent_means_the_same_when_a_shellproxy_asked_it() -> None:
    for failure in CommandResponse.Failure.values():
        for status in CommandResponse.Status.values():
            refusal = ShellRefusal(
                kind=ShellRefusal.KIND_AGENT, failure=failure, status=status, reason="why"
            )
            told, direct = (
                refused_terminal(refusal),
                failed_there(failure, status, "why"),
            )
            assert (told.type, str(told)) == (direct.type, str(direct))


def test_a_refusal_of_an_unknown_kind_is_a_failure_of_the_installation() -> None:
    refusal = ShellRefusal(kind=99, reason="newer than this gateway")  # type: ignore[arg-type]
    assert refused_terminal(refusal).type is ProblemType.DEPENDENCY_UNAVAILABLE


def failed(
    failure: CommandResponse.Failure.ValueType,
    status: CommandResponse.Status.ValueType = CommandResponse.STATUS_FAILED,
) -> CommandError:
    return CommandError(CommandResponse(failure=failure, status=status, reason="no"))


@pytest.mark.parametrize(
    ("error", "type_", "refused"),
    [
        (OfflineError(), ProblemType.AGENT_OFFLINE, True),
        (TransientError("lost"), ProblemType.AGENT_UNANSWERED, False),
        (failed(CommandResponse.FAILURE_FORBIDDEN), ProblemType.AGENT_FORBIDDEN, True),
        (failed(CommandResponse.FAILURE_INVALID), ProblemType.AGENT_INVALID, True),
        (failed(CommandResponse.FAILURE_NOT_FOUND), ProblemType.AGENT_NOT_FOUND, False),
        (
            failed(CommandResponse.FAILURE_BUSY, CommandResponse.STATUS_REFUSED),
            ProblemType.AGENT_BUSY,
            True,
        ),
    ],
)
def test_a_failure_is_a_problem_and_tells_whether_it_was_a_refusal(
    error: CommandError | OfflineError | TransientError, type_: ProblemType, refused: bool
) -> None:
    assert problem_of(error).type is type_
    assert was_refused(error) is refused


def test_a_request_that_is_wrong_is_a_refusal_and_one_that_failed_is_none() -> None:
    assert was_refused(RequestError(ProblemType.VALIDATION, "It is wrong."))
    assert not was_refused(RequestError(ProblemType.FILE_CHANGED, "It changed."))


@pytest.mark.parametrize(
    ("failure", "status", "passing"),
    [
        (CommandResponse.FAILURE_BUSY, CommandResponse.STATUS_REFUSED, True),
        (CommandResponse.FAILURE_CONFLICT, CommandResponse.STATUS_REFUSED, True),
        (CommandResponse.FAILURE_CONFLICT, CommandResponse.STATUS_FAILED, False),
        (CommandResponse.FAILURE_NOT_FOUND, CommandResponse.STATUS_FAILED, False),
    ],
)
def test_a_busy_agent_or_a_repeated_command_passes(
    failure: CommandResponse.Failure.ValueType,
    status: CommandResponse.Status.ValueType,
    passing: bool,
) -> None:
    assert is_passing(failure, status) is passing
