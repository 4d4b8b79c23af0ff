"""Routes of alert rules and alerts."""

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Controller, delete, get, patch, post, put
from litestar.di import Provide
from litestar.params import JSONBody, Parameter, QueryParameter
from litestar.status_codes import HTTP_200_OK

from services.gateway.accounts.authentication import AuthedRequest
from services.gateway.alerts import rules, store
from services.gateway.alerts.access import OwnRule, organisations_of, provide_rule
from services.gateway.alerts.preview import preview as evaluate
from services.gateway.alerts.schemas import (
    AlertEvent,
    AlertEventPage,
    Preview,
    Rule,
    RuleCreate,
    RulePage,
    RulePreview,
    RuleUpdate,
)
from services.gateway.api.limits import RULES_OF_ORGANISATION, check_quota
from services.gateway.api.pagination import Limit, Offset
from services.gateway.api.request_audit import RequestAudit, UseAudit
from services.gateway.api.rules import ACTION
from services.gateway.api.transaction import UseConnection
from services.gateway.servers.access import organisation_for
from services.gateway.servers.visibility import visible_to
from services.kit.access import Action
from services.kit.database import pool as database


class AlertRuleController(Controller):
    path = "/alerts/rules"
    tags = ("Alerts",)
    dependencies: Any = {"rule": Provide(provide_rule)}  # noqa: RUF012  Litestar's

    @get(
        operation_id="listAlertRules",
        summary="List the alert rules of your organisations by name",
        opt={ACTION: Action.ALERT_LIST},
    )
    async def list(
        self, request: AuthedRequest, db: UseConnection, *, limit: Limit = 200, offset: Offset = 0
    ) -> RulePage:
        found, total = await store.rules(
            db, organisations=organisations_of(request.user), limit=limit, offset=offset
        )
        return RulePage([rules.view(rule) for rule in found], total)

    @post(
        operation_id="createAlertRule",
        summary="Add an alert rule",
        opt={ACTION: Action.ALERT_WRITE},
    )
    async def create(
        self,
        request: AuthedRequest,
        data: JSONBody[RuleCreate],
        db: UseConnection,
        audit: UseAudit,
    ) -> Rule:
        """Add a rule to `organisation_id`, or to the caller's only organisation."""
        organisation_id = organisation_for(
            request.user,
            data.organisation_id,
            audit,
            action=Action.ALERT_WRITE,
            things="alert rules",
        )
        fields = rules.fields_of(data)
        check_quota(
            "alert rules",
            await store.count_rules(db, organisation_id=organisation_id),
            RULES_OF_ORGANISATION,
            "alert rules in this organisation. Delete one that you no longer need.",
        )
        await rules.check_references(db, request.user, organisation_id, data)
        rule_id = await store.insert_rule(
            db, organisation_id=organisation_id, user_id=request.user.id, fields=fields
        )
        await store.put_rule_channels(db, rule_id=rule_id, channel_ids=data.channel_ids)
        audit.done(_object_id(rule_id), data.name)
        return await _read(db, rule_id)

    @post(
        "/preview",
        operation_id="previewAlertRule",
        summary="Show when a rule would have fired",
        status_code=HTTP_200_OK,
        opt={ACTION: Action.ALERT_READ},
    )
    async def preview(
        self,
        request: AuthedRequest,
        data: JSONBody[RulePreview],
        db: UseConnection,
        audit: UseAudit,
    ) -> Preview:
        """Evaluate a rule over stored samples, as the alerting service would have.

        Where samples are no longer kept, or are too many, the averages of minutes take their place.
        The connection of agents is not stored: for `offline`, a silence of 90 seconds counts as
        offline.
        """
        organisation_id = organisation_for(
            request.user,
            data.organisation_id,
            audit,
            action=Action.ALERT_READ,
            things="alert rules",
        )
        fields = rules.fields_of(data)
        await rules.check_references(db, request.user, organisation_id, data)
        vps_ids = await store.servers_of_scope(db, organisation_id=organisation_id, fields=fields)
        return await evaluate(db, fields, vps_ids=vps_ids, start=data.start, end=data.end)

    @get(
        "/{rule_id:uuid}",
        operation_id="getAlertRule",
        summary="Get one alert rule",
        opt={ACTION: Action.ALERT_READ},
    )
    async def get(self, rule: OwnRule) -> Rule:
        return rules.view(rule)

    @patch(
        "/{rule_id:uuid}",
        operation_id="updateAlertRule",
        summary="Change an alert rule",
        opt={ACTION: Action.ALERT_WRITE},
    )
    async def update(
        self,
        request: AuthedRequest,
        rule: OwnRule,
        data: JSONBody[RuleUpdate],
        db: UseConnection,
        audit: UseAudit,
    ) -> Rule:
        """Change a rule. If its condition changes, its alerts end, and it starts anew."""
        return await _update(request, rule, data=data, db=db, audit=audit)

    @put(
        "/{rule_id:uuid}",
        operation_id="replaceAlertRule",
        summary="The same as PATCH: fields that are left out stay as they are",
        opt={ACTION: Action.ALERT_WRITE},
    )
    async def replace(
        self,
        request: AuthedRequest,
        rule: OwnRule,
        data: JSONBody[RuleUpdate],
        db: UseConnection,
        audit: UseAudit,
    ) -> Rule:
        return await _update(request, rule, data=data, db=db, audit=audit)

    @delete(
        "/{rule_id:uuid}",
        operation_id="deleteAlertRule",
        summary="Delete an alert rule; its alerts end and stay in the history",
        opt={ACTION: Action.ALERT_WRITE},
    )
    async def delete(self, rule: OwnRule, db: UseConnection, audit: UseAudit) -> None:
        await store.delete_rule(db, rule_id=rule.id)
        audit.done(_object_id(rule.id), rule.name)


