"""Audit entries of a request."""

from functools import partial
from typing import Any

from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.types import Scope

from services.gateway.api import errors, transaction
from services.gateway.api.problem_types import ProblemType
from services.gateway.api.rules import ACTION
from services.kit.access import Action, Actor
from services.kit.bus.audit import ANONYMOUS, AuditLog
from services.kit.errors import TransientError

# Actions on a host that are done only after their audit entry is stored. Changes in the database
# are committed only after it is stored; see `RequestAudit.done`.
PRIVILEGED = frozenset(
    {Action.COMMAND_RUN, Action.DOCKER_ACT, Action.FILES_WRITE, Action.SHELL_OPEN}
)
NOT_DONE = "Not done: the change could not be committed, or its audit entry could not be stored."
WRITTEN = "audited"  # key in the state of the scope

Connection = ASGIConnection[Any, Any, Any, Any]


class RequestAudit:
    """Writer of audit entries with the actor, the action and the client address of a request.

    Changes and privileged actions are done only if their entry can be stored.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._log: AuditLog = connection.app.state.audit_log

    @property
    def actor(self) -> str:
        actor: Actor | None = self._connection.scope.get("user")
        return ANONYMOUS if actor is None else f"user:{actor.id}"

    @property
    def peer(self) -> str:
        return address(self._connection)

    @property
    def is_written(self) -> bool:
        """True if the request has an audit entry."""
        return bool(self._connection.scope.get("state", {}).get(WRITTEN))

    @property
    def is_privileged(self) -> bool:
        """True if the action of the route is done only after its entry is stored."""
        return self._action in PRIVILEGED

    @property
    def _action(self) -> Any:
        return self._connection.route_handler.opt.get(ACTION)

    def done(self, object_id: str, detail: str = "", *, action: str = "") -> None:
        """Record that the action of the route, or `action`, was carried out.

        If the request has a transaction, it is committed only if the entry is stored.
        """
        condition = transaction.Condition(
            partial(self.begin, object_id, detail, action=action),
            undo=partial(self.record, object_id, detail, action=action, reason=NOT_DONE),
        )
        if not transaction.before_commit(self._connection.scope, condition):
            self.record(object_id, detail, action=action)

    async def begin(self, object_id: str, detail: str = "", *, action: str = "") -> None:
        """Store the entry of a privileged action before the action is done.

        If the action then fails, record this as well, with the reason.

        Raises:
            RequestError: the entry could not be stored, so the action must not be done.
        """
        self._connection.scope.setdefault("state", {})[WRITTEN] = True
        try:
            await self._log.require(
                actor=self.actor,
                action=action or str(self._action),
                object=object_id,
                peer=self.peer,
                detail=detail,
            )
        except TransientError as error:
            self.record(object_id, detail, action=action, reason=NOT_DONE)
            raise errors.RequestError(
                ProblemType.AUDIT_UNAVAILABLE,
                "The audit entry of this action could not be stored, so nothing was done. The"
                " message bus does not answer, or it cannot store messages. Try again.",
            ) from error

    def refused(
        self,
        reason: str,
        *,
        object_id: str = "",
        detail: str = "",
        action: str = "",
        actor: str = "",
    ) -> None:
        """Record a refusal; the default `detail` is the path of the request."""
        self.record(
            object_id,
            detail or self._connection.url.path,
            action=action,
            actor=actor,
            allowed=False,
            reason=reason,
        )

    def record(
        self,
        object_id: str,
        detail: str = "",
        *,
        action: str = "",
        actor: str = "",
        allowed: bool = True,
        reason: str = "",
    ) -> None:
        """Record an action at once. `reason` says why it was refused or failed."""
        self._connection.scope.setdefault("state", {})[WRITTEN] = True
        self._log.record(
            actor=actor or self.actor,
            action=action or str(self._action),
            object=object_id,
            allowed=allowed,
            reason=reason,
            peer=self.peer,
            detail=detail,
        )


UseAudit = NamedDependency[RequestAudit]


def provide_audit(scope: Scope) -> RequestAudit:
    return RequestAudit(Connection(scope))


def address(connection: Connection) -> str:
    return connection.client.host if connection.client else ""
