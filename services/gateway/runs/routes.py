"""HTTP routes to start, list, read, follow and cancel runs."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import Annotated
from uuid import UUID, uuid4

import msgspec
from litestar import Controller, Response, delete, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody, Parameter
from litestar.response import Stream
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED, HTTP_202_ACCEPTED

from flotilla.v1.bus_pb2 import RunCancelRequested
from services.gateway.accounts.authentication import AuthedRequest
from services.gateway.api import errors, ndjson
from services.gateway.api.limits import RUNS_OF_USER, check_share
from services.gateway.api.pagination import Offset, ShortLimit
from services.gateway.api.request_audit import RequestAudit, UseAudit
from services.gateway.api.rules import ACTION
from services.gateway.api.transaction import UseConnection, after_commit
from services.gateway.context import Context, UseContext
from services.gateway.runs import store
from services.gateway.runs.journal import announce
from services.gateway.runs.output_stream import OutputStream
from services.gateway.runs.schemas import (
    Run,
    RunCreate,
    RunDetail,
    RunOutputLine,
    RunPage,
    RunServer,
    RunServerResult,
)
from services.gateway.runs.selection import select
from services.gateway.runs.states import UNFINISHED, Status
from services.gateway.servers.visibility import EVERYTHING, visible_to
from services.kit.access import Action
from services.kit.bus import subjects
from services.kit.database import pool as database
from services.kit.errors import TransientError

MAX_LINE = 2**53  # the largest integer that JavaScript represents exactly
# Linux limits one argument of a program to this length (MAX_ARG_STRLEN, with the final NUL).
MAX_SCRIPT_BYTES = 128 * 1024 - 1
SHOWN = 4 * 1024 * 1024  # bytes of output in one answer, for all servers together


OwnedRun = NamedDependency[store.Run]


async def provide_run(
    request: AuthedRequest, db: UseConnection, audit: UseAudit, run_id: FromPath[UUID]
) -> store.Run:
    """Provide a run with the servers on which the actor may do the route's action.

    Raises:
        RequestError: 404 if the run does not exist or the actor may not do that on any of its servers.
    """
    action = request.route_handler.opt[ACTION]
    run = await store.get(db, run_id=run_id, visibility=visible_to(request.user, action))
    if run is None:
        audit.refused("no such run, or no right to its servers")
        raise errors.not_found()
    return run


class RunController(Controller):
    path = "/runs"
    tags = ("Runs",)
    dependencies = {"run": Provide(provide_run)}  # noqa: RUF012  Litestar's

    @post(
        operation_id="startRun",
        summary="Run a script on one or many servers",
        status_code=HTTP_201_CREATED,
        opt={ACTION: Action.COMMAND_RUN},
    )
    async def start(
        self,
        request: AuthedRequest,
        data: JSONBody[RunCreate],
        context: UseContext,
        db: UseConnection,
        audit: UseAudit,
    ) -> Response[Run]:
        """Start a run. The answer comes at once; the run continues even if nobody follows it.

        Read the result at `/runs/{run_id}`, or follow the output at `/runs/{run_id}/output`. The
        script runs on up to twenty servers at a time; the others wait with the status `queued`.
        """
        if len(data.script.encode()) > MAX_SCRIPT_BYTES:
            raise errors.invalid(f"A script has at most {MAX_SCRIPT_BYTES} bytes.", "script")
        context.bus.require()
        run_id = uuid4()
        targets = await select(request.user, audit, db, server_ids=data.server_ids, tags=data.tags)
        check_share(
            "runs",
            await store.unfinished(db, user_id=request.user.id),
            RUNS_OF_USER,
            "runs that have not ended. Wait until one ends, or cancel one.",
        )
        limit = context.run_limits.waiting
        if await store.waiting(db) >= limit:
            raise errors.busy(f"{limit} runs are already waiting. Try again later.")
        await store.insert(
            db,
            run_id=run_id,
            user_id=request.user.id,
            username=request.user.username,
            peer=audit.peer,
            script=data.script,
            timeout_seconds=data.timeout_seconds,
            vps_ids=[vps.id for vps in targets],
        )
        run = await store.get(db, run_id=run_id, visibility=EVERYTHING)
        assert run is not None
        audit.done(f"run:{run_id}", f"servers: {len(targets)}", action="command.start")
        after_commit(request.scope, context.runs_queued.set)
        location = f"{request.url.path.rstrip('/')}/{run_id}"
        return Response(_run(run), headers={"Location": location})

    @get(
        operation_id="listRuns",
        summary="List runs, newest first",
        opt={ACTION: Action.COMMAND_LIST},
    )
    async def list_runs(
        self,
        request: AuthedRequest,
        db: UseConnection,
        *,
        server: Annotated[UUID | None, Parameter(description="Only runs on this server")] = None,
        status: Annotated[
            Status | None, Parameter(description="Only runs with this status")
        ] = None,
        limit: ShortLimit = 25,
        offset: Offset = 0,
    ) -> RunPage:
        runs, total = await store.page(
            db,
            visibility=visible_to(request.user, Action.COMMAND_READ),
            vps_id=server,
            status=status,
            limit=limit,
            offset=offset,
        )
        return RunPage([_run(run) for run in runs], total)

    @get(
        "/{run_id:uuid}",
        operation_id="getRun",
        summary="Get a run with the output of each server",
        opt={ACTION: Action.COMMAND_READ},
    )
    async def read(
        self,
        run: OwnedRun,
        db: UseConnection,
        output: Annotated[
            bool, Parameter(description="If false, the answer contains no output")
        ] = True,
    ) -> RunDetail:
        """If the output of many servers is large, the answer has only the start of each."""
        results = await _results(db, run, run.servers, most=SHOWN if output else 0)
        return msgspec.convert({**asdict(run), "servers": results}, RunDetail)

    @get(
        "/{run_id:uuid}/servers/{vps_id:uuid}",
        operation_id="getRunServer",
        summary="Get the result on one server with its whole output",
        opt={ACTION: Action.COMMAND_READ},
    )
    async def read_server(
        self, run: OwnedRun, vps_id: FromPath[UUID], db: UseConnection
    ) -> RunServerResult:
        (result,) = await _results(db, run, [_server(run, vps_id)], most=SHOWN)
        return result

    @get(
        "/{run_id:uuid}/output",
        operation_id="followRun",
        summary="Follow the output of a run line by line until the run has ended",
        opt={ACTION: Action.COMMAND_READ},
        responses={HTTP_200_OK: ndjson.response_spec(RunOutputLine)},
    )
    async def output(
        self,
        request: AuthedRequest,
        run: OwnedRun,
        context: UseContext,
        offset: Annotated[
            int,
            Parameter(
                ge=0,
                le=MAX_LINE,
                description="Number of the first line to send; a number beyond the last line starts"
                " at the end",
            ),
        ] = 0,
    ) -> Stream:
        """Line numbers never change: every request returns the same lines under the same numbers.

        To continue after a lost connection, use the offset of the last received line plus one. The
        last line has the event `run`; without this line the output is not complete.
        """
        context.run_viewers.require_room()
        stream = OutputStream(request, context, run.id, offset)
        return Stream(stream.read(), media_type=ndjson.MEDIA_TYPE)

    @delete(
        "/{run_id:uuid}",
        operation_id="cancelRun",
        summary="Cancel a run on every server where it has not ended",
        status_code=HTTP_202_ACCEPTED,
        opt={ACTION: Action.COMMAND_RUN},
    )
    async def cancel(
        self,
        request: AuthedRequest,
        run: OwnedRun,
        context: UseContext,
        db: UseConnection,
        audit: UseAudit,
    ) -> Run:
        """Cancel a run. Servers that are still queued are cancelled at once.

        On the other servers, the agent kills the script and all processes that it started.
        `cancelling` is true until the agent has confirmed this.
        """
        return await _cancel(request, run, run.servers, context=context, db=db, audit=audit)

    @delete(
        "/{run_id:uuid}/servers/{vps_id:uuid}",
        operation_id="cancelRunServer",
        summary="Cancel a run on one server",
        status_code=HTTP_202_ACCEPTED,
        opt={ACTION: Action.COMMAND_RUN},
    )
    async def cancel_server(
        self,
        *,
        request: AuthedRequest,
        run: OwnedRun,
        vps_id: FromPath[UUID],
        context: UseContext,
        db: UseConnection,
        audit: UseAudit,
    ) -> Run:
        servers = [_server(run, vps_id)]
        return await _cancel(request, run, servers, context=context, db=db, audit=audit)


async def _cancel(
    request: AuthedRequest,
    run: store.Run,
    servers: Sequence[store.Server],
    *,
    context: Context,
    db: database.Connection,
    audit: RequestAudit,
) -> Run:
    cancelled = await store.cancel(
        db,
        run_id=run.id,
        vps_ids=[server.vps_id for server in servers if server.status in UNFINISHED],
        username=request.user.username,
    )
    if not cancelled:
        raise errors.ended("The run has already ended, so there is nothing to cancel.")
    for target in cancelled:
        audit.done(f"vps:{target}", str(run.id), action="command.cancel")
    after_commit(request.scope, partial(_announce_cancel, context, run.id))
    visibility = visible_to(request.user, Action.COMMAND_RUN)
    changed = await store.get(db, run_id=run.id, visibility=visibility)
    if changed is None:
        raise errors.not_found()
    return _run(changed)


async def _announce_cancel(context: Context, run_id: UUID) -> None:
    await announce(context, run_id, 0)
    with suppress(TransientError):
        # If this notice is lost, the gateway that drives the run reads the request from the
        # database with its next heartbeat.
        await context.bus.publish(
            subjects.run_cancel(str(run_id)), RunCancelRequested(run_id=str(run_id))
        )


def _server(run: store.Run, vps_id: UUID) -> store.Server:
    """Return this server of the run.

    Raises:
        RequestError: 404 if the run has no such server.
    """
    for server in run.servers:
        if server.vps_id == vps_id:
            return server
    raise errors.not_found()


async def _results(
    connection: database.Connection,
    run: store.Run,
    servers: Sequence[store.Server],
    *,
    most: int,
) -> list[RunServerResult]:
    """Read the results with at most `most` bytes of output in total; 0 reads no output."""
    if not most:
        return [_result(server, store.Output(omitted=True)) for server in servers]
    outputs = await store.output(
        connection,
        run_id=run.id,
        vps_ids=[server.vps_id for server in servers],
        most=most // len(servers),
    )
    return [_result(server, outputs[server.vps_id]) for server in servers]


def _result(server: store.Server, output: store.Output) -> RunServerResult:
    texts = {
        stream: "".join(text for name, text in output.pieces if name == stream)
        for stream in ("stdout", "stderr")
    }
    fields = {
        **asdict(server),
        **texts,
        "output": "".join(text for _, text in output.pieces),
        "output_omitted": output.omitted,
    }
    return msgspec.convert(fields, RunServerResult)


def _run(run: store.Run) -> Run:
    servers = [msgspec.convert(asdict(server), RunServer) for server in run.servers]
    return msgspec.convert({**asdict(run), "servers": servers}, Run)
