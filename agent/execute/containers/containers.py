import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from agent.collect.docker import MEASURED, describe, measure_into, shorten
from agent.engine import Record, connect, list_containers, stats
from agent.execute.channel import Channel
from agent.execute.containers import images
from agent.execute.containers.answers import NO_ENGINE, translated
from agent.execute.containers.checks import (
    ContainerId,
    container_id,
    image_name,
    image_reference,
)
from agent.execute.containers.details import details
from agent.execute.containers.endings import end_left
from agent.execute.containers.logs import LogChannel, read_logs
from agent.execute.containers.pulling import pull
from agent.execute.containers.shell import ShellChannel
from agent.execute.failure import (
    CommandFailedError,
    conflict,
    forbidden,
    invalid,
    not_found,
    unavailable,
)
from agent.execute.policy import Policy
from agent.rate import Rates
from flotilla.v1.agent_pb2 import Powers
from flotilla.v1.command_pb2 import (
    CommandResponse,
    ContainerDetails,
    ContainerList,
    DockerAction,
)
from flotilla.v1.docker_pb2 import DockerContainerInfo, DockerSnapshot

if TYPE_CHECKING:
    from aiodocker import Docker as Engine
    from aiodocker.containers import DockerContainer

log = logging.getLogger(__name__)

GRACE_LIMIT = 300  # seconds
MEASURING = 8  # containers at a time
MEASURE_TIMEOUT = 3.0  # seconds for all of them
RATE_AGE = 60.0  # seconds after which a reading says nothing of the rate now
OPEN_TIMEOUT = 5.0  # seconds

Part = Callable[[CommandResponse], Awaitable[None]]


class Containers:
    """What a console may have done with this host's containers."""

    def __init__(
        self,
        policy: Policy,
        socket: Callable[[], Path],
        changed: Callable[[], None],
        *,
        mark: str = "",
    ) -> None:
        """`mark` is the same in every life of this agent, and no other's."""
        self._policy = policy
        self._socket = socket
        self._changed = changed
        self._mark = mark
        self._engine: Engine | None = None
        self._rates: dict[str, tuple[float, Rates[str]]] = {}
        self._channels: set[ShellChannel] = set()
        self._ending_left: asyncio.Future[None] | None = None

    async def run(self, action: DockerAction, part: Part) -> CommandResponse:
        """The last part of the answer; bounded in time by the caller.

        Raises:
            CommandFailedError
        """
        self._check(_access(action.operation))
        match action.operation:
            case DockerAction.OPERATION_LIST:
                return CommandResponse(containers=await self._list())
            case DockerAction.OPERATION_INSPECT:
                return CommandResponse(container=await self._inspect(container_id(action.target)))
            case DockerAction.OPERATION_LOGS:
                return await self._logs(action)
            case DockerAction.OPERATION_IMAGES:
                return CommandResponse(images=await images.list_images(self._connected()))
        try:
            return await self._act(action, part)
        finally:
            # What failed may have changed something too.
            self._changed()

    async def open_shell(self, container: str, columns: int, rows: int) -> Channel:
        """Raises: CommandFailedError."""
        self._check(Powers.DOCKER_ACCESS_ACTIONS)
        if not self._policy.shell:
            raise forbidden("this host's policy does not allow a shell")
        chosen = container_id(container)
        engine = self._connected()
        await self._left_ended()
        channel = await ShellChannel.open(engine, chosen, columns, rows, mark=self._mark)
        self._channels = {other for other in self._channels if not other.closed} | {channel}
        return channel

    async def follow_logs(self, container: str, tail: int, since_unix_ms: int) -> Channel:
        """Raises: CommandFailedError."""
        self._check(Powers.DOCKER_ACCESS_READ)
        chosen = container_id(container)
        opening = LogChannel.open(self._connected(), chosen, tail=tail, since_unix_ms=since_unix_ms)
        with translated():
            return await asyncio.wait_for(opening, OPEN_TIMEOUT)

    async def close(self) -> None:
        try:
            await self._left_ended()
            await asyncio.gather(*(channel.close() for channel in self._channels))
        finally:
            self._channels.clear()
            engine, self._engine = self._engine, None
            if engine:
                await engine.close()

    def _check(self, needed: Powers.DockerAccess.ValueType) -> None:
        if self._policy.docker == Powers.DOCKER_ACCESS_UNSPECIFIED:
            raise forbidden("this host's policy does not allow Docker")
        if self._policy.docker < needed:
            raise forbidden("this host's policy allows to look at Docker, not to act")

    def _connected(self) -> "Engine":
        if self._engine is None:
            try:
                self._engine = connect(self._socket(), timeout=None)
            except OSError as error:
                raise unavailable(f"{NO_ENGINE}: {error}") from None
            if self._policy.shell and self._policy.docker == Powers.DOCKER_ACCESS_ACTIONS:
                self._ending_left = asyncio.ensure_future(end_left(self._engine, self._mark))
        return self._engine

    async def _left_ended(self) -> None:
        """Before there is anything of this life that could be taken for what is left."""
        ending = self._ending_left
        if ending is None:
            return
        await asyncio.wait({ending}, timeout=OPEN_TIMEOUT)
        ending.cancel()
        for error in await asyncio.gather(ending, return_exceptions=True):
            if error and self._ending_left:
                log.warning("shells may be left in containers: %r", error)
        self._ending_left = None

    async def _list(self) -> ContainerList:
        engine = self._connected()
        with translated():
            records, truncated = await list_containers(engine)
        snapshot = DockerSnapshot(containers=await self._described(engine, records))
        shorten(snapshot)
        return ContainerList(containers=snapshot.containers, truncated=truncated)

    async def _inspect(self, chosen: ContainerId) -> ContainerDetails:
        engine = self._connected()
        with translated():
            record = await engine.containers.container(chosen).show()
        return details(await self._now(ContainerId(record["Id"])), record)

    async def _now(self, chosen: ContainerId) -> DockerContainerInfo:
        """Raises: CommandFailedError: it is not there any more."""
        engine = self._connected()
        with translated():
            found = await engine.containers.list(all="1", filters=json.dumps({"id": [chosen]}))
        records = [container._container for container in found]  # noqa: SLF001  # all that was told of it
        for info in await self._described(engine, records[:1]):
            return info
        raise not_found("there is no such container")

    async def _described(
        self, engine: "Engine", records: list[Record]
    ) -> list[DockerContainerInfo]:
        measured = [record["Id"] for record in records if record["State"] in MEASURED]
        readings = await _readings(engine, measured)
        now = time.monotonic()
        fresh = {name: kept for name, kept in self._rates.items() if now - kept[0] < RATE_AGE}
        self._rates = fresh
        described = []
        for record in records:
            info = describe(record)
            if reading := readings.get(info.id):
                rates = fresh[info.id][1] if info.id in fresh else Rates[str]()
                measure_into(info, reading, rates)
                fresh[info.id] = now, rates
            described.append(info)
        return described

    async def _logs(self, action: DockerAction) -> CommandResponse:
        chosen = container_id(action.target)
        output, truncated = await read_logs(self._connected(), chosen, action)
        return CommandResponse(stdout=output, truncated=truncated)

    async def _act(self, action: DockerAction, part: Part) -> CommandResponse:
        match action.operation:
            case DockerAction.OPERATION_PULL:
                image = image_reference(action.target)
                return CommandResponse(pull=await pull(self._connected(), image, part))
            case DockerAction.OPERATION_REMOVE_IMAGE:
                image = image_name(action.target)
                await images.remove_image(self._connected(), image, force=action.force)
                return CommandResponse()
            case DockerAction.OPERATION_PRUNE_IMAGES:
                return CommandResponse(pruned=await images.prune_images(self._connected()))
        chosen = container_id(action.target)
        if action.grace_seconds > GRACE_LIMIT:
            raise invalid(f"a container is given at most {GRACE_LIMIT} seconds to end")
        container = self._connected().containers.container(chosen)
        with translated(otherwise=conflict):
            await _CALLS[action.operation](container, action)
        if action.operation == DockerAction.OPERATION_REMOVE:
            return CommandResponse()
        return CommandResponse(container=ContainerDetails(info=await self._after(chosen)))

    async def _after(self, chosen: ContainerId) -> DockerContainerInfo:
        try:
            return await self._now(chosen)
        except CommandFailedError as error:
            if error.failure != CommandResponse.FAILURE_NOT_FOUND:
                raise
            # It was made to go when it ends.
            return DockerContainerInfo(id=chosen, state="removed")


