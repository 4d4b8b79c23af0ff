"""Access rules. REST, WebSockets and everything that acts for a user call `allow`."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Role(StrEnum):
    """The role of a user on the platform."""

    ADMIN = "admin"
    """Runs the installation: users, organisations and the audit log, but no organisation's servers."""
    MEMBER = "member"


class OrganisationRole(StrEnum):
    """The role of a member of an organisation. Each role includes the ones below it."""

    OWNER = "owner"
    ADMIN = "admin"
    OPERATOR = "operator"
    """May act on servers: terminals, runs, files and Docker."""
    VIEWER = "viewer"
    """May look at servers."""


# A server is shared with a user at one of these levels.
SHARE_LEVELS = (OrganisationRole.OPERATOR, OrganisationRole.VIEWER)


class Action(StrEnum):
    ACCOUNT_READ = "account.read"
    ACCOUNT_UPDATE = "account.update"
    FLEET_READ = "fleet.read"
    VPS_CREATE = "vps.create"
    VPS_READ = "vps.read"
    METRICS_READ = "metrics.read"
    VPS_UPDATE = "vps.update"
    VPS_DELETE = "vps.delete"
    VPS_ENROL = "vps.enrol"
    VPS_SHARE = "vps.share"
    TRAFFIC_READ = "traffic.read"
    TRAFFIC_UPDATE = "traffic.update"
    TRAFFIC_CORRECT = "traffic.correct"
    COMMAND_LIST = "command.list"
    COMMAND_READ = "command.read"
    COMMAND_RUN = "command.run"
    DOCKER_READ = "docker.read"
    DOCKER_ACT = "docker.act"
    FILES_READ = "files.read"
    FILES_WRITE = "files.write"
    SHELL_READ = "shell.read"  # sessions, recordings, watching
    SHELL_OPEN = "shell.open"
    ORGANISATION_READ = "organisation.read"
    ORGANISATION_UPDATE = "organisation.update"
    ORGANISATION_DELETE = "organisation.delete"
    MEMBER_UPDATE = "member.update"
    """Invite, change and remove members whose role is not above the actor's own."""
    USER_READ = "user.read"
    USER_UPDATE = "user.update"
    ORGANISATION_CREATE = "organisation.create"
    AUDIT_READ = "audit.read"
    ALERT_LIST = "alert.list"
    ALERT_READ = "alert.read"
    ALERT_WRITE = "alert.write"
    CHANNEL_WRITE = "channel.write"
    """Change where notifications go, and try it. A channel may contain secrets of others."""
    OUTBOUND_READ = "outbound.read"
    OUTBOUND_UPDATE = "outbound.update"


class Scope(StrEnum):
    """A group of actions that an API token may be used for."""

    FLEET_READ = "fleet:read"
    FLEET_WRITE = "fleet:write"
    METRICS_READ = "metrics:read"
    RUNS_READ = "runs:read"
    RUNS_WRITE = "runs:write"
    DOCKER_READ = "docker:read"
    DOCKER_WRITE = "docker:write"
    FILES_READ = "files:read"
    FILES_WRITE = "files:write"
    TERMINALS_OPEN = "terminals:open"
    AUDIT_READ = "audit:read"
    ALERTS_READ = "alerts:read"
    ALERTS_WRITE = "alerts:write"


@dataclass(frozen=True, slots=True)
class TokenLimits:
    """Limits of an API token, beside the rights of its user."""

    scopes: frozenset[Scope]
    server_ids: frozenset[UUID] | None = None
    tags: frozenset[str] | None = None
    """The token reaches servers in `server_ids`, or with one of the tags; all if both are None."""


@dataclass(frozen=True, slots=True)
class Actor:
    id: UUID
    username: str
    role: Role
    session_id: UUID
    """Id of the login session, or of the API token."""
    memberships: frozenset[tuple[UUID, OrganisationRole]] = frozenset()
    """The user's organisations, each with the user's role in it."""
    token: TokenLimits | None = None
    """Limits of the API token with which the actor acts; None for a login session."""

    def role_in(self, organisation: UUID | None) -> OrganisationRole | None:
        return dict(self.memberships).get(organisation) if organisation else None


class Kind(StrEnum):
    """The kinds of objects that actions are on."""

    ACCOUNT = "account"
    FLEET = "fleet"
    SERVER = "server"
    TERMINAL = "terminal"
    ORGANISATION = "organisation"
    PLATFORM = "platform"


