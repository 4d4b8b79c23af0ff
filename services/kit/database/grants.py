"""The privileges of each service's database role.

This is the only place that grants anything. `flotilla migrate` grants what is listed and revokes the
rest, so a table or function without an entry is closed to every service; a test asks for the entry.

- A privilege with columns in parentheses is limited to them. Hypertables have none of these, because
  TimescaleDB fails to grant them once chunks are compressed.
- A row lock, such as FOR UPDATE, needs UPDATE on any column.
- Foreign keys work with the rights of the tables' owner, so they need no privilege.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

NOBODY: Mapping[str, str] = MappingProxyType({})
_ALL = "SELECT, INSERT, UPDATE, DELETE"
_READ_AND_DELETE = {"gateway": "SELECT, DELETE"}
_ONLY_GATEWAY = {"gateway": _ALL}
_TIER = {"rollup": "SELECT, INSERT, UPDATE", **_READ_AND_DELETE}

# Privileges by table and service.
TABLES: Mapping[str, Mapping[str, str]] = {
    # Accounts.
    "users": _ONLY_GATEWAY,
    "sessions": _ONLY_GATEWAY,
    "login_failures": _ONLY_GATEWAY,
    "login_challenges": _ONLY_GATEWAY,
    "ws_tickets": {"gateway": "SELECT, INSERT, DELETE"},
    "api_tokens": {"gateway": "SELECT, INSERT, UPDATE (used_at), DELETE"},
    "totp_factors": _ONLY_GATEWAY,
    "recovery_codes": {"gateway": "SELECT, INSERT, UPDATE (used_at), DELETE"},
    "organisations": _ONLY_GATEWAY,
    "memberships": _ONLY_GATEWAY,
    "invitations": _ONLY_GATEWAY,
    # Secrets. `flotilla secrets` rotates them as the owner; the gateway locks the key that it uses.
    "data_keys": {"gateway": "SELECT, INSERT, UPDATE (created_at)"},
    "data_key_wraps": {"gateway": "SELECT, INSERT", "alerting": "SELECT"},
    # The audit log only grows. Triggers number the entries, and `delete_old_audit_entries` ends them.
    "audit_entries": {
        "gateway": "SELECT, INSERT (id, time, actor, action, object, detail, allowed, reason, peer)"
    },
    "audit_chain": {"gateway": "SELECT"},
    # Servers. The rollup locks the rows of servers whose billing periods it creates, and alerting
    # those of servers whose states it stores.
    "vps": {
        "writer": "SELECT (id)",
        "rollup": "SELECT (id), UPDATE (updated_at)",
        "gateway": _ALL,
        "alerting": "SELECT (id, organisation_id, name, tags, agent_public_key), UPDATE (updated_at)",
    },
    "server_shares": _ONLY_GATEWAY,
    "enrolment_tokens": _ONLY_GATEWAY,
    # Samples and their tiers. The gateway deletes those of a server that is deleted.
    "performance_metrics": {
        "writer": "INSERT",
        "rollup": "SELECT",
        **_READ_AND_DELETE,
    },
    "performance_1m": _TIER,
    "performance_10m": _TIER,
    "performance_2h": _TIER,
    "rollup_state": {"writer": "SELECT", "rollup": "SELECT, UPDATE", "gateway": "SELECT"},
    "late_minutes": {"writer": "INSERT", "rollup": "SELECT, DELETE"},
    "late_buckets": {"rollup": "SELECT, INSERT, DELETE"},
    "gaps": {"writer": "SELECT, INSERT, UPDATE (count, first_at, last_at)", "gateway": "SELECT"},
    "docker_containers": {
        "writer": "SELECT, INSERT, UPDATE (names, image, state, status, facts, seen_at, gone_at)",
        "rollup": "SELECT (id, gone_at), DELETE",
        "gateway": "SELECT",
    },
    "docker_metrics": {
        "writer": "INSERT",
        "rollup": "SELECT",
        **_READ_AND_DELETE,
    },
    "generic_series": {
        "writer": "SELECT, INSERT",
        "rollup": "SELECT (id, created_at), DELETE",
        "gateway": "SELECT",
    },
    "generic_metrics": {
        "writer": "INSERT",
        "rollup": "SELECT",
        **_READ_AND_DELETE,
    },
    # Traffic.
    "traffic_facts": _TIER,
    "traffic_settings": {"rollup": "SELECT", "gateway": "SELECT, INSERT, UPDATE"},
    "traffic_corrections": {"gateway": "SELECT, INSERT"},
    "vps_monthly_traffic": {"rollup": "SELECT, INSERT, UPDATE", "gateway": _ALL},
    # Runs.
    "runs": _ONLY_GATEWAY,
    "run_servers": {"gateway": "SELECT, INSERT, UPDATE"},
    "run_output": {"gateway": "SELECT, INSERT"},
    "commands": {"gateway": "SELECT (id), DELETE"},
    # Terminals. A recording is never changed, and the shellproxy cannot read one.
    "shell_sessions": {
        "shellproxy": "SELECT, INSERT, DELETE, UPDATE"
        " (heartbeat_at, viewers, bytes, ended_at, end_reason, exit_code, recorded)",
        "gateway": "SELECT",
    },
    "shell_recordings": {
        "shellproxy": "SELECT (session_id, part), INSERT, DELETE",
        "gateway": "SELECT",
    },
    # Alerts. The alerting service locks the rules whose states it stores, and marks broken ones.
    "alert_rules": {"gateway": _ALL, "alerting": "SELECT, UPDATE (broken)"},
    "alert_channels": {"gateway": _ALL, "alerting": "SELECT"},
    "alert_rule_channels": {"gateway": "SELECT, INSERT, DELETE", "alerting": "SELECT"},
    "alert_events": {"gateway": "SELECT", "alerting": _ALL},
    "alert_states": {"alerting": _ALL},
    "alert_deliveries": {"gateway": "SELECT, INSERT", "alerting": _ALL},
    "alert_lease": {"alerting": _ALL},
    "outbound_targets": {"gateway": "SELECT, INSERT, DELETE", "alerting": "SELECT"},
    "default_alert_rules": {"gateway": "SELECT"},
    "migrations": NOBODY,
}

_TRAFFIC = ("rollup", "gateway")
# Services that may call a function of the schema, by its name. Trigger functions need no entry here.
FUNCTIONS: Mapping[str, tuple[str, ...]] = {
    "looked_at_until": ("writer",),
    "lock_out_writers": ("rollup",),
    "drop_chunks_before": ("rollup",),
    "enable_compression": ("rollup",),
    "delete_old_audit_entries": ("gateway",),
    "audit_hash": (),  # called by a trigger, as the owner
    "copy_command": (),  # called by a trigger of the version before, which connects as the owner
    "traffic_reset": _TRAFFIC,
    "traffic_period": _TRAFFIC,
    "traffic_rebooted": _TRAFFIC,
    "traffic_delta": _TRAFFIC,
    "traffic_grown": _TRAFFIC,
    "traffic_bounded": _TRAFFIC,
    "traffic_p95": _TRAFFIC,
    "traffic_counted": _TRAFFIC,
}

# Services that may create temporary tables.
TEMPORARY_TABLES = ("writer",)

_PRIVILEGE = re.compile(r"([A-Z]+)(?: \(([^)]*)\))?(?:, |$)")


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """One privilege on a table, on one column of it, or on a function."""

    object: str
    column: str
    """Empty for the whole table, and for functions."""
    privilege: str

    def __str__(self) -> str:
        column = f" ({self.column})" if self.column else ""
        return f"{self.privilege}{column} on {self.object}"


def grants(service: str) -> set[Grant]:
    """Return everything that the role of a service may do."""
    on_tables = {
        Grant(table, column, privilege)
        for table, services in TABLES.items()
        for privilege, column in _parse(services.get(service, ""))
    }
    return on_tables | {
        Grant(function, "", "EXECUTE")
        for function, services in FUNCTIONS.items()
        if service in services
    }


def _parse(privileges: str) -> Iterator[tuple[str, str]]:
    """Return the privileges, each with one column or with none."""
    for name, columns in _PRIVILEGE.findall(privileges):
        for column in columns.split(", "):
            yield name, column