Call = Callable[["DockerContainer", DockerAction], Awaitable[None]]
_CALLS: dict[DockerAction.Operation.ValueType, Call] = {
    DockerAction.OPERATION_START: lambda container, _: container.start(),
    DockerAction.OPERATION_STOP: lambda container, a: container.stop(t=a.grace_seconds),
    DockerAction.OPERATION_RESTART: lambda container, a: container.restart(t=a.grace_seconds),
    DockerAction.OPERATION_PAUSE: lambda container, _: container.pause(),
    DockerAction.OPERATION_UNPAUSE: lambda container, _: container.unpause(),
    DockerAction.OPERATION_KILL: lambda container, _: container.kill(),
    DockerAction.OPERATION_REMOVE: lambda container, a: container.delete(force=a.force),
}
_READS = frozenset(
    {
        *(DockerAction.OPERATION_LIST, DockerAction.OPERATION_INSPECT),
        *(DockerAction.OPERATION_LOGS, DockerAction.OPERATION_IMAGES),
    }
)
_OTHER_ACTS = frozenset(
    {
        *(DockerAction.OPERATION_PULL, DockerAction.OPERATION_REMOVE_IMAGE),
        DockerAction.OPERATION_PRUNE_IMAGES,
    }
)


def _access(operation: DockerAction.Operation.ValueType) -> Powers.DockerAccess.ValueType:
    if operation in _READS:
        return Powers.DOCKER_ACCESS_READ
    if operation in _CALLS or operation in _OTHER_ACTS:
        return Powers.DOCKER_ACCESS_ACTIONS
    raise invalid("this agent does not know that operation")


async def _readings(engine: "Engine", containers: list[str]) -> dict[str, Record]:
    """What the engine tells of their use in time."""
    allowed = asyncio.Semaphore(MEASURING)

    async def measure(name: str) -> Record:
        async with allowed:
            return await stats(engine, name)

    tasks = {asyncio.ensure_future(measure(name)): name for name in containers}
    if not tasks:
        return {}
    try:
        done, _ = await asyncio.wait(tasks, timeout=MEASURE_TIMEOUT)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return {tasks[task]: task.result() for task in done if not task.exception()}
