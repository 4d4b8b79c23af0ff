from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from flotilla.v1 import agent_pb2
from services.gateway.fleet.server_state import Server
from services.gateway.servers import mapping, schemas
from services.gateway.servers.access import object_of
from services.gateway.servers.store import Vps
from services.kit.agents.presence import Status

KEY = b"\x01" * 32
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
GREETING: dict[str, Any] = mapping.metadata(
    agent_pb2.HostFacts(hostname="ams-1", os_id="debian", cpu_count=4, boot_time_unix_s=0),
    agent_pb2.Powers(
        shell=True,
        files=agent_pb2.Powers.FILE_ACCESS_READ,
        file_roots=["/srv"],
        user="flotilla",
        command_keys=[KEY],
    ),
)
VPS = Vps(
    id=UUID(int=1),
    organisation_id=UUID(int=2),
    shares={},
    name="box",
    tags=[],
    ip_address=None,
    os_type=None,
    agent_public_key=b"k",
    last_seen_at=NOW,
    metadata=GREETING,
    agent_config={"report_interval_seconds": 2.5, "log_level": "debug"},
    config_revision=3,
    created_at=NOW,
    updated_at=NOW,
)


def view(vps: Vps, server: Server | None = None) -> schemas.Vps:
    fields = mapping.vps_fields(vps, server, command_key=KEY, with_detail=False)
    return msgspec.convert(fields, schemas.Vps)


def test_a_server_has_the_facts_and_the_policy_that_its_agent_reported() -> None:
    shown = view(VPS)
    assert shown.facts is not None
    assert (shown.facts.hostname, shown.facts.boot_time.year) == ("ams-1", 1970)
    assert shown.powers is not None
    assert (shown.powers.shell, shown.powers.files, shown.powers.docker) == (True, "read", "off")
    assert shown.powers.file_roots == ["/srv"]


def test_an_agent_obeys_the_console_whose_key_it_trusts() -> None:
    trusted, foreign = mapping.powers(VPS, KEY), mapping.powers(VPS, b"\x02" * 32)
    assert trusted is not None
    assert foreign is not None
    assert (trusted["obeys"], foreign["obeys"]) == (True, False)


def test_a_server_whose_agent_never_connected_is_pending_without_facts_and_policy() -> None:
    shown = view(replace(VPS, metadata={}, last_seen_at=None))
    assert (shown.status, shown.facts, shown.powers, shown.last_seen) == (
        "pending",
        None,
        None,
        None,
    )


def test_a_server_was_last_seen_at_its_newest_sample_or_connection() -> None:
    state = Server(object_of(VPS), enrolled=True, status=Status.ONLINE)
    state.time = NOW + timedelta(seconds=5)
    assert view(VPS, state).last_seen == state.time
    state.time = NOW - timedelta(seconds=5)
    assert view(VPS, state).last_seen == NOW


def test_the_record_of_an_agent_has_only_the_settings_that_are_set() -> None:
    record = mapping.agent_record(VPS)
    assert record.vps_id == str(VPS.id)
    assert record.config.revision == 3
    assert record.config.report_interval_ms == 2500
    assert record.config.log_level == agent_pb2.LOG_LEVEL_DEBUG
    assert not record.config.HasField("docker_enabled")
    assert not record.config.HasField("disabled_collectors")


def test_an_empty_list_of_disabled_collectors_is_not_the_same_as_none() -> None:
    record = mapping.agent_record(replace(VPS, agent_config={"disabled_collectors": []}))
    assert record.config.HasField("disabled_collectors")