@dataclass(frozen=True, slots=True)
class Object:
    """An object of an action, with all that decides who may act on it."""

    kind: Kind
    organisation: UUID | None = None
    owner: UUID | None = None
    """User who opened a terminal."""
    shares: frozenset[tuple[UUID, OrganisationRole]] = frozenset()
    """Users with whom the server is shared now, each with the level."""
    server_id: UUID | None = None
    tags: frozenset[str] = frozenset()
    """Tags of the server."""


# There is one of each of these, so a route's action alone names the object.
ACCOUNT = Object(Kind.ACCOUNT)
FLEET = Object(Kind.FLEET)
PLATFORM = Object(Kind.PLATFORM)

_ON_HOST = frozenset(
    {
        Action.COMMAND_READ,
        Action.COMMAND_RUN,
        Action.DOCKER_READ,
        Action.DOCKER_ACT,
        Action.FILES_READ,
        Action.FILES_WRITE,
        Action.SHELL_READ,
        Action.SHELL_OPEN,
    }
)
_ACTIONS: dict[Kind, frozenset[Action]] = {
    Kind.ACCOUNT: frozenset({Action.ACCOUNT_READ, Action.ACCOUNT_UPDATE}),
    Kind.FLEET: frozenset({Action.FLEET_READ, Action.COMMAND_LIST, Action.ALERT_LIST}),
    Kind.SERVER: _ON_HOST
    | frozenset(
        {
            Action.VPS_READ,
            Action.METRICS_READ,
            Action.VPS_UPDATE,
            Action.VPS_DELETE,
            Action.VPS_ENROL,
            Action.VPS_SHARE,
            Action.TRAFFIC_READ,
            Action.TRAFFIC_UPDATE,
            Action.TRAFFIC_CORRECT,
        }
    ),
    Kind.TERMINAL: frozenset({Action.SHELL_READ, Action.SHELL_OPEN}),
    Kind.ORGANISATION: frozenset(
        {
            Action.VPS_CREATE,
            Action.ORGANISATION_READ,
            Action.ORGANISATION_UPDATE,
            Action.ORGANISATION_DELETE,
            Action.MEMBER_UPDATE,
            Action.ALERT_READ,
            Action.ALERT_WRITE,
            Action.CHANNEL_WRITE,
        }
    ),
    Kind.PLATFORM: frozenset(
        {
            Action.USER_READ,
            Action.USER_UPDATE,
            Action.ORGANISATION_CREATE,
            Action.AUDIT_READ,
            Action.OUTBOUND_READ,
            Action.OUTBOUND_UPDATE,
        }
    ),
}
_VIEWERS_MAY = frozenset(
    {
        Action.VPS_READ,
        Action.METRICS_READ,
        Action.TRAFFIC_READ,
        Action.COMMAND_READ,
        Action.DOCKER_READ,
        Action.ORGANISATION_READ,
        Action.ALERT_READ,
    }
)
_OPERATORS_MAY = _VIEWERS_MAY | _ON_HOST | {Action.ALERT_WRITE}
_OWNERS_MAY = _ACTIONS[Kind.SERVER] | _ACTIONS[Kind.ORGANISATION]
_ADMINS_MAY = _OWNERS_MAY - {Action.ORGANISATION_DELETE}
_MAY: dict[OrganisationRole, frozenset[Action]] = {
    OrganisationRole.VIEWER: _VIEWERS_MAY,
    OrganisationRole.OPERATOR: _OPERATORS_MAY,
    OrganisationRole.ADMIN: _ADMINS_MAY,
    OrganisationRole.OWNER: _OWNERS_MAY,
}
_SCOPES: dict[Scope, frozenset[Action]] = {
    Scope.FLEET_READ: frozenset(
        {Action.FLEET_READ, Action.VPS_READ, Action.TRAFFIC_READ, Action.ORGANISATION_READ}
    ),
    Scope.FLEET_WRITE: frozenset(
        {
            Action.VPS_CREATE,
            Action.VPS_UPDATE,
            Action.VPS_DELETE,
            Action.VPS_ENROL,
            Action.TRAFFIC_UPDATE,
            Action.TRAFFIC_CORRECT,
        }
    ),
    Scope.METRICS_READ: frozenset({Action.FLEET_READ, Action.METRICS_READ}),
    Scope.RUNS_READ: frozenset({Action.COMMAND_LIST, Action.COMMAND_READ}),
    Scope.RUNS_WRITE: frozenset({Action.COMMAND_LIST, Action.COMMAND_READ, Action.COMMAND_RUN}),
    Scope.DOCKER_READ: frozenset({Action.DOCKER_READ}),
    Scope.DOCKER_WRITE: frozenset({Action.DOCKER_READ, Action.DOCKER_ACT}),
    Scope.FILES_READ: frozenset({Action.FILES_READ}),
    Scope.FILES_WRITE: frozenset({Action.FILES_READ, Action.FILES_WRITE}),
    Scope.TERMINALS_OPEN: frozenset({Action.SHELL_READ, Action.SHELL_OPEN}),
    Scope.AUDIT_READ: frozenset({Action.AUDIT_READ}),
    Scope.ALERTS_READ: frozenset({Action.ALERT_LIST, Action.ALERT_READ}),
    Scope.ALERTS_WRITE: frozenset(
        {Action.ALERT_LIST, Action.ALERT_READ, Action.ALERT_WRITE, Action.CHANNEL_WRITE}
    ),
}
# Roles that may watch the terminals of others, read their recordings and end them.
_OVERSEERS = frozenset({OrganisationRole.OWNER, OrganisationRole.ADMIN})


