"""Control of the bus opens no terminal and types in none."""

import secrets
from typing import Any

import psutil
from nats.aio.client import Client
from nats.aio.msg import Msg

from flotilla.v1.command_pb2 import (
    PtyAction,
    PtyDataToAgent,
    PtyInput,
)
from flotilla.v1.shell_pb2 import (
    ShellAttach,
    ShellControl,
    ShellInput,
    ShellOpenRequest,
    ShellOpenResponse,
    ShellUser,
)
from services.kit.bus import subjects
from tests.fixtures.compromised_bus import STRANGER, Victim, asked, forged
from tests.fixtures.terminals import Screen, refused, shell_url
from tests.fixtures.waiting import until


def session_of(victim: Victim) -> str:
    started = [
        PtyDataToAgent.FromString(data) for data in victim.of(subjects.agent_pty(victim.vps_id))
    ]
    return next(data.session_id for data in reversed(started) if data.HasField("start"))


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
    await victim.script("true")  # by now, the agent has received all of them
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
