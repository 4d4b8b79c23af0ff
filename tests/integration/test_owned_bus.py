"""Who owns the bus wholly, and hears and says what they like on it, has no agent do anything."""

import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest
import pytest_asyncio
import websockets
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from pydantic import SecretStr

from flotilla.v1.agent_pb2 import AgentConfig
from flotilla.v1.bus_pb2 import AgentRecord
from flotilla.v1.command_pb2 import (
    CancelAction,
    Command,
    CommandRequest,
    CommandResponse,
    DockerAction,
    FileAction,
    PtyAction,
    PtyDataToAgent,
    PtyInput,
    RotateAction,
    ShellAction,
)
from flotilla.v1.shell_pb2 import (
    ShellAttach,
    ShellControl,
    ShellInput,
    ShellOpenRequest,
    ShellOpenResponse,
    ShellUser,
)
from services.kit import subjects
from services.kit.commands import Signer, new_command
from services.kit.subjects import User
from tests.fixtures import programs, world
from tests.fixtures.programs import Program
from tests.fixtures.stack import CONFIGURATION
from tests.fixtures.terminals import Screen, refused, screen, shell_url
from tests.fixtures.waiting import until
from tests.fixtures.world import World, _world

POLICY = 'shell = true\ncommands = true\nfiles = "write"\nfile_roots = ["{root}"]\n'
STRANGER = Signer(Ed25519PrivateKey.generate())


@dataclass
class Victim:
    """A server with all powers that its owner uses, while somebody listens on the bus."""

    world: World
    user: httpx.AsyncClient
    vps_id: str
    agent: Program
    root: Path
    """Where a forged command would leave something."""
    heard: list[Msg] = field(default_factory=list)

    @property
    def done(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in self.root.iterdir()}

    async def script(self, text: str) -> None:
        answer = await self.user.post(f"/vps/{self.vps_id}/commands", json={"script": text})
        assert answer.json()["exit_code"] == 0, answer.text

    def of(self, subject: str) -> list[bytes]:
        return [message.data for message in self.heard if message.subject == subject]


def without_permissions(folder: Path) -> Path:
    """NATS as an intruder would set it up: every user may do everything."""
    text = re.sub(
        r"^ *permissions \{.*?^      \}\n",
        "",
        CONFIGURATION.read_text(),
        flags=re.MULTILINE | re.DOTALL,
    )
    assert "publish" not in text
    path = folder / "nats.conf"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def open_bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        path = without_permissions(tmp_path_factory.mktemp("open-bus"))
        patch.setattr(world, "CONFIGURATION", path)
        yield


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def victim(
    open_bus: None,
    tmp_path_factory: pytest.TempPathFactory,
    issued: Path,
    databases: Callable[[], str],
) -> AsyncIterator[Victim]:
    folder = tmp_path_factory.mktemp("owned-bus")
    root = folder / "root"
    root.mkdir()
    async with _world(folder, issued, databases) as own:
        await own.start_all()
        own.start("shellproxy", run_as="second shellproxy")
        await own.ready("second shellproxy")
        user = await own.user("member")
        vps_id, agent = await programs.enrolled_agent(
            user,
            folder / "agent",
            policy=POLICY.format(root=root),
            authority=issued / "ca.pem",
            command_key=own.command_key,
        )
        try:
            yield Victim(own, user, vps_id, agent, root)
        finally:
            agent.kill()


@pytest_asyncio.fixture(loop_scope="session")
async def intruder(victim: Victim) -> AsyncIterator[Client]:
    """Hears all there is on the bus."""
    async with victim.world.nats.client("operator") as client:

        async def take(message: Msg) -> None:
            victim.heard.append(message)

        victim.heard.clear()
        await client.subscribe("flotilla.>", cb=take)
        await client.flush()
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def terminal(victim: Victim, intruder: Client) -> AsyncIterator[Screen]:
    """The owner's, in which something was typed that everybody heard."""
    async with screen(victim.world.ws, victim.user, victim.vps_id) as shown:
        await shown.frame(type="ready")
        await shown.type(f"echo typed >> {victim.root}/typed; echo do''ne\r".encode())
        await shown.shows(b"done")
        yield shown
        with suppress(websockets.ConnectionClosed):
            await shown.say(type="close")
        await shown.frame(type="exit")


