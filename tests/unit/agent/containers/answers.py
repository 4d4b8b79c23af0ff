from typing import Any

import pytest

from agent.execute.containers import Containers
from agent.execute.failure import CommandFailedError
from flotilla.v1.command_pb2 import CommandResponse, DockerAction


class Answer:
    """All parts of one."""

    def __init__(self) -> None:
        self.parts: list[CommandResponse] = []
        self.last = CommandResponse()

    async def part(self, response: CommandResponse) -> None:
        self.parts.append(response)

    @property
    def output(self) -> bytes:
        return b"".join(part.stdout for part in (*self.parts, self.last))


async def asked(containers: Containers, operation: str, target: str = "", **fields: Any) -> Answer:
    """`operation` is the contract's word without its prefix."""
    answer = Answer()
    number = DockerAction.Operation.Value(f"OPERATION_{operation}")
    action = DockerAction(operation=number, target=target, **fields)
    answer.last = await containers.run(action, answer.part)
    return answer


async def refused(
    containers: Containers, operation: str, target: str = "", **fields: Any
) -> tuple[str, str]:
    """The kind of failure, and the reason."""
    with pytest.raises(CommandFailedError) as failed:
        await asked(containers, operation, target, **fields)
    return kind_of(failed.value), str(failed.value)


def kind_of(error: CommandFailedError) -> str:
    return CommandResponse.Failure.Name(error.failure).removeprefix("FAILURE_")
