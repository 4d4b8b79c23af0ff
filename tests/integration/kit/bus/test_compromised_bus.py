"""Control of the bus, with everything permitted on it, makes no agent execute anything."""

import secrets
from typing import Any
from uuid import uuid4

from nats.aio.client import Client
from pydantic import SecretStr

from flotilla.v1.agent_pb2 import AgentConfig
from flotilla.v1.bus_pb2 import AgentRecord
from flotilla.v1.command_pb2 import (
    CancelAction,
    CommandResponse,
    DockerAction,
    FileAction,
    PtyAction,
    RotateAction,
    ShellAction,
)
from services.kit.agents.commands import Signer, new_command
from services.kit.bus import subjects
from services.kit.bus.subjects import User
from tests.fixtures.compromised_bus import STRANGER, Victim, asked, forged
from tests.fixtures.terminals import Screen


def actions(victim: Victim) -> dict[str, Any]:
    """Return forged actions. Each would leave a file in the folder, or give more access."""
    path = str(victim.root / "forged")
    return {
        "shell": ShellAction(script=f"touch {path}"),
        "file": FileAction(operation=FileAction.OPERATION_MAKE_DIRECTORY, path=path),
        "docker": DockerAction(operation=DockerAction.OPERATION_LIST),
        "pty": PtyAction(session_id=secrets.token_hex(16), columns=80, rows=24, lease_ms=60_000),
        "rotate": RotateAction(command_key=STRANGER.public_key),
        "cancel": CancelAction(command_id="f" * 32),
    }


async def test_the_bus_is_really_open_and_the_agent_really_obeys(
    victim: Victim, intruder: Client, terminal: Screen
) -> None:
    await victim.script(f"echo ran >> {victim.root}/ran")
    assert victim.done == {"ran": "ran\n", "typed": "typed\n"}
    # The actions are possible: the same agent executes them if they are signed with the key.
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
    await victim.script("true")  # it still accepts commands of its console, signed with the old key


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


async def test_no_services_password_is_a_way_in(victim: Victim, intruder: Client) -> None:
    """The permissions are the deployed ones, and the intruder has received messages elsewhere."""
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
    """Edges push settings from a bucket that everybody can write here."""

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
