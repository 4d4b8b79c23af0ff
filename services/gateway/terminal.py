"""A terminal's WebSocket: bytes both ways, JSON beside them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from litestar import websocket
from litestar.params import FromPath

from flotilla.v1.shell_pb2 import ShellAttach, ShellOpenRequest, ShellOpenResponse
from services.gateway import errors, records, sockets
from services.gateway.guard import PUBLIC, address, refused
from services.gateway.runtime import Runtime, UseRuntime
from services.gateway.screen import Screen
from services.gateway.shell_sessions import SESSION_ID, refuse, shell_user
from services.gateway.store import fleet, shells
from services.kit import database, subjects
from services.kit.access import Action, Actor, allow
from services.kit.seals import new_nonce

CONTAINER_ID = re.compile(r"[0-9a-f]{12,64}")
OPEN_TIMEOUT = 15.0  # seconds; the agent has ten
MAX_COLUMNS, MAX_ROWS = 1000, 500
QUERY = ("session", "container", "observe", "columns", "rows")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The address' query."""

    session_id: str
    container: str
    observe: bool
    columns: int
    rows: int

    @property
    def action(self) -> Action:
        return Action.SHELL_READ if self.observe else Action.SHELL_OPEN

    @property
    def verb(self) -> str:
        if self.observe:
            return "shell.observe"
        return "shell.attach" if self.session_id else "shell.open"


@websocket("/vps/{vps_id:uuid}/shell", opt={PUBLIC: True})
async def shell(socket: sockets.Socket, vps_id: FromPath[UUID], runtime: UseRuntime) -> None:
    async with sockets.refusals(socket):
        async with database.transaction(runtime.pool) as connection:
            vps = await fleet.get(connection, vps_id=vps_id)
        claims, actor = await sockets.admit(
            *(socket, runtime, f"vps/{vps_id}/shell", Action.SHELL_READ),
            None if vps is None else vps.user_id,
        )
        wanted = _wanted(socket, actor, vps_id)
        try:
            session_id = await _session_id(runtime, vps, actor, wanted)
            screen = Screen(socket, runtime, actor, vps_id=vps_id, session_id=session_id)
            async with screen.attached(
                ShellAttach(observe=wanted.observe, columns=wanted.columns, rows=wanted.rows)
            ):
                _note(socket, runtime, actor, vps_id, wanted, session_id=session_id)
                await socket.accept()
                await screen.relay(claims)
        except errors.RequestError as error:
            _note(
                *(socket, runtime, actor, vps_id, wanted),
                session_id=wanted.session_id,
                problem=str(error),
            )
            raise


def _wanted(socket: sockets.Socket, actor: Actor, vps_id: UUID) -> Wanted:
    """Raises: RequestError, after its audit entry."""
    query = socket.query_params
    try:
        return _read(query)
    except errors.RequestError as error:
        asked = [f"{name}={query[name]}" for name in QUERY if name in query]
        refused(
            *(socket, f"user:{actor.id}", Action.SHELL_OPEN, str(error)),
            object_id=f"vps:{vps_id}",
            detail=" ".join(asked),
        )
        raise


def _read(query: Mapping[str, str]) -> Wanted:
    """Raises: RequestError."""
    session_id, container = query.get("session", ""), query.get("container", "")
    observe = query.get("observe", "0")
    sizes = [query.get("columns", "80"), query.get("rows", "24")]
    if not all(text.isascii() and text.isdecimal() and len(text) <= 5 for text in sizes):
        raise errors.invalid("`columns` and `rows` are numbers.")
    columns, rows = map(int, sizes)
    if not (1 <= columns <= MAX_COLUMNS and 1 <= rows <= MAX_ROWS):
        raise errors.invalid(f"A terminal has 1 to {MAX_COLUMNS} columns and 1 to {MAX_ROWS} rows.")
    if session_id and not SESSION_ID.fullmatch(session_id):
        raise errors.not_found()
    if container and not CONTAINER_ID.fullmatch(container):
        raise errors.invalid("`container` is a container's id.")
    if observe not in {"", "0", "1"} or (observe == "1" and not session_id):
        raise errors.invalid("`observe=1` watches the `session` that is named beside it.")
    return Wanted(session_id, container, observe == "1", columns, rows)


async def _session_id(runtime: Runtime, vps: fleet.Vps | None, actor: Actor, wanted: Wanted) -> str:
    """Of the session that is asked for, or of a new one.

    Raises:
        RequestError: refused.
        TransientError: nobody serves terminals now.
    """
    if vps is None or not allow(actor, wanted.action, vps.user_id):
        raise errors.not_found()
    if wanted.session_id:
        return await _known(runtime, vps, actor, wanted)
    _check_powers(runtime, vps, wanted)
    request = ShellOpenRequest(
        vps_id=str(vps.id),
        user=shell_user(actor),
        columns=wanted.columns,
        rows=wanted.rows,
        container=wanted.container,
    )
    nonce = new_nonce()
    answer = await runtime.sealed.request(
        subjects.SHELL_OPEN, request, ShellOpenResponse, timeout=OPEN_TIMEOUT, nonce=nonce
    )
    if answer.HasField("refusal"):
        refuse(answer.refusal)
    if answer.session_id != nonce.hex():
        # Whoever is on the bus may name another, of the same user elsewhere.
        raise errors.RequestError(503, "Not available now", "This is not the terminal asked for.")
    return answer.session_id


async def _known(runtime: Runtime, vps: fleet.Vps, actor: Actor, wanted: Wanted) -> str:
    async with database.transaction(runtime.pool) as connection:
        session = await shells.get(connection, session_id=wanted.session_id)
    if (
        session is None
        or session.vps_id != vps.id
        or not allow(actor, wanted.action, session.user_id)
    ):
        raise errors.not_found()
    if session.user_id != actor.id and not wanted.observe:
        raise errors.RequestError(
            403, "Not allowed", "Somebody else types there; `observe=1` lets you watch."
        )
    if session.ended_at is not None:
        raise _ended(session.end_reason)
    return session.id


def _check_powers(runtime: Runtime, vps: fleet.Vps, wanted: Wanted) -> None:
    """What the host's owner allows, as its agent told; the agent itself judges it again.

    Raises:
        RequestError: 403.
    """
    powers = records.powers(vps, runtime.signer.public_key)
    if powers is None:
        return
    if not powers["shell"]:
        raise _off("The policy on this server does not allow a terminal (`shell = true`).")
    if wanted.container and powers["docker"] != "actions":
        raise _off('The policy on this server does not allow it (`docker = "actions"`).')
    if not powers["obeys"]:
        raise _off("The agent there does not trust this console's command key: enrol it again.")


def _off(reason: str) -> errors.RequestError:
    return errors.RequestError(403, "Not allowed there", reason)


def _ended(reason: str | None) -> errors.RequestError:
    return errors.conflict("Ended", f"This terminal has ended: {reason or 'its shell exited'}.")


def _note(
    socket: sockets.Socket,
    runtime: Runtime,
    actor: Actor,
    vps_id: UUID,
    wanted: Wanted,
    *,
    session_id: str,
    problem: str = "",
) -> None:
    runtime.trail.note(
        actor=f"user:{actor.id}",
        action=wanted.verb,
        object=f"vps:{vps_id}",
        allowed=not problem,
        reason=problem,
        peer=address(socket),
        detail=f"{session_id} {wanted.container}".strip(),
    )
