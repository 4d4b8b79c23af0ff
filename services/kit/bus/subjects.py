"""All names of subjects, streams, durables and buckets. No other module contains such a name.

Subjects are lower case, with the widest scope first. An id is a token of its own. Events end in a
past participle. `docs/events.md` describes each subject.
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
    ALERTING_EVALUATE_TELEMETRY = "alerting-evaluate-telemetry"


class Bucket(StrEnum):
    AGENTS = "agents"
    PRESENCE = "presence"
    EDGES = "edges"


class User(StrEnum):
    """NATS users, one per service; `deploy/nats.conf` has the permissions of each."""

    PROVISION = "provision"
    EDGE = "edge"
    WRITER = "writer"
    ROLLUP = "rollup"
    GATEWAY = "gateway"
    SHELLPROXY = "shellproxy"
    ALERTING = "alerting"
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
# Published by NATS when a message reached the delivery limit of its durable.
MAX_DELIVERIES_ALL = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>"

ENROLMENT_REDEEM = f"{PREFIX}.enrolment.redeem"
SHELL_OPEN = f"{PREFIX}.shell.open"
RUN_CANCEL_ALL = f"{PREFIX}.task.*.cancel"


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
    """Return the subject of PTY output, from the agent's edge to the session's owner."""
    return f"{PREFIX}.pty.{session_id}.output"


def shell_control(session_id: str) -> str:
    """Return the subject of messages from viewers, sent by gateways, to the session's owner."""
    return f"{PREFIX}.shell.{session_id}.control"


def shell_output(session_id: str) -> str:
    return f"{PREFIX}.shell.{session_id}.output"


def run_output(run_id: str) -> str:
    """Return the subject of a run's output, from the gateway that executes the run to viewers."""
    return f"{PREFIX}.task.{run_id}.output"


def run_cancel(run_id: str) -> str:
    """Return the subject of requests to cancel a run, to the gateway that executes it."""
    return f"{PREFIX}.task.{run_id}.cancel"


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
    """Return the id in `flotilla.<scope>.<vps>.<rest>` or `flotilla.event.vps.<vps>.<rest>`."""
    tokens = subject.split(".")
    return tokens[3] if tokens[1] == "event" else tokens[2]
