"""The ending of shells in containers, which the engine can start and cannot end."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agent.engine import CONTAINER_LIMIT
from agent.execute.containers.answers import translated
from agent.execute.failure import CommandFailedError

if TYPE_CHECKING:
    from aiodocker import Docker as Engine
    from aiodocker.containers import DockerContainer

log = logging.getLogger(__name__)

CALL_TIMEOUT = 5.0  # seconds
INTERVAL = 0.5  # seconds between hanging up and killing
SHELL_LIMIT = 64  # of a container, of which some may be ours

# Signals every process of a session; fails when there was one. Of the shell's own words alone,
# since an image may have no others. In /proc/<pid>/stat the session follows the name, which ends
# at the last ")", as the fourth; see proc(5).
SIGNAL = """
session=$1 signal=$2 found=0
for stat in /proc/[0-9]*/stat; do
  read -r line 2>/dev/null <"$stat" || continue
  set -- ${line##*") "}
  [ "$1" != Z ] && [ "$4" = "$session" ] || continue
  found=1
  kill -s "$signal" "${line%% *}" 2>/dev/null
done
exit $found
"""
FOUND = 1
# User, "" for the container's own, and signal. Who changed users in it takes root to end.
ENDINGS = (("", "HUP"), ("", "KILL"), ("0", "KILL"), ("0", "KILL"))


def start_words(mark: str) -> tuple[str, ...]:
    """It says its process id, by which its session can be found in the container later.

    `mark` is of this agent's, by which it finds what it started in another life.
    """
    script = 'echo "flotilla $$"; exec "$(command -v bash || command -v sh)"'
    return ("/bin/sh", "-c", script, "flotilla-agent", mark)


async def end_session(
    container: "DockerContainer", session: int, endings: Sequence[tuple[str, str]] = ENDINGS
) -> None:
    """Raises: CommandFailedError: the container does not run, or is paused."""
    for user, signal in endings:
        with translated():
            signalling = _signalled(container, session, user, signal)
            if not await asyncio.wait_for(signalling, CALL_TIMEOUT):
                return
        await asyncio.sleep(INTERVAL)
    if endings == ENDINGS:
        log.warning("a shell in container %.12s cannot be ended", container.id)


async def _signalled(container: "DockerContainer", session: int, user: str, signal: str) -> bool:
    words = ("/bin/sh", "-c", SIGNAL, "sh", str(session), signal)
    execution = await container.exec(words, user=user)
    async with execution.start() as stream:
        while await stream.read_out():
            continue
    answer = await execution.inspect()
    return bool(answer["ExitCode"] == FOUND)


async def end_left(engine: "Engine", mark: str) -> None:
    """End what an agent with this mark left running when it was killed.

    Raises:
        CommandFailedError: the engine does not answer.
    """
    with translated():
        running = await engine.containers.list(limit=CONTAINER_LIMIT)
    for container in running:
        # It may have stopped since.
        with contextlib.suppress(CommandFailedError), translated():
            for session in await _left(engine, container, mark):
                log.warning("a shell in container %.12s outlived its agent", container.id)
                await end_session(container, session)


async def _left(engine: "Engine", container: "DockerContainer", mark: str) -> list[int]:
    record = await asyncio.wait_for(container.show(), CALL_TIMEOUT)
    found = []
    for name in (record.get("ExecIDs") or [])[:SHELL_LIMIT]:
        answer = await asyncio.wait_for(engine.containers.exec(name).inspect(), CALL_TIMEOUT)
        ours = answer["ProcessConfig"].get("arguments") == list(start_words(mark)[1:])
        if ours and answer["Running"] and (session := _inside(answer["Pid"])):
            found.append(session)
    return found


def _inside(pid: int) -> int:
    """The host's process by its number in its container; 0 when that cannot be told."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("NSpid:"):
                return int(line.split()[-1])
    return 0
