"""A server's containers: as they are, as they were, and what is done with them."""

from collections import deque
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, delete, get, post
from litestar.openapi.spec import Operation, RequestBody
from litestar.params import FromPath, FromQuery, JSONBody, Parameter
from litestar.status_codes import HTTP_200_OK

from flotilla.v1.command_pb2 import DockerAction
from services.gateway import container_records as records
from services.gateway import errors
from services.gateway.container_schemas import (
    CONTAINER_PATTERN,
    Act,
    ActOptions,
    Container,
    ContainerDetails,
    ContainerPage,
    LogLine,
    Logs,
    Stats,
    StatsPoint,
)
from services.gateway.guard import ACTION, AuthedRequest, owned
from services.gateway.history import MAX_POINTS, WIDTHS, finest, window
from services.gateway.orders import order, order_parts
from services.gateway.presence import Status
from services.gateway.records import powers
from services.gateway.runtime import Runtime, UseRuntime
from services.gateway.store import containers as store
from services.gateway.store import fleet
from services.kit import database
from services.kit.access import Action

LOOK_TIMEOUT = 10.0  # seconds
LOGS_TIMEOUT = 30.0  # seconds
ACT_TIMEOUT = 60.0  # seconds beside a container's own grace
MAX_TAIL = 10_000  # lines
LOG_LIMIT = 2 * 1024 * 1024  # bytes; agents send half of that
FRESH = timedelta(seconds=60)  # how old figures may be to stand beside those of now
REPORT_INTERVAL = timedelta(seconds=10)  # agents' own

OPERATIONS: dict[Act, DockerAction.Operation.ValueType] = {
    "start": DockerAction.OPERATION_START,
    "stop": DockerAction.OPERATION_STOP,
    "restart": DockerAction.OPERATION_RESTART,
    "pause": DockerAction.OPERATION_PAUSE,
    "unpause": DockerAction.OPERATION_UNPAUSE,
    "kill": DockerAction.OPERATION_KILL,
}

ContainerId = Annotated[str, Parameter(pattern=CONTAINER_PATTERN, max_length=64)]


@dataclass
class OptionalBody(Operation):
    def __post_init__(self) -> None:
        if isinstance(self.request_body, RequestBody):
            self.request_body.required = False


