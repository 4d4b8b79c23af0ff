"""The table of services: the only place that lists them.

The `flotilla` command, provisioning, `flotilla status`, the local stack and the tests read it. The
code of a service is given by its path, `module:attribute`, and is loaded only by the process that
runs it. Every service has an extra of its own name in `pyproject.toml`, with the packages that
it needs besides those of the kit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from services.kit.bus import subjects
from services.kit.bus.subjects import Durable, Stream, User
from services.kit.extras import needs_extra, resolve


@dataclass(frozen=True, slots=True)
class DurableConsumer:
    """A durable consumer of one service; `flotilla provision` creates it."""

    name: Durable
    stream: Stream
    max_ack_pending: int  # messages
    filter_subject: str | None = None


@dataclass(frozen=True, slots=True)
class Service:
    name: str
    nats_user: User
    settings_path: str  # of its subclass of `Settings`
    run_path: str  # of `async def run(settings, health)`
    # True if it has a role in the database, whose rights are in `services/kit/database/grants.py`.
    has_database_role: bool = False
    durables: tuple[DurableConsumer, ...] = ()

    def settings_class(self) -> Any:
        """Load the settings class.

        Raises: MissingExtraError.
        """
        return self._load(self.settings_path)

    def run(self) -> Any:
        """Load the function that runs the service.

        Raises: MissingExtraError.
        """
        return self._load(self.run_path)

    def _load(self, path: str) -> Any:
        with needs_extra(f'Service "{self.name}"', self.name):
            return resolve(path)


_SERVICES = (
    Service(
        name="edge",
        nats_user=User.EDGE,
        settings_path="services.ingest.settings:EdgeSettings",
        run_path="services.ingest.edge.service:run",
    ),
    Service(
        name="writer",
        nats_user=User.WRITER,
        settings_path="services.ingest.settings:WriterSettings",
        run_path="services.ingest.writer:run",
        has_database_role=True,
        durables=(
            DurableConsumer(
                Durable.INGEST_WRITE_TELEMETRY, Stream.TELEMETRY, max_ack_pending=5_000
            ),
        ),
    ),
    Service(
        name="rollup",
        nats_user=User.ROLLUP,
        settings_path="services.ingest.settings:RollupSettings",
        run_path="services.ingest.rollup:run",
        has_database_role=True,
    ),
    Service(
        name="gateway",
        nats_user=User.GATEWAY,
        settings_path="services.gateway.settings:GatewaySettings",
        run_path="services.gateway.service:run",
        has_database_role=True,
        durables=(
            DurableConsumer(
                Durable.GATEWAY_RECORD_EVENTS,
                Stream.EVENTS,
                max_ack_pending=1_000,
                filter_subject=subjects.VPS_EVENTS_ALL,
            ),
            DurableConsumer(
                Durable.GATEWAY_RECORD_AUDIT,
                Stream.EVENTS,
                max_ack_pending=1_000,
                filter_subject=subjects.AUDIT_ALL,
            ),
        ),
    ),
    Service(
        name="shellproxy",
        nats_user=User.SHELLPROXY,
        settings_path="services.shellproxy.settings:ShellproxySettings",
        run_path="services.shellproxy.service:run",
        has_database_role=True,
    ),
    Service(
        name="alerting",
        nats_user=User.ALERTING,
        settings_path="services.alerting.settings:AlertingSettings",
        run_path="services.alerting.service:run",
        has_database_role=True,
        durables=(
            DurableConsumer(
                Durable.ALERTING_EVALUATE_TELEMETRY, Stream.TELEMETRY, max_ack_pending=5_000
            ),
        ),
    ),
)

SERVICES: Mapping[str, Service] = MappingProxyType({service.name: service for service in _SERVICES})
DATABASE_SERVICES = tuple(service.name for service in _SERVICES if service.has_database_role)
DURABLES = tuple(durable for service in _SERVICES for durable in service.durables)
