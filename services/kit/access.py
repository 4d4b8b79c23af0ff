"""Who may do what. REST, WebSockets and everything that acts for a user ask `allow`."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Role(StrEnum):
    ADMIN = "admin"
    MEMBER = "member"


class Action(StrEnum):
    ACCOUNT_READ = "account.read"
    FLEET_READ = "fleet.read"
    VPS_CREATE = "vps.create"
    VPS_READ = "vps.read"
    VPS_UPDATE = "vps.update"
    VPS_DELETE = "vps.delete"
    VPS_ENROL = "vps.enrol"
    TRAFFIC_READ = "traffic.read"
    TRAFFIC_UPDATE = "traffic.update"
    TRAFFIC_CORRECT = "traffic.correct"
    COMMAND_READ = "command.read"
    COMMAND_RUN = "command.run"
    DOCKER_READ = "docker.read"
    DOCKER_ACT = "docker.act"
    FILES_READ = "files.read"
    FILES_WRITE = "files.write"
    SHELL_READ = "shell.read"  # sessions, recordings, watching
    SHELL_OPEN = "shell.open"
    AUDIT_READ = "audit.read"


@dataclass(frozen=True, slots=True)
class Actor:
    id: UUID
    username: str
    role: Role
    session_id: UUID


# A member acts on what it owns, and may do these, which touch nobody's.
_MEMBER_WITHOUT_OBJECT = frozenset({Action.ACCOUNT_READ, Action.FLEET_READ, Action.VPS_CREATE})
_MEMBER_ON_OWN = frozenset(
    {
        *(Action.VPS_READ, Action.VPS_UPDATE, Action.VPS_DELETE, Action.VPS_ENROL),
        *(Action.TRAFFIC_READ, Action.TRAFFIC_UPDATE, Action.TRAFFIC_CORRECT),
        *(Action.COMMAND_READ, Action.COMMAND_RUN),
        *(Action.DOCKER_READ, Action.DOCKER_ACT),
        *(Action.FILES_READ, Action.FILES_WRITE),
        *(Action.SHELL_READ, Action.SHELL_OPEN),
    }
)


def allow(actor: Actor, action: Action, owner_id: UUID | None = None) -> bool:
    """Whether `actor` may do `action`, on an object of `owner_id` where it has one."""
    match actor.role:
        case Role.ADMIN:
            return True
        case Role.MEMBER if owner_id is None:
            return action in _MEMBER_WITHOUT_OBJECT
        case Role.MEMBER:
            return action in _MEMBER_ON_OWN and owner_id == actor.id
    return False


def needs_object(action: Action) -> bool:
    return action in _MEMBER_ON_OWN
