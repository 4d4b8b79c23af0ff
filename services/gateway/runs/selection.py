"""Selection of the servers of a new run."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from services.gateway.api import errors
from services.gateway.api.problem_types import ProblemType
from services.gateway.api.request_audit import RequestAudit
from services.gateway.runs.schemas import MAX_SERVERS
from services.gateway.servers import store as server_store
from services.gateway.servers.access import check_owned
from services.gateway.servers.visibility import visible_to
from services.kit.access import Action, Actor
from services.kit.database import pool as database

NONE_NAMED = (
    "No server is selected. Give server ids in `server_ids` or tags in `tags`. The run includes"
    " the servers with one of these ids or one of these tags."
)


async def select(
    actor: Actor,
    audit: RequestAudit,
    connection: database.Connection,
    *,
    server_ids: Sequence[UUID],
    tags: Sequence[str],
) -> list[server_store.Vps]:
    """Find the servers with one of these ids or tags, without duplicates.

    Raises:
        RequestError: 404 if servers do not belong to the actor, with their indices; 422 if no server or too many
            servers are selected, or if no server of the actor has one of the tags.
    """
    if not server_ids and not tags:
        raise errors.invalid(NONE_NAMED, "server_ids", "tags")
    if len(set(server_ids)) != len(server_ids):
        raise errors.invalid("A server is listed twice. List each server once.", "server_ids")
    found = await server_store.some(connection, vps_ids=list(server_ids))
    named = _named(actor, audit, server_ids, found)
    visibility = visible_to(actor, Action.COMMAND_RUN)
    tagged = await server_store.tagged(connection, visibility=visibility, tags=list(tags))
    unknown = sorted(set(tags).difference(*(vps.tags for vps in tagged)))
    if unknown:
        names = ", ".join(f'"{tag}"' for tag in unknown)
        raise errors.invalid(f"None of your servers has the tag {names}.", "tags")
    named |= {vps.id: check_owned(vps, actor, Action.COMMAND_RUN, audit) for vps in tagged}
    if len(named) > MAX_SERVERS:
        raise errors.invalid(
            f"{len(named)} servers are selected. A run has at most {MAX_SERVERS}.",
            *(["server_ids"] if server_ids else []),
            *(["tags"] if tags else []),
        )
    return list(named.values())


def _named(
    actor: Actor,
    audit: RequestAudit,
    server_ids: Sequence[UUID],
    found: Mapping[UUID, server_store.Vps],
) -> dict[UUID, server_store.Vps]:
    """Return these servers, each checked.

    Raises:
        RequestError: 404 that names every server that does not belong to the actor.
    """
    named, unknown = {}, {}
    for index, vps_id in enumerate(server_ids):
        try:
            named[vps_id] = check_owned(found.get(vps_id), actor, Action.COMMAND_RUN, audit)
        except errors.RequestError:
            unknown[f"server_ids[{index}]"] = str(vps_id)
    if unknown:
        raise errors.RequestError(
            ProblemType.NOT_FOUND,
            f"You have no server with the id {', '.join(unknown.values())}. Nothing was started.",
            fields=tuple(unknown),
        )
    return named
