"""Moves agents from the command key before to the one that is in force."""

import asyncio
import time
from uuid import UUID

import structlog

from flotilla.v1.command_pb2 import Command, RotateAction
from services.gateway.presence import Status
from services.gateway.runtime import Runtime
from services.gateway.store import fleet
from services.kit import database
from services.kit.commands import CommandError, Signer, execute, new_command
from services.kit.errors import FlotillaError, TransientError

log = structlog.get_logger(__name__)

INTERVAL = 10.0  # seconds between looks for agents that came online
AT_ONCE = 20
TIMEOUT = 10.0  # seconds
REFUSED_PAUSE = 600.0  # seconds before an agent that refused is asked again
ACTOR = "console"


class Rotation:
    """Every gateway does it: an agent that has followed one refuses, and takes no harm from, the next."""

    def __init__(self, runtime: Runtime, previous: Signer) -> None:
        self._runtime = runtime
        self._previous = previous
        self._not_before: dict[UUID, float] = {}  # of those that refused, monotonic

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.look()
            except TransientError as error:
                log.warning("rotation_postponed", error=str(error))
            await asyncio.sleep(INTERVAL)

    async def look(self) -> None:
        """Tell those that are online and do not know yet.

        Raises:
            TransientError: the database is away.
        """
        old, new = self._previous.public_key.hex(), self._runtime.signer.public_key.hex()
        async with database.transaction(self._runtime.pool) as connection:
            left = await fleet.trusting(connection, command_key=old, and_not=new)
        self._not_before = {
            vps_id: until for vps_id, until in self._not_before.items() if vps_id in left
        }
        places = asyncio.Semaphore(AT_ONCE)

        async def tell(vps_id: UUID) -> None:
            async with places:
                await self._tell(vps_id)

        async with asyncio.TaskGroup() as tasks:
            for vps_id in left:
                if self._is_due(vps_id):
                    tasks.create_task(tell(vps_id))

    def _is_due(self, vps_id: UUID) -> bool:
        server = self._runtime.live.servers.get(str(vps_id))
        online = server is not None and server.status in {Status.ONLINE, Status.STALE}
        return online and self._not_before.get(vps_id, 0.0) <= time.monotonic()

    async def _tell(self, vps_id: UUID) -> None:
        command = new_command(str(vps_id), ACTOR, timeout=TIMEOUT)
        key = self._runtime.signer.public_key
        command.MergeFrom(Command(rotate=RotateAction(command_key=key)))
        try:
            await execute(self._runtime.bus, self._previous, command)
            async with database.transaction(self._runtime.pool) as connection:
                await fleet.put_command_keys(connection, vps_id=vps_id, keys=[key.hex()])
        except CommandError as error:
            self._not_before[vps_id] = time.monotonic() + REFUSED_PAUSE
            self._note(vps_id, allowed=False, reason=str(error))
        except FlotillaError as error:  # offline again, or no answer: it will be asked again
            log.warning("agent_not_rotated", vps_id=str(vps_id), error=str(error))
        else:
            self._note(vps_id, allowed=True)

    def _note(self, vps_id: UUID, *, allowed: bool, reason: str = "") -> None:
        self._runtime.trail.note(
            actor=ACTOR,
            action="command-key.rotate",
            object=f"vps:{vps_id}",
            allowed=allowed,
            reason=reason,
        )


async def keep_rotating(runtime: Runtime) -> None:
    """Until cancelled; nothing to do where no key came before."""
    if runtime.previous_signer is not None:
        await Rotation(runtime, runtime.previous_signer).run()
