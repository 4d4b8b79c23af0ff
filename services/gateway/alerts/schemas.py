"""Alert rules, events, channels and outbound settings over HTTP."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from services.gateway.servers.schemas import Name, Tag

MAX_SERVERS = 1_000  # in one scope
MAX_SCOPE_TAGS = 32
MAX_CHANNELS = 20  # of one rule
MAX_DURATION = 172_800  # seconds; samples are kept for 48 hours

Comparison = Literal[">", ">=", "<", "<="]
Severity = Literal["info", "warning", "critical"]
MetricType = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        description="A metric of the history, such as `cpu_usage`, or `offline`, which is 1 while"
        " the agent is not connected and otherwise 0",
    ),
]
Duration = Annotated[
    int,
    Meta(
        ge=0,
        le=MAX_DURATION,
        description="Seconds for which every sample must meet the comparison before the rule fires",
    ),
]
ChannelType = Literal["webhook", "email", "telegram", "slack", "discord", "ntfy", "gotify", "bark"]


class Scope(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The servers of a rule: those listed, those with one of the tags, or `all`."""

    server_ids: Annotated[list[UUID], Meta(max_length=MAX_SERVERS)] = []
    tags: Annotated[list[Tag], Meta(max_length=MAX_SCOPE_TAGS)] = []
    all: Annotated[
        bool, Meta(description="All servers of the organisation, also those added later")
    ] = False


class RuleCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    name: Name
    metric_type: MetricType
    comparison_operator: Annotated[
        Comparison | None, Meta(description="Required, except for `offline`")
    ] = None
    threshold: Annotated[float | None, Meta(description="Required, except for `offline`")] = None
    duration_seconds: Duration
    scope: Scope
    severity: Severity = "warning"
    channel_ids: Annotated[list[UUID], Meta(max_length=MAX_CHANNELS)] = []
    enabled: bool = True
    organisation_id: Annotated[
        UUID | None, Meta(description="Needed if you may do this in several organisations")
    ] = None


class RuleUpdate(Struct, kw_only=True, forbid_unknown_fields=True):
    name: Name | UnsetType = UNSET
    metric_type: MetricType | UnsetType = UNSET
    comparison_operator: Comparison | UnsetType = UNSET
    threshold: float | UnsetType = UNSET
    duration_seconds: Duration | UnsetType = UNSET
    scope: Scope | UnsetType = UNSET
    severity: Severity | UnsetType = UNSET
    channel_ids: Annotated[list[UUID], Meta(max_length=MAX_CHANNELS)] | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class RulePreview(RuleCreate, kw_only=True):
    name: Name = "preview"
    start: datetime
    end: datetime


class Rule(Struct, kw_only=True):
    id: UUID
    organisation_id: UUID
    name: str
    metric_type: str
    comparison_operator: Comparison
    threshold: float
    duration_seconds: int
    scope: Scope
    severity: Severity
    channel_ids: list[UUID]
    enabled: bool
    broken: Annotated[
        str | None, Meta(description="Why the rule cannot be evaluated; null if it can")
    ]
    servers: Annotated[int, Meta(description="Servers that the rule applies to now")]
    firing: Annotated[int, Meta(description="Servers on which it fires now")]
    created_at: datetime
    updated_at: datetime


class RulePage(Struct):
    items: list[Rule]
    total: int


class PreviewInterval(Struct):
    vps_id: UUID
    fired_at: datetime
    resolved_at: Annotated[datetime | None, Meta(description="Null if it still fired at the end")]


class Preview(Struct):
    intervals: list[PreviewInterval]
    evaluated_samples: int


class AlertEvent(Struct, kw_only=True):
    id: Annotated[UUID, Meta(description="The `incident_id` of notifications")]
    state: Literal["firing", "resolved"]
    rule_id: Annotated[UUID | None, Meta(description="Null if the rule was deleted")]
    rule: str
    vps_id: UUID
    server: str
    metric_type: str
    severity: Severity
    threshold: float
    value: Annotated[float, Meta(description="The value with which it fired")]
    fired_at: datetime
    resolved_at: datetime | None
    resolved_value: float | None
    resolve_reason: Annotated[
        Literal["measured", "rule_changed"] | None,
        Meta(description="`rule_changed`: the rule changed, or no longer applies to the server"),
    ]


class AlertEventPage(Struct):
    items: list[AlertEvent]
    total: Annotated[int, Meta(description="Counted up to 100 000")]


class ChannelCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    name: Name
    type: ChannelType
    config: Annotated[
        dict[str, Any],
        Meta(description="Depends on the type; see the manual. It is encrypted and never shown."),
    ]
    organisation_id: Annotated[
        UUID | None, Meta(description="Needed if you may do this in several organisations")
    ] = None


class ChannelUpdate(Struct, kw_only=True, forbid_unknown_fields=True):
    name: Name | UnsetType = UNSET
    config: Annotated[
        dict[str, Any] | UnsetType, Meta(description="Replaces the whole configuration")
    ] = UNSET


class Channel(Struct, kw_only=True):
    id: UUID
    organisation_id: UUID
    name: str
    type: ChannelType
    target: Annotated[str, Meta(description="Host of the provider, without secrets")]
    rules: Annotated[int, Meta(description="Rules that notify this channel")]
    created_at: datetime
    updated_at: datetime


class NewChannel(Channel, kw_only=True):
    signing_secret: Annotated[
        str | None,
        Meta(description="Signs the requests of a webhook. It is shown only now."),
    ]


class ChannelPage(Struct):
    items: list[Channel]
    total: int


class AlertDelivery(Struct, kw_only=True):
    id: int
    kind: Literal["firing", "resolved", "test"]
    event_id: UUID | None
    status: Annotated[
        Literal["pending", "delivered", "failed"],
        Meta(description="`delivered`: the provider has accepted it"),
    ]
    attempts: int
    error: Annotated[str | None, Meta(description="Why the last attempt failed")]
    created_at: datetime
    next_attempt_at: Annotated[datetime | None, Meta(description="Null when it has ended")]
    finished_at: datetime | None


class AlertDeliveryPage(Struct):
    items: list[AlertDelivery]
    total: int


class OutboundSettings(Struct, forbid_unknown_fields=True):
    allowed: Annotated[
        list[Annotated[str, Meta(min_length=3, max_length=64)]],
        Meta(
            max_length=100,
            description="Private addresses that notifications may be sent to, each with its port,"
            " such as `10.0.0.5:587` or `[fd00::5]:587`",
        ),
    ]