@get(
    "/alerts/events",
    operation_id="listAlertEvents",
    summary="List alerts of your servers, newest first",
    tags=["Alerts"],
    opt={ACTION: Action.ALERT_LIST},
)
async def list_events(
    request: AuthedRequest,
    db: UseConnection,
    *,
    alert_state: Annotated[
        Literal["firing", "resolved"] | None,
        QueryParameter(name="state", description="Only alerts in this state"),
    ] = None,
    rule: Annotated[UUID | None, Parameter(description="Only alerts of this rule")] = None,
    server: Annotated[UUID | None, Parameter(description="Only alerts of this server")] = None,
    limit: Limit = 100,
    offset: Offset = 0,
) -> AlertEventPage:
    found, total = await store.events(
        db,
        visibility=visible_to(request.user, Action.ALERT_READ),
        state=alert_state,
        rule_id=rule,
        vps_id=server,
        limit=limit,
        offset=offset,
    )
    return AlertEventPage(
        [msgspec.convert(event, AlertEvent, from_attributes=True) for event in found], total
    )


async def _update(
    request: AuthedRequest,
    rule: store.Rule,
    *,
    data: RuleUpdate,
    db: database.Connection,
    audit: RequestAudit,
) -> Rule:
    wanted = rules.merged(rule, data)
    fields = rules.fields_of(wanted)
    if data.scope is not msgspec.UNSET or data.channel_ids is not msgspec.UNSET:
        await rules.check_references(db, request.user, rule.organisation_id, wanted)
        await store.put_rule_channels(db, rule_id=rule.id, channel_ids=wanted.channel_ids)
    await store.update_rule(db, rule_id=rule.id, fields=fields)
    audit.done(_object_id(rule.id), fields.name)
    return await _read(db, rule.id)


async def _read(db: database.Connection, rule_id: UUID) -> Rule:
    found = await store.lock_rule(db, rule_id=rule_id)
    assert found is not None
    return rules.view(found)


def _object_id(rule_id: UUID) -> str:
    """Return the rule's name in the audit log."""
    return f"alert-rule:{rule_id}"
