"""Request and response bodies of runs."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct

from services.gateway.api.problem_types import ProblemType
from services.gateway.runs.output import Stream
from services.gateway.runs.states import Status
from services.gateway.servers.schemas import MAX_TAGS, Tag

MAX_SERVERS = 200

Script = Annotated[
    str, Meta(min_length=1, max_length=65_536, pattern=r"^[^\x00]*$", description="For `sh -c`")
]
Timeout = Annotated[
    int,
    Meta(
        ge=1,
        le=3_600,
        description="Seconds after which the script and all processes that it started are killed",
    ),
]
RunStatus = Annotated[
    Status,
    Meta(
        description="`queued`: it waits. `running`: the script was sent to the server."
        " `finished`: the script ended, with any exit code. `failed`: the script did not start;"
        " `reason` says why. `cancelled`: a user cancelled it. `timed_out`: the script took longer"
        " than its timeout and was killed. `lost`: the script started, but it is not known whether"
        " it finished. A run has ended when all its servers have ended; its status is then the"
        " first of `lost`, `failed`, `timed_out`, `cancelled`, `finished` that a server has."
    ),
]


class RunCreate(Struct, forbid_unknown_fields=True):
    """A script and its servers: the ones in `server_ids` and the ones with one of the tags."""

    script: Script
    server_ids: Annotated[list[UUID], Meta(max_length=MAX_SERVERS)] = []
    tags: Annotated[list[Tag], Meta(max_length=MAX_TAGS)] = []
    timeout_seconds: Timeout = 60


class RunServer(Struct, kw_only=True):
    vps_id: UUID
    status: RunStatus
    exit_code: Annotated[
        int | None,
        Meta(description="Exit code; the negative signal number if a signal ended it"),
    ]
    truncated: Annotated[
        bool, Meta(description="The output exceeded the limit; the rest was dropped")
    ]
    reason: Annotated[str, Meta(description="Why it did not finish, as text; otherwise empty")]
    problem: Annotated[
        ProblemType | None, Meta(description="Type of the problem if it failed or was lost")
    ]
    cancelling: Annotated[bool, Meta(description="The script is running and is being cancelled")]
    started_at: datetime | None
    finished_at: datetime | None


class RunServerResult(RunServer, kw_only=True):
    output: Annotated[str, Meta(description="Both streams, in the order of their arrival")]
    stdout: str
    stderr: str
    output_omitted: Annotated[
        bool,
        Meta(
            description="This answer does not contain all stored output. Read the rest at"
            " `/runs/{run_id}/servers/{vps_id}` or `/runs/{run_id}/output`"
        ),
    ]


class RunFields(Struct, kw_only=True):
    id: UUID
    status: RunStatus
    source: Annotated[Literal["person"], Meta(description="What started it")]
    username: Annotated[str, Meta(description="Who started it")]
    script: str
    timeout_seconds: int
    created_at: datetime
    started_at: Annotated[
        datetime | None, Meta(description="When the script started on the first server")
    ]
    finished_at: datetime | None


class Run(RunFields, kw_only=True):
    servers: Annotated[list[RunServer], Meta(description="Servers of the run that belong to you")]


class RunDetail(RunFields, kw_only=True):
    servers: Annotated[
        list[RunServerResult], Meta(description="Servers of the run that belong to you")
    ]


class RunPage(Struct):
    items: list[Run]
    total: Annotated[int, Meta(description="Counted up to 100 000")]


Offset = Annotated[
    int,
    Meta(
        description="Number of the line. To continue after it, request `offset` plus one. Lines"
        " of servers that do not belong to you are left out, so numbers may be missing."
    ),
]
Time = Annotated[datetime, Meta(description="When it was stored")]


class OutputLine(Struct, kw_only=True):
    """Text that a script printed on a server."""

    event: Literal["output"] = "output"
    offset: Offset
    server_id: UUID
    time: Time
    stream: Stream
    data: str


class ServerLine(Struct, kw_only=True):
    """A change of a server's state."""

    event: Literal["server"] = "server"
    offset: Offset
    server_id: UUID
    time: Time
    status: RunStatus
    exit_code: int | None
    truncated: bool
    reason: str
    problem: ProblemType | None


class IdleLine(Struct, kw_only=True):
    """A sign of life while there are no new lines; `offset` is the number of the next line."""

    event: Literal["idle"] = "idle"
    offset: int


class RunLine(Struct, kw_only=True):
    """The last line: the run has ended."""

    event: Literal["run"] = "run"
    offset: int
    status: RunStatus


RunOutputLine = OutputLine | ServerLine | IdleLine | RunLine
