"""The library as the agent loads it: without modules that it does not use."""

import sys
from asyncio.subprocess import PIPE, create_subprocess_exec

from tests.fixtures.docker_engine import IMAGE, Engine
from tests.fixtures.registry import serving
from tests.fixtures.waiting import soon

PROGRAM = """
import asyncio, sys
import importlib.metadata  # which looks for others when it is used
before = set(sys.modules)
from pathlib import Path
from agent.commands.policy import Policy
from agent.docker import library
from agent.docker.actions import DockerActions
from flotilla.v1.agent_pb2 import Powers
from flotilla.v1.command_pb2 import DockerAction

socket, container, image = sys.argv[1:]
policy = Policy(docker=Powers.DOCKER_ACCESS_ACTIONS, shell=True)
docker = DockerActions(policy, socket=lambda: Path(socket), changed=lambda: None)

async def part(_): pass

async def act(operation, target=""):
    number = DockerAction.Operation.Value(f"OPERATION_{operation}")
    return await docker.run(DockerAction(operation=number, target=target), part)

async def main():
    assert (await act("LIST")).containers.containers
    assert (await act("INSPECT", container)).container.info.id == container
    assert b"said" in (await act("LOGS", container)).stdout
    assert (await act("IMAGES")).images.images
    await act("PULL", image)
    await act("REMOVE_IMAGE", image)
    shell = await docker.open_shell(container, 80, 24)
    await shell.write(b"exit 3\\n")
    while await shell.read(1000): pass
    assert await shell.close() == 3
    assert not (await act("PRUNE_IMAGES")).HasField("container")
    await docker.close()

asyncio.run(main())
loaded = [name for name in library.UNUSED if name in sys.modules and name not in before]
assert not loaded, loaded
import uuid, tarfile, urllib.request, email.message
print(uuid.uuid4().version, tarfile.TarFile.__name__, "done")
"""


async def test_it_works_and_what_it_was_not_given_is_there_for_others(running: Engine) -> None:
    name = running.docker("run", "--detach", IMAGE, "/bin/sh", "-c", "echo said; sleep 1000")
    with serving() as registry:
        image = registry.add("library", "1", [])
        process = await create_subprocess_exec(
            sys.executable,
            "-c",
            PROGRAM,
            str(running.socket),
            name,
            image,
            stdout=PIPE,
            stderr=PIPE,
        )
        out, err = await soon(process.communicate())
    assert (process.returncode, out) == (0, b"4 TarFile done\n"), err.decode()
    running.docker("rm", "--force", name)
