import pytest

from flotilla.v1.command_pb2 import (
    CancelAction,
    Command,
    DockerAction,
    FileAction,
    RotateAction,
    ShellAction,
)
from services.gateway.servers.agent_calls import audit_action, audit_detail

RENAME = FileAction(operation=FileAction.OPERATION_RENAME, path="/a", destination="/b")
READ = FileAction(operation=FileAction.OPERATION_READ, path="/a")
STOP = DockerAction(operation=DockerAction.OPERATION_STOP, target="0123456789ab")


@pytest.mark.parametrize(
    ("command", "action", "detail"),
    [
        (Command(id="c", file=RENAME), "file.rename", "/a → /b"),
        (Command(id="c", file=READ), "file.read", "/a"),
        (Command(id="c", docker=STOP), "docker.stop", "0123456789ab"),
        (Command(id="c", shell=ShellAction(script="secret")), "command.run", "c"),
        (Command(id="c", cancel=CancelAction(command_id="d")), "command.cancel", "d"),
        (Command(id="c", rotate=RotateAction(command_key=b"k")), "command.rotate", "c"),
    ],
)
def test_an_audit_entry_names_the_action_and_its_object_without_contents(
    command: Command, action: str, detail: str
) -> None:
    assert (audit_action(command), audit_detail(command)) == (action, detail)
