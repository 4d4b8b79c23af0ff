"""The access rules, compared with a table that was written apart from them."""

from itertools import product
from uuid import UUID

import pytest

from services.kit import access
from services.kit.access import (
    ACCOUNT,
    FLEET,
    PLATFORM,
    Action,
    Actor,
    Kind,
    Object,
    OrganisationRole,
    Role,
    allow,
    granters_of,
    may_grant,
    only_object,
    oversees,
    reaches_host,
    roles_for,
)

ME, OTHER, SESSION = UUID(int=1), UUID(int=2), UUID(int=3)
OURS, THEIRS = UUID(int=10), UUID(int=11)

# The least role in the server's organisation for each action on a server.
SERVER = {
    "vps.read": "viewer",
    "metrics.read": "viewer",
    "traffic.read": "viewer",
    "command.read": "viewer",
    "docker.read": "viewer",
    "command.run": "operator",
    "docker.act": "operator",
    "files.read": "operator",
    "files.write": "operator",
    "shell.read": "operator",
    "shell.open": "operator",
    "vps.update": "admin",
    "vps.delete": "admin",
    "vps.enrol": "admin",
    "vps.share": "admin",
    "traffic.update": "admin",
    "traffic.correct": "admin",
}
ORGANISATION = {
    "organisation.read": "viewer",
    "alert.read": "viewer",
    "alert.write": "operator",
    "channel.write": "admin",
    "vps.create": "admin",
    "organisation.update": "admin",
    "member.update": "admin",
    "organisation.delete": "owner",
}
EVERYBODY = {"account.read", "account.update", "fleet.read", "command.list", "alert.list"}
PLATFORM_ADMINISTRATORS = {"user.read", "user.update", "organisation.create", "audit.read"} | {
    "outbound.read",
    "outbound.update",
}
TERMINAL = {"shell.read", "shell.open"}
RANKS = {"viewer": 0, "operator": 1, "admin": 2, "owner": 3}

ROLES = [None, *OrganisationRole]
LEVELS = [None, *OrganisationRole]


def actor(role: Role, here: OrganisationRole | None, there: OrganisationRole | None) -> Actor:
    memberships = {(OURS, here), (THEIRS, there)}
    return Actor(
        ME,
        "me",
        role,
        SESSION,
        frozenset((organisation, one) for organisation, one in memberships if one is not None),
    )


def expected(
    role: Role,
    here: OrganisationRole | None,
    share: OrganisationRole | None,
    action: Action,
    thing: Object,
) -> bool:
    """Say what should be allowed on an object of our organisation."""
    kind, owner = thing.kind, thing.owner
    if action in EVERYBODY:
        return kind in {Kind.ACCOUNT, Kind.FLEET} and (kind is Kind.ACCOUNT) == (
            action in {"account.read", "account.update"}
        )
    if action in PLATFORM_ADMINISTRATORS:
        return kind is Kind.PLATFORM and role is Role.ADMIN
    ranks = [RANKS[here]] if here else []
    if share in {"viewer", "operator"}:
        ranks.append(RANKS[share])
    rank = max(ranks, default=-1)
    if kind is Kind.SERVER and action in SERVER:
        return rank >= RANKS[SERVER[action]]
    if kind is Kind.ORGANISATION and action in ORGANISATION:
        return bool(here) and rank >= RANKS[ORGANISATION[action]]
    if kind is Kind.TERMINAL and action in TERMINAL:
        return rank >= RANKS["operator"] and (owner == ME or here in {"admin", "owner"})
    return False


def test_every_action_is_in_one_table() -> None:
    named = [*SERVER, *ORGANISATION, *EVERYBODY, *PLATFORM_ADMINISTRATORS]
    assert sorted(named) == sorted(Action)


@pytest.mark.parametrize("action", Action)
def test_the_rules_agree_with_the_table(action: Action) -> None:
    assert differences(action) == []


