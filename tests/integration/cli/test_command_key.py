"""Rotation of the command key: agents accept a new key only if the trusted key signed it."""

import asyncio
import base64
import stat
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import SecretStr

from deploy.local.settings import seed
from flotilla.v1.agent_pb2 import Powers
from flotilla.v1.command_pb2 import CommandResponse
from services.kit.agents.commands import COMMAND_CONTEXT, Signer
from tests.fixtures import runs
from tests.fixtures.scripted_agent import ScriptedAgent
from tests.fixtures.waiting import until
from tests.fixtures.world import World


def public(key: str) -> bytes:
    return Signer.of(SecretStr(key)).public_key


async def rotated_to(agent: ScriptedAgent, old: str) -> bytes:
    """Answer the rotation command, which the old key must have signed; return the new key."""
    request, command = await agent.commanded()
    signed = COMMAND_CONTEXT + request.command
    Ed25519PublicKey.from_public_bytes(public(old)).verify(request.signature, signed)
    assert command.WhichOneof("action") == "rotate"
    await agent.answer(command.id)
    return command.rotate.command_key


async def test_agents_follow_a_rotation_when_they_are_or_come_online(own_world: World) -> None:
    world, old, new = own_world, own_world.command_key, seed()
    await world.start_all()
    user = await world.user()
    here, later, stubborn, *last, stranger = [await world.enrolled(user) for _ in range(6)]
    for agent in (here, later, stubborn, *last):
        agent.powers = Powers(commands=True, command_keys=[public(old)])
        await agent.connect()
    stranger.powers = Powers(commands=True, command_keys=[public(seed())])
    await stranger.connect()

    async def obeys(agent: ScriptedAgent) -> Any:
        return ((await user.get(f"/vps/{agent.vps_id}")).json()["powers"] or {}).get("obeys")

    async def all_are_known() -> bool:
        told = [await obeys(agent) for agent in (here, later, stubborn, stranger)]
        return told == [True, True, True, False]

    await until(all_are_known)
    for agent in (later, *last):
        await agent.leave()

    await world.stop("gateway")
    world.start("gateway", command_key=new, command_key_previous=old)
    await world.ready("gateway")
    _, told = await stubborn.commanded()
    await stubborn.answer(
        told.id,
        status=CommandResponse.STATUS_REFUSED,
        failure=CommandResponse.FAILURE_UNAVAILABLE,
        reason="the disk is full",
    )
    assert await rotated_to(here, old) == public(new)
    await until(lambda: obeys(here))
    assert await obeys(later) is False
    await later.connect()
    assert await rotated_to(later, old) == public(new)
    await until(lambda: obeys(later))

    # An agent that refused is not asked again soon. Agents that trust neither key, and agents that
    # already switched, are never asked. The gateway checks all agents together and checks again after
    # the answers. If two more agents switch one after the other, a complete check has taken place.
    for agent in last:
        await agent.connect()
        assert await rotated_to(agent, old) == public(new)
        await until(partial(obeys, agent))
    for agent in (here, later, stubborn, stranger):
        await agent.report()
        await agent.receive("batch_ack")
    commands = {
        agent.vps_id: [m.WhichOneof("payload") for m in agent.seen].count("command_request")
        for agent in (here, later, stubborn, stranger)
    }
    assert list(commands.values()) == [1, 1, 1, 0]
    assert await obeys(stubborn) is False
    assert await obeys(stranger) is False

    entries = (await user.get("/audit", params={"actor": "console"})).json()["items"]
    told_of = {entry["object"]: (entry["action"], entry["allowed"]) for entry in entries}
    followed = {f"vps:{agent.vps_id}": True for agent in (here, later, *last)}
    assert told_of == {
        name: ("command-key.rotate", allowed)
        for name, allowed in {**followed, f"vps:{stubborn.vps_id}": False}.items()
    }

    # From now on, commands are signed with the new key.
    run = await runs.start(user, here)
    request, command = await here.commanded()
    Ed25519PublicKey.from_public_bytes(public(new)).verify(
        request.signature, COMMAND_CONTEXT + request.command
    )
    await here.answer(command.id)
    assert (await runs.result(user, run))["status"] == "finished"


async def flotilla(state: Path, *words: str, **environment: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("flotilla")),
        *words,
        env={"PATH": "/usr/bin:/bin", "FLOTILLA_STATE": str(state), **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


def settings(state: Path) -> dict[str, str]:
    lines = (state / "flotilla.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def drafts(state: Path) -> list[Path]:
    return [path for path in state.iterdir() if path.name != "flotilla.env"]


async def test_a_rotation_keeps_the_key_before_and_everything_else(tmp_path: Path) -> None:
    first = seed()
    path = tmp_path / "flotilla.env"
    path.write_text(f"FLOTILLA_COMMAND_KEY={first}\nFLOTILLA_COMMAND_KEY_PREVIOUS=\nOTHER=a=b\n")
    path.chmod(0o640)
    assert await flotilla(tmp_path, "command-key", "show") == (0, f"{public(first).hex()}\n")

    code, said = await flotilla(tmp_path, "command-key", "rotate")
    after = settings(tmp_path)
    second = after["FLOTILLA_COMMAND_KEY"]
    assert code == 0
    assert after == {
        "OTHER": "a=b",
        "FLOTILLA_COMMAND_KEY": second,
        "FLOTILLA_COMMAND_KEY_PREVIOUS": first,
    }
    assert len(base64.b64decode(second, validate=True)) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert public(second).hex() in said
    assert "Restart every gateway and shellproxy" in said
    assert first not in said
    assert second not in said
    assert drafts(tmp_path) == []

    await flotilla(tmp_path, "command-key", "rotate")
    assert settings(tmp_path)["FLOTILLA_COMMAND_KEY_PREVIOUS"] == second


async def test_a_rotation_that_would_change_nothing_is_refused(tmp_path: Path) -> None:
    code, said = await flotilla(tmp_path, "command-key", "rotate", FLOTILLA_COMMAND_KEY=seed())
    assert (code, "set in the environment" in said) == (2, True)
    code, said = await flotilla(tmp_path, "command-key", "rotate")
    assert (code, "Set FLOTILLA_STATE" in said) == (2, True)
    (tmp_path / "flotilla.env").write_text("OTHER=1\n")
    code, said = await flotilla(tmp_path, "command-key", "rotate")
    assert (code, "FLOTILLA_COMMAND_KEY is not set" in said) == (2, True)
    assert settings(tmp_path) == {"OTHER": "1"}


WEAK = {
    "short": base64.b64encode(b"x" * 16).decode(),
    "repeated": base64.b64encode(b"x" * 32).decode(),
    "zero": base64.b64encode(bytes(32)).decode(),
    "no Base64": "correct horse battery staple",
    "hexadecimal": "0f" * 32,
}


@pytest.mark.parametrize("weak", WEAK.values(), ids=WEAK)
async def test_a_weak_or_missing_key_stops_the_gateway_at_its_start(
    world: World, weak: str, tmp_path: Path
) -> None:
    environment = world.environment()
    environment["FLOTILLA_COMMAND_KEY"] = weak
    code, said = await flotilla(tmp_path, "run", "gateway", **environment)
    assert (code, "FLOTILLA_COMMAND_KEY is not 32 random bytes" in said) == (2, True)
    assert weak not in said
    del environment["FLOTILLA_COMMAND_KEY"]
    code, said = await flotilla(tmp_path, "run", "gateway", **environment)
    assert (code, "FLOTILLA_COMMAND_KEY is not set" in said) == (2, True)
