"""Moves agents from the previous command key to the current one."""

import asyncio
import time
from uuid import UUID

import structlog

from flotilla.v1.command_pb2 import Command, RotateAction
from services.gateway.context import Context
from services.gateway.servers import store as server_store
from services.kit.agents.commands import CommandError, Signer, execute, new_command
from services.kit.agents.presence import Status
from services.kit.database import pool as database
from services.kit.errors import FlotillaError, TransientError

log = structlog.get_logger(__name__)

AT_ONCE = 20
TIMEOUT = 10.0  # seconds
REFUSED_PAUSE = 600.0  # seconds before an agent that refused is asked again
ACTOR = "console"


class Rotation:
    """Sends the new key to agents that trust only the previous one.

    Every gateway does this. An agent that already has the new key refuses the command; this is harmless.
    """

    def __init__(self, context: Context, previous: Signer) -> None:
        self._context = context
        self._previous = previous
        self._not_before: dict[UUID, float] = {}  # monotonic; of agents that refused

    async def run(self) -> None:
        """Look for agents at intervals, until cancelled."""
        while True:
            try:
                await self.look()
            except TransientError as error:
                log.warning("rotation_postponed", error=str(error))
            await asyncio.sleep(self._context.timing.key_rotation_interval)

    async def look(self) -> None:
        """Send the new key to the agents that are online and lack it.

        Raises:
            TransientError: the database is away.
        """
        old, new = self._previous.public_key.hex(), self._context.signer.public_key.hex()
        async with database.transaction(self._context.pool) as connection:
            left = await server_store.trusting(connection, command_key=old, and_not=new)
        self._not_before = {
            vps_id: until for vps_id, until in self._not_before.items() if vps_id in left
        }
        slots = asyncio.Semaphore(AT_ONCE)

        async def rotate(vps_id: UUID) -> None:
            async with slots:
                await self._rotate(vps_id)

        async with asyncio.TaskGroup() as tasks:
            for vps_id in left:
                if self._is_due(vps_id):
                    tasks.create_task(rotate(vps_id))

    def _is_due(self, vps_id: UUID) -> bool:
        server = self._context.live.servers.get(str(vps_id))
        online = server is not None and server.status in {Status.ONLINE, Status.STALE}
        return online and self._not_before.get(vps_id, 0.0) <= time.monotonic()

    async def _rotate(self, vps_id: UUID) -> None:
        command = new_command(str(vps_id), ACTOR, timeout=TIMEOUT)
        key = self._context.signer.public_key
        command.MergeFrom(Command(rotate=RotateAction(command_key=key)))
        try:
            await execute(self._context.bus, self._previous, command)
            async with database.transaction(self._context.pool) as connection:
                await server_store.put_command_keys(connection, vps_id=vps_id, keys=[key.hex()])
        except CommandError as error:
            self._not_before[vps_id] = time.monotonic() + REFUSED_PAUSE
            self._record(vps_id, allowed=False, reason=str(error))
        except FlotillaError as error:  # offline again, or no answer: try again at the next look
            log.warning("agent_not_rotated", vps_id=str(vps_id), error=str(error))
        else:
            self._record(vps_id, allowed=True)

    def _record(self, vps_id: UUID, *, allowed: bool, reason: str = "") -> None:
        self._context.audit_log.record(
            actor=ACTOR,
            action="command-key.rotate",
            object=f"vps:{vps_id}",
            allowed=allowed,
            reason=reason,
        )


async def keep_rotating(context: Context) -> None:
    """Rotate keys until cancelled; return at once where there is no previous key."""
    if context.previous_signer is not None:
        await Rotation(context, context.previous_signer).run()
