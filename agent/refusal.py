from google.protobuf.message import DecodeError

from flotilla.v1.command_pb2 import (
    Command,
    CommandRequest,
    CommandResponse,
    PtyDataToAgent,
    PtyDataToServer,
    PtyExit,
)

COMMANDS_OFF = "this agent's owner has not enabled commands"
SHELL_OFF = "this agent's owner has not enabled the shell"
EXIT_REFUSED = 126  # a shell's word for "found, but may not be run"


def refuse_command(request: CommandRequest) -> CommandResponse:
    try:
        command_id = Command.FromString(request.command).id
    except DecodeError:
        command_id = ""
    return CommandResponse(
        command_id=command_id,
        status=CommandResponse.STATUS_REFUSED,
        last=True,
        reason=COMMANDS_OFF,
    )


def refuse_terminal(request: PtyDataToAgent) -> PtyDataToServer:
    return PtyDataToServer(
        session_id=request.session_id, exit=PtyExit(exit_code=EXIT_REFUSED, reason=SHELL_OFF)
    )