def session_of(victim: Victim) -> str:
    started = [
        PtyDataToAgent.FromString(data) for data in victim.of(subjects.agent_pty(victim.vps_id))
    ]
    return next(data.session_id for data in reversed(started) if data.HasField("start"))


def actions(victim: Victim) -> dict[str, Any]:
    """Each would leave something in the folder, or open a door."""
    path = str(victim.root / "forged")
    return {
        "shell": ShellAction(script=f"touch {path}"),
        "file": FileAction(operation=FileAction.OPERATION_MAKE_DIRECTORY, path=path),
        "docker": DockerAction(operation=DockerAction.OPERATION_LIST),
        "pty": PtyAction(session_id=secrets.token_hex(16), columns=80, rows=24, lease_ms=60_000),
        "rotate": RotateAction(command_key=STRANGER.public_key),
        "cancel": CancelAction(command_id="f" * 32),
    }


def forged(
    victim: Victim, name: str, action: Any, overheard: list[bytes]
) -> Iterator[CommandRequest]:
    """What an intruder can make without the key, of one action and of commands overheard."""
    command = new_command(victim.vps_id, "intruder", timeout=10)
    command.MergeFrom(Command(**{name: action}))
    raw = command.SerializeToString()
    yield CommandRequest(command=raw)
    yield CommandRequest(command=raw, signature=bytes(64))
    yield STRANGER.sign(command)
    for data in overheard:
        genuine = CommandRequest.FromString(data)
        yield CommandRequest(command=raw, signature=genuine.signature)
        yield CommandRequest(command=genuine.command + raw, signature=genuine.signature)
        changed = Command.FromString(genuine.command)
        changed.MergeFrom(Command(**{name: action}))
        yield CommandRequest(command=changed.SerializeToString(), signature=genuine.signature)


async def asked(client: Client, subject: str, payload: bytes) -> bytes | None:
    """The answer; None where nobody gives one, or this user may not ask."""
    try:
        return (await client.request(subject, payload, timeout=3)).data
    except (NoRespondersError, NatsError, TimeoutError):
        return None


async def test_the_bus_is_really_open_and_the_agent_really_obeys(
    victim: Victim, intruder: Client, terminal: Screen
) -> None:
    await victim.script(f"echo ran >> {victim.root}/ran")
    assert victim.done == {"ran": "ran\n", "typed": "typed\n"}
    # Not for want of a way: the same agent does the same when the key is behind it.
    command = new_command(victim.vps_id, "the key's holder", timeout=10)
    command.shell.script = f"echo key >> {victim.root}/key"
    request = Signer.of(SecretStr(victim.world.command_key)).sign(command)
    subject = subjects.agent_command(victim.vps_id)
    answer = CommandResponse.FromString(
        await asked(intruder, subject, request.SerializeToString()) or b""
    )
    assert answer.status == CommandResponse.STATUS_FINISHED
    assert victim.done["key"] == "key\n"
    assert await asked(intruder, subject, request.SerializeToString()) is not None
    assert victim.done["key"] == "key\n"


async def test_forged_commands_are_refused_whatever_they_would_do(
    victim: Victim, intruder: Client
) -> None:
    await victim.script("true")
    before = victim.done
    subject = subjects.agent_command(victim.vps_id)
    overheard = victim.of(subject)
    tried = 0
    for name, action in actions(victim).items():
        for request in forged(victim, name, action, overheard):
            data = await asked(intruder, subject, request.SerializeToString())
            answer = CommandResponse.FromString(data or b"")
            assert answer.status != CommandResponse.STATUS_FINISHED, (name, answer)
            tried += 1
    assert tried > 30
    assert victim.done == before
    await victim.script("true")  # it obeys its own console, by the key it had


