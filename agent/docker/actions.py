import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from agent.collect.rates import Rates
from agent.commands.channel import Channel
from agent.commands.errors import CommandFailedError, conflict, forbidden, invalid, not_found
from agent.commands.policy import Policy
from agent.docker import images
from agent.docker.client import Record, connect, list_containers, stats
from agent.docker.collector import MEASURED_STATES, describe, shrink, with_usage
from agent.docker.engine_errors import engine_unavailable, translate_engine_errors
from agent.docker.engine_reader import EngineReader
from agent.docker.exec_cleanup import end_orphans
from agent.docker.exec_shell import ShellChannel
from agent.docker.identifiers import ContainerId, container_id, image_name, image_reference
from agent.docker.inspect import container_details
from agent.docker.logs import LogChannel, read_logs
from agent.docker.pull import pull
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

MAX_GRACE = 300  # seconds
MAX_MEASUREMENTS = 8  # at a time
MEASURE_TIMEOUT = 3.0  # seconds for all containers
RATE_AGE = 60.0  # seconds; then an earlier reading is too old for a rate
OPEN_TIMEOUT = 5.0  # seconds

SendPart = Callable[[CommandResponse], Awaitable[None]]


class DockerActions:
    """Executes Docker commands, as far as the policy of the host allows them."""

    def __init__(
        self,
        policy: Policy,
        *,
        socket: Callable[[], Path],
        changed: Callable[[], None],
        agent_tag: str = "",
    ) -> None:
        """`agent_tag` is unique to this agent and the same in each of its processes."""
        self._policy = policy
        self._socket = socket
        self._changed = changed
        self._agent_tag = agent_tag
        self._engine: Engine | None = None
        self._rates: dict[str, tuple[float, Rates[str]]] = {}
        self._channels: set[ShellChannel] = set()
        self._orphan_cleanup: asyncio.Future[None] | None = None

    async def run(self, action: DockerAction, send_part: SendPart) -> CommandResponse:
        """Return the last part of the response; the caller bounds the time.

        Raises:
            CommandFailedError: the action was refused or failed.
        """
        self._check_allowed(_required_access(action.operation))
        match action.operation:
            case DockerAction.OPERATION_LIST:
                return CommandResponse(containers=await self._list())
            case DockerAction.OPERATION_INSPECT:
                return CommandResponse(container=await self._inspect(container_id(action.target)))
            case DockerAction.OPERATION_LOGS:
                return await self._logs(action)
            case DockerAction.OPERATION_IMAGES:
                return CommandResponse(images=await images.list_images(self._connect()))
        try:
            return await self._act(action, send_part)
        finally:
            # A failed action may have changed something too.
            self._changed()

    async def open_shell(self, container: str, columns: int, rows: int) -> Channel:
        """Raises: CommandFailedError: not allowed, or the container has no shell or is stopped."""
        self._check_allowed(Powers.DOCKER_ACCESS_ACTIONS)
        if not self._policy.shell:
            raise forbidden(
                "The policy of this server does not allow a shell. Its owner can allow it with"
                " shell = true in the agent's policy.toml."
            )
        chosen = container_id(container)
        engine = self._connect()
        await self._finish_orphan_cleanup()
        channel = await ShellChannel.open(
            engine, chosen, columns=columns, rows=rows, agent_tag=self._agent_tag
        )
        self._channels = {other for other in self._channels if not other.closed} | {channel}
        return channel

    async def follow_logs(self, container: str, tail: int, since_unix_ms: int) -> Channel:
        """Raises: CommandFailedError: not allowed, or the container or its log does not exist."""
        self._check_allowed(Powers.DOCKER_ACCESS_READ)
        chosen = container_id(container)
        opening = LogChannel.open(self._connect(), chosen, tail=tail, since_unix_ms=since_unix_ms)
        with translate_engine_errors():
            return await asyncio.wait_for(opening, OPEN_TIMEOUT)

    async def close(self) -> None:
        try:
            await self._finish_orphan_cleanup()
            await asyncio.gather(*(channel.close() for channel in self._channels))
        finally:
            self._channels.clear()
            engine, self._engine = self._engine, None
            if engine:
                await engine.close()

    def _check_allowed(self, required: Powers.DockerAccess.ValueType) -> None:
        if self._policy.docker == Powers.DOCKER_ACCESS_UNSPECIFIED:
            raise forbidden(
                "The policy of this server does not allow Docker. Its owner can allow it with"
                ' docker = "read" or docker = "actions" in the agent\'s policy.toml.'
            )
        if self._policy.docker < required:
            raise forbidden(
                "The policy of this server allows reading Docker, but not changing it. Its owner"
                ' can allow that with docker = "actions" in the agent\'s policy.toml.'
            )

    def _connect(self) -> "Engine":
        if self._engine is None:
            try:
                self._engine = connect(self._socket(), timeout=None)
            except OSError as error:
                raise engine_unavailable(str(error)) from None
            if self._policy.shell and self._policy.docker == Powers.DOCKER_ACCESS_ACTIONS:
                cleanup = end_orphans(self._engine, self._agent_tag)
                self._orphan_cleanup = asyncio.ensure_future(cleanup)
        return self._engine

    async def _finish_orphan_cleanup(self) -> None:
        """Wait until the clean-up has ended; otherwise it could end a new shell of this process."""
        cleanup = self._orphan_cleanup
        if cleanup is None:
            return
        await asyncio.wait({cleanup}, timeout=OPEN_TIMEOUT)
        cleanup.cancel()
        for error in await asyncio.gather(cleanup, return_exceptions=True):
            if error and self._orphan_cleanup:
                log.warning("shells of an earlier process may remain in containers: %r", error)
        self._orphan_cleanup = None

    def _reader(self) -> EngineReader:
        self._connect()  # which also ends shells of an earlier process
        return EngineReader(self._socket(), timeout=None)

    async def _list(self) -> ContainerList:
        with translate_engine_errors():
            reader = self._reader()
            records, surplus = await list_containers(reader)
        snapshot = DockerSnapshot(containers=await self._describe_all(reader, records))
        shrink(snapshot)
        is_truncated = surplus + snapshot.containers_left_out > 0
        return ContainerList(containers=snapshot.containers, truncated=is_truncated)

    async def _inspect(self, chosen: ContainerId) -> ContainerDetails:
        engine = self._connect()
        with translate_engine_errors():
            record = await engine.containers.container(chosen).show()
        return container_details(await self._info(ContainerId(record["Id"])), record)

    async def _info(self, chosen: ContainerId) -> DockerContainerInfo:
        """Raises: CommandFailedError: the container does not exist any more."""
        parameters = {"all": "1", "filters": json.dumps({"id": [chosen]})}
        with translate_engine_errors():
            reader = self._reader()
            records = await reader.get("containers/json", parameters)
        for info in await self._describe_all(reader, records[:1]):
            return info
        raise not_found(f"There is no container {chosen[:12]}. It may have been removed.")

    async def _describe_all(
        self, reader: EngineReader, records: list[Record]
    ) -> list[DockerContainerInfo]:
        """Describe containers with their resource usage, as far as it can be read in time."""
        measured = [record["Id"] for record in records if record["State"] in MEASURED_STATES]
        readings = await _read_usage(reader, measured)
        now = time.monotonic()
        recent = {name: kept for name, kept in self._rates.items() if now - kept[0] < RATE_AGE}
        self._rates = recent
        infos = []
        for record in records:
            info = describe(record)
            if reading := readings.get(info.id):
                rates = recent[info.id][1] if info.id in recent else Rates[str]()
                info = with_usage(info, reading, rates, now)
                recent[info.id] = now, rates
            infos.append(info)
        return infos

    async def _logs(self, action: DockerAction) -> CommandResponse:
        chosen = container_id(action.target)
        output, truncated = await read_logs(self._connect(), chosen, action)
        return CommandResponse(stdout=output, truncated=truncated)

    async def _act(self, action: DockerAction, send_part: SendPart) -> CommandResponse:
        match action.operation:
            case DockerAction.OPERATION_PULL:
                image = image_reference(action.target)
                return CommandResponse(pull=await pull(self._connect(), image, send_part))
            case DockerAction.OPERATION_REMOVE_IMAGE:
                image = image_name(action.target)
                await images.remove_image(self._connect(), image, force=action.force)
                return CommandResponse()
            case DockerAction.OPERATION_PRUNE_IMAGES:
                return CommandResponse(pruned=await images.prune_images(self._connect()))
        chosen = container_id(action.target)
        if action.grace_seconds > MAX_GRACE:
            raise invalid(
                f"A container can get at most {MAX_GRACE} seconds to stop;"
                f" {action.grace_seconds} were asked for."
            )
        container = self._connect().containers.container(chosen)
        with translate_engine_errors(otherwise=conflict):
            await _CALLS[action.operation](container, action)
        if action.operation == DockerAction.OPERATION_REMOVE:
            return CommandResponse()
        return CommandResponse(container=ContainerDetails(info=await self._info_after(chosen)))

    async def _info_after(self, chosen: ContainerId) -> DockerContainerInfo:
        """Describe a container after an action, which may have removed it (`docker run --rm`)."""
        try:
            return await self._info(chosen)
        except CommandFailedError as error:
            if error.failure != CommandResponse.FAILURE_NOT_FOUND:
                raise
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
        DockerAction.OPERATION_LIST,
        DockerAction.OPERATION_INSPECT,
        DockerAction.OPERATION_LOGS,
        DockerAction.OPERATION_IMAGES,
    }
)
_IMAGE_ACTIONS = frozenset(
    {
        DockerAction.OPERATION_PULL,
        DockerAction.OPERATION_REMOVE_IMAGE,
        DockerAction.OPERATION_PRUNE_IMAGES,
    }
)


def _required_access(
    operation: DockerAction.Operation.ValueType,
) -> Powers.DockerAccess.ValueType:
    if operation in _READS:
        return Powers.DOCKER_ACCESS_READ
    if operation in _CALLS or operation in _IMAGE_ACTIONS:
        return Powers.DOCKER_ACCESS_ACTIONS
    raise invalid(
        "The agent does not know this Docker operation. Update the agent if it is older than the"
        " console."
    )


async def _read_usage(reader: EngineReader, containers: list[str]) -> dict[str, Record]:
    """Return the readings that the engine gives within the timeout, by container."""
    slots = asyncio.Semaphore(MAX_MEASUREMENTS)

    async def measure(name: str) -> Record:
        async with slots:
            return await stats(reader, name)

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
