"""Containers of a server: their list, details, logs, history and actions."""

from collections import deque
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
from litestar import Controller, delete, get, post
from litestar.di import NamedDependency, Provide
from litestar.openapi.spec import Operation, RequestBody
from litestar.params import FromPath, FromQuery, JSONBody, Parameter
from litestar.status_codes import HTTP_200_OK

from flotilla.v1.command_pb2 import DockerAction
from services.gateway.api import errors
from services.gateway.api.problem_types import ProblemType
from services.gateway.api.rules import ACTION
from services.gateway.api.time_range import MAX_POINTS, WIDTHS, UseTimeRange, finest_for
from services.gateway.api.transaction import UseConnection
from services.gateway.context import UseContext
from services.gateway.docker import mapping as container_mapping
from services.gateway.docker import store
from services.gateway.docker.schemas import (
    CONTAINER_PATTERN,
    ActOptions,
    Container,
    ContainerAction,
    ContainerDetails,
    ContainerPage,
    LogLine,
    Logs,
    Stats,
    StatsPoint,
)
from services.gateway.servers import agent_errors
from services.gateway.servers.access import IN_TRANSACTION, OwnedServer
from services.gateway.servers.agent_calls import Agent, UseAgent
from services.gateway.servers.mapping import powers
from services.kit.access import Action
from services.kit.agents.presence import Status
from services.kit.database import pool as database

READ_TIMEOUT = 10.0  # seconds
LOGS_TIMEOUT = 30.0  # seconds
ACTION_TIMEOUT = 60.0  # seconds in addition to `grace_seconds`
MAX_TAIL = 10_000  # lines
MAX_LOG = 2 * 1024 * 1024  # bytes; agents send at most half of that
MAX_METRICS_AGE = timedelta(seconds=60)  # to be shown beside a current description
REPORT_INTERVAL = timedelta(seconds=10)  # of agents