async def test_a_genuine_command_is_good_once_and_for_its_server_alone(
    victim: Victim, intruder: Client
) -> None:
    await victim.script(f"echo once >> {victim.root}/once")
    subject = subjects.agent_command(victim.vps_id)
    for data in victim.of(subject) * 3:
        await asked(intruder, subject, data)
    assert victim.done["once"] == "once\n"

    signer = Signer.of(SecretStr(victim.world.command_key))
    elsewhere = new_command(str(uuid4()), "somebody", timeout=10)
    late = new_command(victim.vps_id, "somebody", timeout=10)
    late.not_before_unix_ms -= 120_000
    late.expires_at_unix_ms -= 120_000
    early = new_command(victim.vps_id, "somebody", timeout=10)
    early.not_before_unix_ms += 120_000
    early.expires_at_unix_ms += 120_000
    for command in (elsewhere, late, early):
        command.shell.script = f"touch {victim.root}/forged"
        told = await asked(intruder, subject, signer.sign(command).SerializeToString())
        answer = CommandResponse.FromString(told or b"")
        assert answer.failure == CommandResponse.FAILURE_FORBIDDEN
    assert "forged" not in victim.done


async def test_what_was_typed_cannot_be_typed_again_nor_anything_else(
    victim: Victim, intruder: Client, terminal: Screen
) -> None:
    before = victim.done
    typing = f"touch {victim.root}/forged\r".encode()
    session, subject = session_of(victim), subjects.agent_pty(victim.vps_id)
    genuine = [PtyDataToAgent.FromString(data) for data in victim.of(subject)]
    inputs = [data.input for data in genuine if data.HasField("input")]
    assert inputs
    position = inputs[-1].offset + len(inputs[-1].data)
    frames = [
        PtyDataToAgent(session_id=session, data=typing),
        *(
            PtyDataToAgent(
                session_id=session, input=PtyInput(offset=offset, data=data, signature=s)
            )
            for offset in (position, inputs[-1].offset, 0)
            for data in (typing, inputs[-1].data)
            for s in (b"", bytes(64), inputs[-1].signature)
        ),
        PtyDataToAgent(session_id=session, input=STRANGER.sign_input(session, position, typing)),
        *genuine,
    ]
    for frame in frames:
        await intruder.publish(subject, frame.SerializeToString())
    await intruder.flush()
    mark = secrets.token_hex(4)
    await terminal.type(f"echo {mark[:4]}''{mark[4:]}\r".encode())
    await terminal.shows(mark.encode())
    assert victim.done == before


async def test_a_terminal_cannot_be_opened_again_by_what_opened_it(
    victim: Victim, intruder: Client, terminal: Screen
) -> None:
    session, subject = session_of(victim), subjects.agent_pty(victim.vps_id)
    await terminal.say(type="close")
    await terminal.frame(type="exit")
    await until(lambda: children(victim) == [])
    overheard = [
        PtyDataToAgent.FromString(data).start.SerializeToString() for data in victim.of(subject)
    ]
    action = PtyAction(session_id=session, columns=80, rows=24)
    for data in victim.of(subject) * 2:
        frame = PtyDataToAgent.FromString(data)
        await intruder.publish(subject, data)
        frame.session_id = secrets.token_hex(16)
        await intruder.publish(subject, frame.SerializeToString())
    for request in forged(victim, "pty", action, overheard):
        frame = PtyDataToAgent(session_id=session, start=request)
        await intruder.publish(subject, frame.SerializeToString())
    await intruder.flush()
    await victim.script("true")  # the agent has seen them all by now
    assert children(victim) == []


async def test_a_terminal_is_opened_once_whichever_relay_hears_of_it(
    victim: Victim, intruder: Client, terminal: Screen
) -> None:
    running = children(victim)
    openings = [told for told in victim.heard if told.subject == subjects.SHELL_OPEN]
    assert openings
    for told in openings * 20:
        answer = await intruder.request(told.subject, told.data, headers=told.headers, timeout=5)
        assert ShellOpenResponse.FromString(answer.data).HasField("refusal")
    assert children(victim) == running


