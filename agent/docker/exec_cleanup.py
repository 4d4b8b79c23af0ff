"""Termination of shells in containers: the Docker engine can start them, but not end them."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agent.commands.errors import CommandFailedError
from agent.docker.client import CONTAINER_LIMIT
from agent.docker.engine_errors import translate_engine_errors

if TYPE_CHECKING:
    from aiodocker import Docker as Engine
    from aiodocker.containers import DockerContainer

log = logging.getLogger(__name__)

CALL_TIMEOUT = 5.0  # seconds
INTERVAL = 0.5  # seconds between two steps
EXEC_LIMIT = 64  # exec processes of one container that are checked

# Sends a signal to every process of a session; exits with 1 if there was one. It uses only shell
# builtins, because an image may have no other program. In /proc/<pid>/stat the session is the
# fourth field after the name, which ends at the last ")"; see proc(5).
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
# User ("" is the user of the container) and signal of each step. Only root can end a process that
# has changed its user.
STEPS = (("", "HUP"), ("", "KILL"), ("0", "KILL"), ("0", "KILL"))


def start_words(agent_tag: str) -> tuple[str, ...]:
    """Return the command line of a shell that first prints its process id.

    The process id identifies the session inside the container. The tag identifies the shells of
    this agent after a restart.
    """
    script = 'echo "flotilla $$"; exec "$(command -v bash || command -v sh)"'
    return ("/bin/sh", "-c", script, "flotilla-agent", agent_tag)


async def end_session(
    container: "DockerContainer", session: int, steps: Sequence[tuple[str, str]] = STEPS
) -> None:
    """Signal the processes of a session, step by step, until none is left.

    Raises:
        CommandFailedError: the container is stopped or paused.
    """
    for user, signal in steps:
        with translate_engine_errors():
            signalling = _send_signal(container, session, user, signal)
            if not await asyncio.wait_for(signalling, CALL_TIMEOUT):
                return
        await asyncio.sleep(INTERVAL)
    if steps == STEPS:
        log.warning("a shell in container %.12s does not end after SIGKILL", container.id)


async def _send_signal(container: "DockerContainer", session: int, user: str, signal: str) -> bool:
    """Return True if there was a process to signal."""
    words = ("/bin/sh", "-c", SIGNAL, "sh", str(session), signal)
    execution = await container.exec(words, user=user)
    async with execution.start() as stream:
        while await stream.read_out():
            continue
    result = await execution.inspect()
    return bool(result["ExitCode"] == FOUND)


async def end_orphans(engine: "Engine", agent_tag: str) -> None:
    """End the shells that a killed process of this agent left in containers.

    Raises:
        CommandFailedError: the engine does not answer.
    """
    with translate_engine_errors():
        running = await engine.containers.list(limit=CONTAINER_LIMIT)
    for container in running:
        # A container that has stopped in the meantime has no shell any more.
        with contextlib.suppress(CommandFailedError), translate_engine_errors():
            for session in await _orphans(engine, container, agent_tag):
                log.warning("a shell in container %.12s outlived its agent", container.id)
                await end_session(container, session)


async def _orphans(engine: "Engine", container: "DockerContainer", agent_tag: str) -> list[int]:
    """Return the session numbers of this agent's shells in a container."""
    record = await asyncio.wait_for(container.show(), CALL_TIMEOUT)
    found = []
    for name in (record.get("ExecIDs") or [])[:EXEC_LIMIT]:
        execution = await asyncio.wait_for(engine.containers.exec(name).inspect(), CALL_TIMEOUT)
        arguments = execution["ProcessConfig"].get("arguments")
        is_ours = arguments == list(start_words(agent_tag)[1:])
        if is_ours and execution["Running"] and (pid := _pid_in_container(execution["Pid"])):
            found.append(pid)
    return found


def _pid_in_container(pid: int) -> int:
    """Return the number that a process of the host has in its container; 0 if it is unknown."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("NSpid:"):
                return int(line.split()[-1])
    return 0