OPERATIONS: dict[ContainerAction, DockerAction.Operation.ValueType] = {
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


@dataclass(frozen=True, slots=True)
class Reported:
    """The containers of a server as its agent last reported them."""

    containers: Sequence[store.ReportedContainer]
    at: datetime | None
    """Time of the report; None if the agent never sent one."""

    def fresh(self) -> dict[str, store.ReportedContainer]:
        """Return the containers, by id, whose metrics are recent enough to be shown as current."""
        since = datetime.now(UTC) - MAX_METRICS_AGE
        return {
            container.container_id: container
            for container in self.containers
            if container.seen_at > since
        }


UseReported = NamedDependency[Reported]


async def provide_reported(context: UseContext, server: OwnedServer) -> Reported:
    """Provide the report, read in its own transaction: the handlers wait for an agent after it."""
    async with database.transaction(context.pool) as connection:
        return Reported(
            await store.reported_containers(connection, vps_id=server.id),
            await store.last_report(connection, vps_id=server.id),
        )


class ContainerController(Controller):
    path = "/vps/{vps_id:uuid}/docker/containers"
    tags = ("Docker",)
    dependencies = {"reported": Provide(provide_reported)}  # noqa: RUF012  Litestar's

    @get(
        operation_id="listContainers",
        summary="List containers",
        description="If the server cannot be asked, the containers are as last reported.",
        opt={ACTION: Action.DOCKER_READ},
    )
    async def list(self, agent: UseAgent, reported: UseReported) -> ContainerPage:
        try:
            _check_reachable(agent)
            action = DockerAction(operation=DockerAction.OPERATION_LIST)
            now = datetime.now(UTC)
            response = await agent.call(timeout=READ_TIMEOUT, repeated=True, docker=action)
        except errors.RequestError:
            if reported.at is None:
                raise
            items = [
                container_mapping.reported_container(container) for container in reported.containers
            ]
            return ContainerPage(items, reported.at, live=False, truncated=False)
        return container_mapping.containers(response.containers, reported.fresh(), at=now)

    @get(
        "/{cid:str}",
        operation_id="getContainer",
        summary="Get a container with its settings and its environment, without secrets",
        opt={ACTION: Action.DOCKER_READ},
    )
    async def inspect(
        self, cid: ContainerId, agent: UseAgent, reported: UseReported
    ) -> ContainerDetails:
        action = DockerAction(operation=DockerAction.OPERATION_INSPECT, target=cid)
        response = await agent.call(timeout=READ_TIMEOUT, repeated=True, docker=action)
        inspected = response.container
        return container_mapping.details(inspected, reported.fresh().get(inspected.info.id))

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
        cid: ContainerId,
        action: FromPath[ContainerAction],
        agent: UseAgent,
        data: JSONBody[ActOptions | None] = None,
    ) -> Container:
        grace = (data or ActOptions()).grace_seconds
        docker_action = DockerAction(operation=OPERATIONS[action], target=cid, grace_seconds=grace)
        response = await agent.call(timeout=ACTION_TIMEOUT + grace, docker=docker_action)
        return container_mapping.container(response.container.info)

    @delete(
        "/{cid:str}",
        operation_id="removeContainer",
        summary="Remove a container, but not its volumes",
        opt={ACTION: Action.DOCKER_ACT},
    )
    async def remove(
        self,
        cid: ContainerId,
        agent: UseAgent,
        *,
        force: Annotated[
            bool, Parameter(description="Also remove a container that is running")
        ] = False,
    ) -> None:
        action = DockerAction(operation=DockerAction.OPERATION_REMOVE, target=cid, force=force)
        await agent.call(timeout=ACTION_TIMEOUT, docker=action)

    @get(
        "/{cid:str}/logs",
        operation_id="containerLogs",
        summary="Get the last lines of the log of a container",
        opt={ACTION: Action.DOCKER_READ},
    )
    async def logs(
        self,
        *,
        cid: ContainerId,
        agent: UseAgent,
        tail: Annotated[int, Parameter(ge=1, le=MAX_TAIL)] = 500,
        since: FromQuery[datetime | None] = None,
        until: FromQuery[datetime | None] = None,
        search: Annotated[
            str,
            Parameter(
                max_length=200,
                description="Return only the lines that contain this text; case does not matter",
            ),
        ] = "",
    ) -> Logs:
        action = DockerAction(
            operation=DockerAction.OPERATION_LOGS,
            target=cid,
            tail=tail,
            since_unix_ms=unix_ms(since, "since"),
            until_unix_ms=unix_ms(until, "until"),
        )
        reader, searched = container_mapping.LineReader(), search.casefold()
        lines: deque[LogLine] = deque()
        size, truncated = 0, False
        parts = agent.call_parts(timeout=LOGS_TIMEOUT, docker=action)
        async with aclosing(parts):
            async for part in parts:
                size += len(part.stdout)
                lines += reader.feed(part.stdout)
                truncated |= part.truncated
                if size > MAX_LOG:
                    truncated = True
                    break
        lines += reader.end()
        return Logs([line for line in lines if searched in line.text.casefold()], truncated)

    @get(
        "/{cid:str}/stats",
        operation_id="containerStats",
        summary="Get the resource usage of a container over a time range, in at most 1,000 points",
        dependencies=IN_TRANSACTION,
        opt={ACTION: Action.DOCKER_READ},
    )
    async def stats(
        self, server: OwnedServer, cid: ContainerId, db: UseConnection, time_range: UseTimeRange
    ) -> Stats:
        width = max(WIDTHS[finest_for("auto", time_range)], REPORT_INTERVAL)
        found = await store.points(
            db,
            vps_id=server.id,
            container_id=cid,
            start=time_range.since,
            end=time_range.until,
            width=width,
            limit=MAX_POINTS,
        )
        points = [msgspec.convert(asdict(point), StatsPoint) for point in found]
        return Stats(points, int(width.total_seconds()))


def unix_ms(time: datetime | None, name: str) -> int:
    """Convert to Unix milliseconds; None becomes 0, and a time without a zone is in UTC.

    Raises:
        RequestError: the year is not between 1970 and 2261.
    """
    if time is None:
        return 0
    if not 1970 <= time.year < 2262:
        raise errors.invalid(
            f"`{name}` is in the year {time.year}. Send a time from 1970 to 2261.", name
        )
    zoned = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
    return max(int(zoned.timestamp() * 1000), 0)


def _check_reachable(agent: Agent) -> None:
    """Raises: RequestError: the agent is offline, or its policy does not allow Docker."""
    server = agent.context.live.servers.get(str(agent.server.id))
    if server is None or server.status in {Status.OFFLINE, Status.PENDING}:
        raise agent_errors.offline()
    allowed = powers(agent.server, agent.context.signer.public_key)
    if allowed is not None and allowed["docker"] == "off":
        raise errors.RequestError(
            ProblemType.AGENT_FORBIDDEN,
            'The policy on this server does not allow Docker. Its owner can set `docker = "read"`.',
        )
