"""The facts of a notification, and its text."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from services.alerting.delivery_store import Delivery
from services.kit.alerts.metrics import OFFLINE


@dataclass(frozen=True, slots=True)
class Message:
    title: str
    text: str
    facts: dict[str, Any]
    """The body of a webhook."""


def message(delivery: Delivery) -> Message:
    facts = {
        "state": delivery.kind,
        "rule": delivery.rule_name,
        "server": delivery.server_name,
        "value": delivery.resolved_value if delivery.resolved_at else delivery.value,
        "threshold": delivery.threshold,
        "fired_at": _rfc3339(delivery.fired_at),
        "resolved_at": _rfc3339(delivery.resolved_at),
        "incident_id": _id(delivery.event_id),
        "metric_type": delivery.metric_type,
        "severity": delivery.severity,
        "rule_id": _id(delivery.rule_id),
        "vps_id": _id(delivery.vps_id),
    }
    if delivery.event_id is None:
        text = "This is a test of a notification channel of Flotilla. It works."
        return Message("Flotilla: test", text, facts)
    name = f"{delivery.rule_name} on {delivery.server_name}"
    if delivery.kind == "resolved":
        ended = (
            _state(delivery, delivery.resolved_value)
            if delivery.resolve_reason == "measured"
            else "The rule was changed or removed, or no longer applies to the server."
        )
        text = (
            f"{ended} The alert fired at {facts['fired_at']} and ended at {facts['resolved_at']}."
        )
        return Message(f"Resolved: {name}", text, facts)
    text = f"{_state(delivery, delivery.value)} The alert fired at {facts['fired_at']}."
    return Message(f"{(delivery.severity or '').capitalize()}: {name}", text, facts)


def _state(delivery: Delivery, value: float | None) -> str:
    """Say in a sentence what was measured."""
    if delivery.metric_type == OFFLINE:
        return "The server is offline." if value else "The server is online."
    return (
        f"The value of {delivery.metric_type} is {_number(value)}"
        f" (threshold {_number(delivery.threshold)})."
    )


def _rfc3339(time: datetime | None) -> str | None:
    if time is None:
        return None
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _id(value: object) -> str | None:
    return None if value is None else str(value)


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.10g}"