@pytest.mark.parametrize("role", OrganisationRole)
@pytest.mark.parametrize("action", [Action(name) for name in (*SERVER, *ORGANISATION)])
def test_every_changed_rule_is_noticed(
    monkeypatch: pytest.MonkeyPatch, role: OrganisationRole, action: Action
) -> None:
    monkeypatch.setitem(access._MAY, role, access._MAY[role] ^ {action})
    assert differences(action) != []


def differences(action: Action) -> list[tuple[object, ...]]:
    """Return the cases in which the rules and the table disagree."""
    found: list[tuple[object, ...]] = []
    for role, here, there, share, kind, owner in product(
        Role, ROLES, ROLES, LEVELS, Kind, (None, ME, OTHER)
    ):
        shares = frozenset({(ME, share)} if share else ())
        if kind is Kind.ORGANISATION and share:
            continue  # organisations are not shared
        thing = Object(kind, organisation=OURS, owner=owner, shares=shares)
        allowed = allow(actor(role, here, there), action, thing)
        if allowed is not expected(role, here, share, action, thing):
            found.append((role, here, there, share, kind, owner))
    return found


@pytest.mark.parametrize("action", Action)
def test_nothing_is_allowed_on_what_belongs_to_no_organisation(action: Action) -> None:
    for kind in (Kind.SERVER, Kind.ORGANISATION, Kind.TERMINAL):
        everything = actor(Role.ADMIN, OrganisationRole.OWNER, OrganisationRole.OWNER)
        assert not allow(everything, action, Object(kind, owner=ME))


def test_a_share_with_another_user_gives_nothing() -> None:
    shared = Object(
        Kind.SERVER,
        organisation=THEIRS,
        shares=frozenset({(OTHER, OrganisationRole.OPERATOR)}),
    )
    me = actor(Role.MEMBER, OrganisationRole.OWNER, None)
    assert not any(allow(me, action, shared) for action in Action)


def test_nobody_gives_a_role_above_the_own() -> None:
    for own, role in product(ROLES, OrganisationRole):
        may = may_grant(actor(Role.ADMIN, own, OrganisationRole.OWNER), role, OURS)
        assert may is (own in {"admin", "owner"} and RANKS[own] >= RANKS[role])
        assert may is (own in granters_of(role))


def test_only_administrators_of_the_organisation_oversee_terminals() -> None:
    for own in ROLES:
        overseer = actor(Role.ADMIN, own, OrganisationRole.OWNER)
        assert oversees(overseer, OURS) is (own in {"admin", "owner"})
    assert not oversees(actor(Role.ADMIN, None, None), None)


@pytest.mark.parametrize("action", Action)
def test_roles_for_an_action_are_those_that_allow_it(action: Action) -> None:
    for own, kind in product(OrganisationRole, (Kind.SERVER, Kind.ORGANISATION)):
        allowed = allow(actor(Role.MEMBER, own, None), action, Object(kind, organisation=OURS))
        if action in (SERVER if kind is Kind.SERVER else ORGANISATION):
            assert allowed is (own in roles_for(action))


def test_objects_of_which_there_is_one_are_named_by_the_action() -> None:
    for action in Action:
        only = only_object(action)
        if action in PLATFORM_ADMINISTRATORS:
            assert only is PLATFORM
        elif action in EVERYBODY:
            assert only in {ACCOUNT, FLEET}
        else:
            assert only is None


def test_actions_that_reach_a_host_are_those_of_commands_docker_files_and_shell() -> None:
    areas = {action.partition(".")[0] for action in Action if reaches_host(action)}
    assert areas == {"command", "docker", "files", "shell"}


def test_an_unknown_role_may_do_nothing() -> None:
    stranger = Actor(ME, "x", "owner", SESSION)  # type: ignore[arg-type]  # of a later version
    objects = [
        Object(kind, organisation=OURS, owner=owner) for kind in Kind for owner in (None, ME)
    ]
    assert not any(allow(stranger, action, one) for action in Action for one in objects)
    newcomer = Actor(ME, "x", Role.MEMBER, SESSION, frozenset({(OURS, "god")}))  # type: ignore[arg-type]
    servers = Object(Kind.SERVER, organisation=OURS)
    assert not any(allow(newcomer, action, servers) for action in Action)
