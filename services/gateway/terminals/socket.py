"""WebSocket route that opens or joins a terminal session and connects the viewer to it."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial

from litestar import websocket
from litestar.params import FromQuery

from flotilla.v1.shell_pb2 import ShellAttach, ShellOpenRequest, ShellOpenResponse
from services.gateway.api import errors
from services.gateway.api.limits import TERMINALS_OF_USER, check_share
from services.gateway.api.problem_types import ProblemType
from services.gateway.api.request_audit import RequestAudit, UseAudit
from services.gateway.context import Context, UseContext
from services.gateway.realtime import admission
from services.gateway.servers import agent_errors
from services.gateway.servers import mapping as server_mapping
from services.gateway.servers import store as server_store
from services.gateway.servers.access import OwnedServer, object_id, object_of
from services.gateway.terminals import store as terminal_store
from services.gateway.terminals.access import SESSION_ID, shell_user
from services.gateway.terminals.access import object_of as session_object
from services.gateway.terminals.bridge import Viewer
from services.kit.access import Action, Actor, allow
from services.kit.agents.request_signing import new_nonce
from services.kit.bus import subjects
from services.kit.database import pool as database

CONTAINER_ID = re.compile(r"[0-9a-f]{12,64}")
OPEN_TIMEOUT = 15.0  # seconds; longer than the 10 s that the shellproxy gives the agent
MAX_COLUMNS, MAX_ROWS = 1000, 500


@dataclass(frozen=True, slots=True)
class TerminalQuery:
    """Query parameters: the session to join, or the settings of a new terminal."""

    session_id: str
    container: str
    observe: bool
    columns: int
    rows: int

    @property
    def action(self) -> Action:
        return Action.SHELL_READ if self.observe else Action.SHELL_OPEN

    @property
    def audit_action(self) -> str:
        if self.observe:
            return "shell.observe"
        return "shell.attach" if self.session_id else "shell.open"


@websocket("/vps/{vps_id:uuid}/shell", opt=admission.rule(Action.SHELL_READ))
async def shell(
    socket: admission.Socket,
    server: OwnedServer,
    context: UseContext,
    audit: UseAudit,
    *,
    session: FromQuery[str] = "",
    container: FromQuery[str] = "",
    observe: FromQuery[str] = "0",
    columns: FromQuery[str] = "80",
    rows: FromQuery[str] = "24",
) -> None:
    wanted = _checked_query(
        {
            "session": session,
            "container": container,
            "observe": observe,
            "columns": columns,
            "rows": rows,
        },
        server=server,
        audit=audit,
        sent=socket.query_params,
    )
    record = partial(_record, audit, server, wanted)
    try:
        session_id = await _session_id(context, audit, server, socket.user, wanted)
        viewer = Viewer(socket, context, audit, server=server, session_id=session_id)
        async with viewer.attached(
            ShellAttach(observe=wanted.observe, columns=wanted.columns, rows=wanted.rows)
        ):
            if wanted.observe:
                record(session_id)
            await socket.accept()
            await viewer.relay()
    except errors.RequestError as error:
        if error.type is not ProblemType.AUDIT_UNAVAILABLE:  # recorded already
            record(wanted.session_id, problem=str(error))
        raise


def _checked_query(
    query: Mapping[str, str],
    *,
    server: server_store.Vps,
    audit: RequestAudit,
    sent: Collection[str],
) -> TerminalQuery:
    """Parse the query and write an audit entry if it is invalid.

    Raises:
        RequestError: a parameter is invalid.
    """
    try:
        return read_query(query)
    except errors.RequestError as error:
        parameters = [f"{name}={text}" for name, text in query.items() if name in sent]
        audit.refused(
            str(error),
            object_id=object_id(server),
            detail=" ".join(parameters),
            action=Action.SHELL_OPEN,
        )
        raise


def read_query(query: Mapping[str, str]) -> TerminalQuery:
    """Parse the query parameters.

    Raises:
        RequestError: a parameter is invalid.
    """
    session_id, container, observe = query["session"], query["container"], query["observe"]
    sizes = [query["columns"], query["rows"]]
    if not all(text.isascii() and text.isdecimal() and len(text) <= 5 for text in sizes):
        raise errors.invalid("`columns` and `rows` must be numbers.", "columns", "rows")
    columns, rows = map(int, sizes)
    if not (1 <= columns <= MAX_COLUMNS and 1 <= rows <= MAX_ROWS):
        raise errors.invalid(
            f"`columns` must be 1 to {MAX_COLUMNS} and `rows` 1 to {MAX_ROWS}.",
            "columns",
            "rows",
        )
    if session_id and not SESSION_ID.fullmatch(session_id):
        raise errors.not_found()
    if container and not CONTAINER_ID.fullmatch(container):
        raise errors.invalid(
            "`container` must be the id of a container, 12 to 64 hexadecimal digits.", "container"
        )
    if observe not in {"", "0", "1"} or (observe == "1" and not session_id):
        raise errors.invalid("`observe=1` requires `session`.", "observe", "session")
    return TerminalQuery(session_id, container, observe == "1", columns, rows)


async def _session_id(
    context: Context,
    audit: RequestAudit,
    server: server_store.Vps,
    actor: Actor,
    wanted: TerminalQuery,
) -> str:
    """Return the id of the session to join, or open a new session.

    The audit entry of a terminal that the actor can type into is stored before.

    Raises:
        RequestError: a rule of the API, the policy, the shellproxy or the agent forbids it, or the
            audit entry could not be stored.
        TransientError: no shellproxy answered.
    """
    if not allow(actor, wanted.action, object_of(server)):
        raise errors.not_found()
    begin = partial(audit.begin, object_id(server), action=wanted.audit_action)
    if wanted.session_id:
        session_id = await _existing_session_id(context, server, actor, wanted)
        if not wanted.observe:
            await begin(_detail(wanted, session_id))
        return session_id
    _check_policy(context, server, wanted)
    async with database.transaction(context.pool) as connection:
        used = await terminal_store.count_open(connection, user_id=actor.id)
    check_share(
        "terminals", used, TERMINALS_OF_USER, "open terminals. End one that you no longer need."
    )
    request = ShellOpenRequest(
        vps_id=str(server.id),
        user=shell_user(actor, server.organisation_id),
        columns=wanted.columns,
        rows=wanted.rows,
        container=wanted.container,
    )
    nonce = new_nonce()
    await begin(_detail(wanted, nonce.hex()))
    answer = await context.signing_bus.request(
        subjects.SHELL_OPEN, request, ShellOpenResponse, timeout=OPEN_TIMEOUT, nonce=nonce
    )
    if answer.HasField("refusal"):
        raise agent_errors.refused_terminal(answer.refusal)
    if answer.session_id != nonce.hex():
        # An attacker on the bus could answer with the id of another session to get the input.
        raise errors.RequestError(
            ProblemType.DEPENDENCY_UNAVAILABLE, "Another terminal was opened. Try again."
        )
    return answer.session_id


async def _existing_session_id(
    context: Context, server: server_store.Vps, actor: Actor, wanted: TerminalQuery
) -> str:
    async with database.transaction(context.pool) as connection:
        session = await terminal_store.get(connection, session_id=wanted.session_id)
    if (
        session is None
        or session.vps_id != server.id
        or not allow(actor, wanted.action, session_object(session))
    ):
        raise errors.not_found()
    if session.user_id != actor.id and not wanted.observe:
        raise errors.forbidden("This terminal belongs to another user. Open it with `observe=1`.")
    if session.ended_at is not None:
        raise _ended(session.end_reason)
    return session.id


def _check_policy(context: Context, server: server_store.Vps, wanted: TerminalQuery) -> None:
    """Check the policy that the agent reported. The agent checks its policy again.

    Raises:
        RequestError: 403 if the policy does not allow this terminal.
    """
    powers = server_mapping.powers(server, context.signer.public_key)
    if powers is None:
        return
    if not powers["shell"]:
        raise _not_allowed(
            "The policy on this server does not allow terminals. Its owner can set `shell = true`."
        )
    if wanted.container and powers["docker"] != "actions":
        raise _not_allowed(
            "The policy on this server does not allow terminals in containers."
            ' Its owner can set `docker = "actions"`.'
        )
    if not powers["obeys"]:
        raise _not_allowed(
            "The agent on this server does not trust the command key of this installation."
            " Enrol the server again."
        )


def _not_allowed(reason: str) -> errors.RequestError:
    return errors.RequestError(ProblemType.AGENT_FORBIDDEN, reason)


def _ended(reason: str | None) -> errors.RequestError:
    return errors.ended(f"This terminal has ended: {reason or 'its shell exited'}. Open a new one.")


def _detail(wanted: TerminalQuery, session_id: str) -> str:
    return f"{session_id} {wanted.container}".strip()


def _record(
    audit: RequestAudit,
    server: server_store.Vps,
    wanted: TerminalQuery,
    session_id: str,
    *,
    problem: str = "",
) -> None:
    audit.record(
        object_id(server),
        _detail(wanted, session_id),
        action=wanted.audit_action,
        allowed=not problem,
        reason=problem,
    )