def allow(actor: Actor, action: Action, object: Object) -> bool:  # noqa: A002  the rule's word
    """Decide whether `actor` may do `action` on `object`. Nothing is allowed unless a rule says so."""
    if action not in _ACTIONS[object.kind] or not isinstance(actor.role, Role):
        return False
    if actor.token is not None and not _is_within(actor.token, action, object):
        return False
    match object.kind:
        case Kind.ACCOUNT | Kind.FLEET:
            # Every user has an account, and a view of the fleet that shows what the user may see.
            return True
        case Kind.PLATFORM:
            return actor.role is Role.ADMIN
    may = any(action in _MAY[role] for role in _roles(actor, object))
    if object.kind is Kind.TERMINAL:
        return may and (object.owner == actor.id or oversees(actor, object.organisation))
    return may


def _is_within(token: TokenLimits, action: Action, object: Object) -> bool:  # noqa: A002
    if action is not Action.ACCOUNT_READ and not any(
        action in _SCOPES[scope] for scope in token.scopes
    ):
        return False
    if token.server_ids is None and token.tags is None:
        return True
    if object.kind in {Kind.ACCOUNT, Kind.FLEET}:
        return True  # lists show only the servers within the limits
    if object.kind not in {Kind.SERVER, Kind.TERMINAL}:
        return action is Action.ORGANISATION_READ
    return object.server_id in (token.server_ids or ()) or bool(object.tags & (token.tags or set()))


def _roles(actor: Actor, object: Object) -> list[OrganisationRole]:  # noqa: A002
    """Return the actor's roles for an object: by membership, and by a share of the server."""
    shared = [level for user, level in object.shares if user == actor.id and level in SHARE_LEVELS]
    role = actor.role_in(object.organisation)
    return [*shared, role] if role in _MAY else shared


def oversees(actor: Actor, organisation: UUID | None) -> bool:
    """Tell whether the actor may watch and end the terminals of others in an organisation."""
    return actor.role_in(organisation) in _OVERSEERS


def roles_for(action: Action, token: TokenLimits | None = None) -> frozenset[OrganisationRole]:
    """Return the roles in an organisation that allow an action on its servers.

    They are none if the scopes of the token do not include the action.
    """
    if token is not None and not any(action in _SCOPES[scope] for scope in token.scopes):
        return frozenset()
    return frozenset(role for role, actions in _MAY.items() if action in actions)


def may_grant(actor: Actor, role: OrganisationRole, organisation: UUID) -> bool:
    """Tell whether the actor may give or take a role: nobody gives more than they have."""
    return actor.role_in(organisation) in granters_of(role)


def granters_of(role: OrganisationRole) -> frozenset[OrganisationRole]:
    """Return the roles whose members may give this role to others."""
    return frozenset(own for own in _OVERSEERS if _MAY[role] <= _MAY[own])


def only_object(action: Action) -> Object | None:
    """Return the object of an action that has only one; None where a request names the object."""
    for only in (ACCOUNT, FLEET, PLATFORM):
        if action in _ACTIONS[only.kind]:
            return only
    return None


def reaches_host(action: Action) -> bool:
    """Tell whether the action has an agent do something on its host, or reads what it did there."""
    return action in _ON_HOST
