"""The only place where subjects, streams, durables and buckets are spelled.

Subjects are lower case, widest scope first, an id is a token of its own, events
end in a past participle. `docs/events.md` is the reader's copy of this page.
"""

from enum import StrEnum

PREFIX = "flotilla"


class Stream(StrEnum):
    TELEMETRY = "TELEMETRY"
    EVENTS = "EVENTS"
    JOBS = "JOBS"
    DEADLETTERS = "DEADLETTERS"


class Durable(StrEnum):
    INGEST_WRITE_TELEMETRY = "ingest-write-telemetry"
    GATEWAY_RECORD_EVENTS = "gateway-record-events"
    GATEWAY_RECORD_AUDIT = "gateway-record-audit"


class Bucket(StrEnum):
    AGENTS = "agents"
    PRESENCE = "presence"
    EDGES = "edges"


class User(StrEnum):
    """NATS users, one a service; `deploy/nats.conf` says what each may do."""

    PROVISION = "provision"
    EDGE = "edge"
    WRITER = "writer"
    ROLLUP = "rollup"
    GATEWAY = "gateway"
    SHELLPROXY = "shellproxy"
    OPERATOR = "operator"
    REPAIR = "repair"


TELEMETRY_ALL = f"{PREFIX}.telemetry.>"
TELEMETRY_PERFORMANCE_ALL = f"{PREFIX}.telemetry.*.performance"
BUNDLES = f"{PREFIX}.telemetry.edge."
TELEMETRY_BUNDLES_ALL = f"{BUNDLES}*.performance"
VPS_EVENTS_ALL = f"{PREFIX}.event.vps.>"
AUDIT_ALL = f"{PREFIX}.event.audit.>"
EVENTS_ALL = f"{PREFIX}.event.>"
JOBS_ALL = f"{PREFIX}.job.>"
DEADLETTERS_ALL = f"{PREFIX}.dlq.>"
# NATS' own notice that a message was delivered as often as its durable allows.
MAX_DELIVERIES_ALL = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>"

ENROLMENT_REDEEM = f"{PREFIX}.enrolment.redeem"
SHELL_OPEN = f"{PREFIX}.shell.open"
SERVICE_STATUS_ALL = f"{PREFIX}.service.*.status"


def performance(vps_id: str) -> str:
    return f"{PREFIX}.telemetry.{vps_id}.performance"


def docker(vps_id: str) -> str:
    return f"{PREFIX}.telemetry.{vps_id}.docker"


def generic(vps_id: str) -> str:
    return f"{PREFIX}.telemetry.{vps_id}.generic"


def bundle(edge_id: str) -> str:
    return f"{BUNDLES}{edge_id}.performance"


def vps_enrolled(vps_id: str) -> str:
    return f"{PREFIX}.event.vps.{vps_id}.enrolled"


def vps_connected(vps_id: str) -> str:
    return f"{PREFIX}.event.vps.{vps_id}.connected"


def vps_disconnected(vps_id: str) -> str:
    return f"{PREFIX}.event.vps.{vps_id}.disconnected"


def vps_contested(vps_id: str) -> str:
    return f"{PREFIX}.event.vps.{vps_id}.contested"


def agent_all(vps_id: str) -> str:
    return f"{PREFIX}.agent.{vps_id}.*"


def agent_durable(vps_id: str) -> str:
    return f"{PREFIX}.agent.{vps_id}.durable"


def agent_taken(vps_id: str) -> str:
    return f"{PREFIX}.agent.{vps_id}.taken"


def agent_command(vps_id: str) -> str:
    return f"{PREFIX}.agent.{vps_id}.command"


def agent_pty(vps_id: str) -> str:
    return f"{PREFIX}.agent.{vps_id}.pty"


def pty_output(session_id: str) -> str:
    """From the agent's edge to the session's owner."""
    return f"{PREFIX}.pty.{session_id}.output"


def shell_control(session_id: str) -> str:
    """From screens, by way of a gateway, to the session's owner."""
    return f"{PREFIX}.shell.{session_id}.control"


def shell_output(session_id: str) -> str:
    return f"{PREFIX}.shell.{session_id}.output"


def audit(kind: str) -> str:
    return f"{PREFIX}.event.audit.{kind}"


def edge_durable(edge_id: str) -> str:
    return f"{PREFIX}.edge.{edge_id}.durable"


def deadletter(stream: str, durable: str) -> str:
    return f"{PREFIX}.dlq.{stream}.{durable}"


def service_status(service: str) -> str:
    return f"{PREFIX}.service.{service}.status"


def is_bundle(subject: str) -> bool:
    return subject.startswith(BUNDLES)


def key(bucket: Bucket, name: str) -> str:
    return f"$KV.{bucket}.{name}"


def vps_of(subject: str) -> str:
    """The id in `flotilla.<scope>.<vps>.<rest>` or `flotilla.event.vps.<vps>.<rest>`."""
    tokens = subject.split(".")
    return tokens[3] if tokens[1] == "event" else tokens[2]