class ContainerController(Controller):
    path = "/vps/{vps_id:uuid}/docker/containers"
    tags = ("Docker",)

    @get(
        operation_id="listContainers",
        summary="Containers: as they are, or as last reported where the server cannot be asked",
        opt={ACTION: Action.DOCKER_READ},
    )
    async def list(
        self, request: AuthedRequest, vps_id: FromPath[UUID], runtime: UseRuntime
    ) -> ContainerPage:
        async with database.transaction(runtime.pool) as connection:
            vps = owned(request, await fleet.get(connection, vps_id=vps_id))
            known = await store.listed(connection, vps_id=vps_id)
            reported_at = await store.last_report(connection, vps_id=vps_id)
        try:
            _check_answers(runtime, vps)
            action = DockerAction(operation=DockerAction.OPERATION_LIST)
            now = datetime.now(UTC)
            response = await order(
                request, runtime, vps, timeout=LOOK_TIMEOUT, repeated=True, docker=action
            )
        except errors.RequestError:
            if reported_at is None:
                raise
            return ContainerPage([records.reported(one) for one in known], reported_at, live=False)
        fresh = _fresh(known)
        items = [
            records.container(info, fresh.get(info.id)) for info in response.containers.containers
        ]
        return ContainerPage(sorted(items, key=lambda one: one.names), now, live=True)

    @get(
        "/{cid:str}",
        operation_id="getContainer",
        summary="A container, its settings and its environment without secrets",
        opt={ACTION: Action.DOCKER_READ},
    )
    async def inspect(
        self,
        request: AuthedRequest,
        vps_id: FromPath[UUID],
        cid: ContainerId,
        runtime: UseRuntime,
    ) -> ContainerDetails:
        vps = await find(request, runtime, vps_id)
        action = DockerAction(operation=DockerAction.OPERATION_INSPECT, target=cid)
        response = await order(
            request, runtime, vps, timeout=LOOK_TIMEOUT, repeated=True, docker=action
        )
        told = response.container
        async with database.transaction(runtime.pool) as connection:
            known = await store.listed(connection, vps_id=vps_id, containers=[told.info.id])
        return records.details(told, _fresh(known).get(told.info.id))

    @post(
        "/{cid:str}/{action:str}",
        operation_id="actOnContainer",
        summary="Start, stop, restart, pause, unpause or kill a container",
        status_code=HTTP_200_OK,
        operation_class=OptionalBody,
        opt={ACTION: Action.DOCKER_ACT},
    )
    async def act(
        self,
        *,
        request: AuthedRequest,
        vps_id: FromPath[UUID],
        cid: ContainerId,
        action: FromPath[Act],
        runtime: UseRuntime,
        data: JSONBody[ActOptions | None] = None,
    ) -> Container:
        vps = await find(request, runtime, vps_id)
        grace = (data or ActOptions()).grace_seconds
        asked = DockerAction(operation=OPERATIONS[action], target=cid, grace_seconds=grace)
        response = await order(request, runtime, vps, timeout=ACT_TIMEOUT + grace, docker=asked)
        return records.container(response.container.info)

    @delete(
        "/{cid:str}",
        operation_id="removeContainer",
        summary="Remove a container; its volumes stay",
        opt={ACTION: Action.DOCKER_ACT},
    )
    async def remove(
        self,
        request: AuthedRequest,
        vps_id: FromPath[UUID],
        cid: ContainerId,
        runtime: UseRuntime,
        *,
        force: Annotated[bool, Parameter(description="Even while it runs")] = False,
    ) -> None:
        vps = await find(request, runtime, vps_id)
        action = DockerAction(operation=DockerAction.OPERATION_REMOVE, target=cid, force=force)
        await order(request, runtime, vps, timeout=ACT_TIMEOUT, docker=action)

    @get(
        "/{cid:str}/logs",
        operation_id="containerLogs",
        summary="The last lines of a container's log",
        opt={ACTION: Action.DOCKER_READ},
    )
    async def logs(
        self,
        *,
        request: AuthedRequest,
        vps_id: FromPath[UUID],
        cid: ContainerId,
        runtime: UseRuntime,
        tail: Annotated[int, Parameter(ge=1, le=MAX_TAIL)] = 500,
        since: FromQuery[datetime | None] = None,
        until: FromQuery[datetime | None] = None,
        search: Annotated[
            str,
            Parameter(max_length=200, description="Of these, lines with this text, in any case"),
        ] = "",
    ) -> Logs:
        vps = await find(request, runtime, vps_id)
        action = DockerAction(
            operation=DockerAction.OPERATION_LOGS,
            target=cid,
            tail=tail,
            since_unix_ms=unix_ms(since),
            until_unix_ms=unix_ms(until),
        )
        reader, wanted = records.LineReader(), search.casefold()
        lines: deque[LogLine] = deque()
        size, truncated = 0, False
        parts = order_parts(request, runtime, vps, timeout=LOGS_TIMEOUT, docker=action)
        async with aclosing(parts):
            async for part in parts:
                size += len(part.stdout)
                lines += reader.feed(part.stdout)
                truncated |= part.truncated
                if size > LOG_LIMIT:
                    truncated = True
                    break
        lines += reader.end()
        return Logs([line for line in lines if wanted in line.text.casefold()], truncated)

    @get(
        "/{cid:str}/stats",
        operation_id="containerStats",
        summary="A container's use over a window, in at most 1,000 points",
        opt={ACTION: Action.DOCKER_READ},
    )
    async def stats(
        self,
        *,
        request: AuthedRequest,
        vps_id: FromPath[UUID],
        cid: ContainerId,
        runtime: UseRuntime,
        start: Annotated[
            datetime | None, Parameter(description="Default: an hour before `end`")
        ] = None,
        end: Annotated[datetime | None, Parameter(description="Default: now")] = None,
    ) -> Stats:
        since, until = window(start, end)
        name = finest(until - since)
        if name is None:
            raise errors.invalid("The window is longer than 19 years.")
        width = max(WIDTHS[name], REPORT_INTERVAL)
        await find(request, runtime, vps_id)
        async with database.transaction(runtime.pool) as connection:
            found = await store.points(
                connection,
                vps_id=vps_id,
                container_id=cid,
                start=since,
                end=until,
                width=width,
                limit=MAX_POINTS,
            )
        points = [msgspec.convert(asdict(point), StatsPoint) for point in found]
        return Stats(points, int(width.total_seconds()))


async def find(request: AuthedRequest, runtime: Runtime, vps_id: UUID) -> fleet.Vps:
    """Raises: RequestError: 404."""
    async with database.transaction(runtime.pool) as connection:
        return owned(request, await fleet.get(connection, vps_id=vps_id))


def unix_ms(time: datetime | None) -> int:
    """0 for none; a time without a zone is taken as UTC.

    Raises:
        RequestError: it is not of our time.
    """
    if time is None:
        return 0
    if not 1970 <= time.year < 2262:
        raise errors.invalid("There are no such times.")
    zoned = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
    return max(int(zoned.timestamp() * 1000), 0)


def _check_answers(runtime: Runtime, vps: fleet.Vps) -> None:
    """Raises: RequestError: asking it would come to nothing."""
    server = runtime.live.servers.get(str(vps.id))
    if server is None or server.status in {Status.OFFLINE, Status.PENDING}:
        raise errors.offline()
    allowed = powers(vps, runtime.signer.public_key)
    if allowed is not None and allowed["docker"] == "off":
        raise errors.RequestError(
            403,
            "Not allowed there",
            'The policy on this server does not allow Docker (`docker = "read"`).',
        )


def _fresh(known: Sequence[store.Known]) -> dict[str, store.Known]:
    """By id, those whose figures are of now."""
    since = datetime.now(UTC) - FRESH
    return {one.container_id: one for one in known if one.seen_at > since}
