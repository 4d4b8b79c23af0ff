"""Run a script on a server, or on many."""

import asyncio
from dataclasses import asdict
from functools import partial
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, delete, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, JSONBody, Parameter
from litestar.response import Stream
from litestar.status_codes import HTTP_200_OK

from flotilla.v1.command_pb2 import CancelAction, CommandResponse
from services.gateway import errors, scripts
from services.gateway.command_schemas import (
    Command,
    CommandCreate,
    CommandLine,
    CommandPage,
    CommandResult,
    FanOut,
)
from services.gateway.guard import ACTION, AuthedRequest, owned
from services.gateway.orders import order
from services.gateway.runtime import Runtime, UseRuntime
from services.gateway.store import commands as store
from services.gateway.store import fleet
from services.kit import database
from services.kit.access import Action
from services.kit.commands import CommandError

MAX_PAGE = 200
MAX_OFFSET = 1_000_000
# Linux takes no longer argument of a program.
MAX_SCRIPT_BYTES = 128 * 1024 - 1
CANCEL_TIMEOUT = 10.0  # seconds
# What agents say of a command that ended before they could be told to end it.
NOT_RUNNING = {CommandResponse.FAILURE_NOT_FOUND, CommandResponse.FAILURE_CONFLICT}
NDJSON = "application/x-ndjson"


class CommandController(Controller):
    path = "/vps/{vps_id:uuid}/commands"
    tags = ("Commands",)

    @post(
        operation_id="runCommand",
        summary="Run a script on a server and wait for its end",
        status_code=HTTP_200_OK,
        opt={ACTION: Action.COMMAND_RUN},
    )
    async def run(
        self,
        request: AuthedRequest,
        vps_id: FromPath[UUID],
        data: JSONBody[CommandCreate],
        runtime: UseRuntime,
    ) -> CommandResult:
        """It runs to its end though the client goes away; its result is kept."""
        _check(data.script)
        async with database.transaction(runtime.pool) as connection:
            vps = owned(request, await fleet.get(connection, vps_id=vps_id))
        script = scripts.Script(request, data.script, data.timeout_seconds)
        task = runtime.work.start(
            "single", scripts.SINGLES, partial(scripts.run, runtime, script, vps, lambda _: None)
        )
        ended, result = await asyncio.shield(task)
        if ended.problem is not None:
            raise ended.problem
        if result is None:
            raise errors.not_found()
        return _result(result)

    @get(
        operation_id="listCommands",
        summary="Scripts that were run on a server, newest first",
        opt={ACTION: Action.COMMAND_READ},
    )
    async def list(
        self,
        request: AuthedRequest,
        vps_id: FromPath[UUID],
        runtime: UseRuntime,
        limit: Annotated[int, Parameter(ge=1, le=MAX_PAGE)] = 50,
        offset: Annotated[int, Parameter(ge=0, le=MAX_OFFSET)] = 0,
    ) -> CommandPage:
        async with database.transaction(runtime.pool) as connection:
            owned(request, await fleet.get(connection, vps_id=vps_id))
            items, total = await store.page(connection, vps_id=vps_id, limit=limit, offset=offset)
        return CommandPage([msgspec.convert(asdict(item), Command) for item in items], total)

    @get(
        "/{command_id:uuid}",
        operation_id="getCommand",
        summary="A script that was run, with its output",
        opt={ACTION: Action.COMMAND_READ},
    )
    async def get(
        self,
        request: AuthedRequest,
        vps_id: FromPath[UUID],
        command_id: FromPath[UUID],
        runtime: UseRuntime,
    ) -> CommandResult:
        _, result = await _find(request, runtime, vps_id, command_id)
        return _result(result)

    @delete(
        "/{command_id:uuid}",
        operation_id="cancelCommand",
        summary="End a script that runs, and all that it started",
        opt={ACTION: Action.COMMAND_RUN},
    )
    async def cancel(
        self,
        request: AuthedRequest,
        vps_id: FromPath[UUID],
        command_id: FromPath[UUID],
        runtime: UseRuntime,
    ) -> None:
        vps, result = await _find(request, runtime, vps_id, command_id)
        if result.status != "running":
            raise over()
        action = CancelAction(command_id=command_id.hex)
        try:
            await order(request, runtime, vps, timeout=CANCEL_TIMEOUT, cancel=action)
        except errors.RequestError as error:
            cause = error.__cause__
            if isinstance(cause, CommandError) and cause.failure in NOT_RUNNING:
                raise over() from error
            raise


@post(
    "/commands",
    operation_id="runCommandOnMany",
    summary="Run a script on many servers, twenty at a time, and follow it line by line",
    tags=["Commands"],
    status_code=HTTP_200_OK,
    opt={ACTION: Action.COMMAND_RUN},
    responses={
        HTTP_200_OK: ResponseSpec(
            CommandLine,
            description="JSON, one object a line",
            media_type=NDJSON,
            generate_examples=False,
        )
    },
)
async def run_on_many(
    request: AuthedRequest, data: JSONBody[FanOut], runtime: UseRuntime
) -> Stream:
    """Scripts that began run to their end though the client goes away."""
    _check(data.script)
    if len(set(data.vps_ids)) != len(data.vps_ids):
        raise errors.invalid("A server is named twice.")
    async with database.transaction(runtime.pool) as connection:
        found = await fleet.some(connection, vps_ids=data.vps_ids)
    targets = [owned(request, found.get(vps_id)) for vps_id in data.vps_ids]
    script = scripts.Script(request, data.script, data.timeout_seconds)
    lines = scripts.Lines()
    _ = runtime.work.start(
        "fan-out",
        scripts.FAN_OUTS,
        partial(scripts.run_on_many, runtime, script, targets, lines),
    )
    return Stream(lines.read(), media_type=NDJSON)


def over() -> errors.RequestError:
    return errors.conflict("Over", "It has ended already.")


def _check(script: str) -> None:
    if len(script.encode(errors="replace")) > MAX_SCRIPT_BYTES:
        raise errors.invalid(f"A script has at most {MAX_SCRIPT_BYTES} bytes.")


async def _find(
    request: AuthedRequest, runtime: Runtime, vps_id: UUID, command_id: UUID
) -> tuple[fleet.Vps, store.Result]:
    async with database.transaction(runtime.pool) as connection:
        vps = owned(request, await fleet.get(connection, vps_id=vps_id))
        result = await store.get(connection, vps_id=vps_id, command_id=command_id)
    if result is None:
        raise errors.not_found()
    return vps, result


def _result(result: store.Result) -> CommandResult:
    return msgspec.convert(asdict(result), CommandResult)