async def test_what_is_typed_goes_to_no_other_terminal_than_the_one_asked_for(
    victim: Victim, intruder: Client, terminal: Screen
) -> None:
    elsewhere = (await victim.user.post("/vps", json={"name": "elsewhere"})).json()["id"]
    session = session_of(victim)

    async def answer(message: Msg) -> None:
        told = ShellOpenResponse(session_id=session)
        await message.respond(told.SerializeToString())

    lie = await intruder.subscribe(subjects.SHELL_OPEN, cb=answer)
    await intruder.flush()
    for vps_id in (elsewhere, victim.vps_id):
        status, _ = await refused(await shell_url(victim.world.ws, victim.user, vps_id))
        assert status == 503
    await lie.unsubscribe()


def children(victim: Victim) -> list[str]:
    return [child.name() for child in psutil.Process(victim.agent.process.pid).children()]


async def test_whoever_speaks_for_a_gateway_opens_no_terminal_and_types_in_none(
    victim: Victim, intruder: Client, terminal: Screen
) -> None:
    before, running = victim.done, children(victim)
    me = (await victim.user.get("/auth/me")).json()
    user = ShellUser(id=me["id"], username=me["username"], oversees=True)
    opening = ShellOpenRequest(vps_id=victim.vps_id, user=user, columns=80, rows=24)
    opened = [opening.SerializeToString(), *victim.of(subjects.SHELL_OPEN)]
    for payload in opened:
        data = await asked(intruder, subjects.SHELL_OPEN, payload)
        assert not ShellOpenResponse.FromString(data or b"").session_id

    control = subjects.shell_control(session_of(victim))
    typing = f"touch {victim.root}/forged\r".encode()
    attachment = secrets.token_hex(8)
    events: tuple[dict[str, Any], ...] = (
        {"attach": ShellAttach(columns=80, rows=24)},
        {"input": ShellInput(offset=0, data=typing)},
    )
    for event in events:
        message = ShellControl(attachment_id=attachment, user=user, **event)
        await asked(intruder, control, message.SerializeToString())
    for told in list(victim.heard):
        if told.subject in {control, subjects.SHELL_OPEN}:
            headers = told.headers
            await intruder.publish(told.subject, told.data, reply="_INBOX_x.y", headers=headers)
            changed = ShellControl.FromString(told.data)
            if changed.HasField("input"):
                changed.input.offset += len(changed.input.data)
                changed.input.data = typing
                await intruder.publish(control, changed.SerializeToString(), headers=headers)
    await intruder.flush()
    mark = secrets.token_hex(4)
    await terminal.type(f"echo {mark[:4]}''{mark[4:]}\r".encode())
    await terminal.shows(mark.encode())
    assert victim.done == before
    assert children(victim) == running


async def test_no_services_password_is_a_way_in(victim: Victim, intruder: Client) -> None:
    """On the deployed permissions, and with what was overheard elsewhere."""
    await victim.script(f"echo one >> {victim.root}/one")
    command = new_command(victim.vps_id, "intruder", timeout=5)
    command.shell.script = f"touch {victim.root}/forged"
    before = victim.done
    for user in User:
        async with victim.world.nats.client(user.value) as client:
            for subject in (
                subjects.agent_command(victim.vps_id),
                subjects.agent_pty(victim.vps_id),
            ):
                for payload in (
                    STRANGER.sign(command).SerializeToString(),
                    *victim.of(subject),
                ):
                    await client.publish(subject, payload, reply=f"_INBOX_{user}.x")
            await client.flush()
    await victim.script("true")
    assert victim.done == before


async def test_what_the_bus_tells_an_agent_to_be_changes_no_power(
    victim: Victim, intruder: Client
) -> None:
    """The settings that edges push come from a bucket anybody here can write."""

    async def powers() -> dict[str, Any]:
        found: dict[str, Any] = (await victim.user.get(f"/vps/{victim.vps_id}")).json()["powers"]
        return found

    before = await powers()
    key = subjects.key(subjects.Bucket.AGENTS, victim.vps_id)
    js = intruder.jetstream()
    bucket = await js.key_value(subjects.Bucket.AGENTS)
    entry = await bucket.get(victim.vps_id)
    record = AgentRecord.FromString(entry.value or b"")
    record.config.MergeFrom(AgentConfig(revision=99, docker_enabled=True))
    await js.publish(key, record.SerializeToString())
    await victim.script("true")
    assert await powers() == before
