from datetime import timedelta
from pathlib import Path

from pydantic import Field

from services.kit.metrics.tiers import MINUTE, RAW, TEN_MINUTES, TRAFFIC, TWO_HOURS
from services.kit.settings import (
    DatabaseSettings,
    DatabaseUrl,
    Settings,
    StrongSecret,
    own_database_url,
)


class EdgeSettings(Settings):
    nats_edge_password: StrongSecret
    grpc_host: str = "127.0.0.1"
    grpc_port: int = Field(default=8443, ge=0, le=65535)
    tls_certificate: Path
    tls_key: Path
    # Streams that one edge holds. Further agents are asked to connect again later.
    edge_max_streams: int = Field(default=12_000, ge=1)


class WriterSettings(DatabaseSettings):
    database_url: DatabaseUrl = own_database_url("writer")
    nats_writer_password: StrongSecret


class RollupSettings(DatabaseSettings):
    database_url: DatabaseUrl = own_database_url("rollup")
    nats_rollup_password: StrongSecret
    # Retention of each tier. Agents may send data up to seven days late, which is merged into the
    # minutes. That is why minutes and coarser tiers are kept for at least eight days.
    keep_raw_hours: int = Field(default=48, ge=1)
    keep_1m_days: int = Field(default=30, ge=8)
    keep_10m_days: int = Field(default=180, ge=8)
    keep_2h_days: int = Field(default=1826, ge=8)
    # Traffic records. The totals of ended periods are kept forever.
    keep_traffic_days: int = Field(default=100, ge=40)
    # Metrics of containers. A container that no longer exists is deleted with its last metrics.
    keep_docker_days: int = Field(default=8, ge=1)
    # Custom series. A series is deleted with its last point.
    keep_generic_days: int = Field(default=30, ge=8)

    def retention(self) -> dict[str, timedelta]:
        return {
            RAW: timedelta(hours=self.keep_raw_hours),
            MINUTE.name: timedelta(days=self.keep_1m_days),
            TEN_MINUTES.name: timedelta(days=self.keep_10m_days),
            TWO_HOURS.name: timedelta(days=self.keep_2h_days),
            TRAFFIC.name: timedelta(days=self.keep_traffic_days),
        }
