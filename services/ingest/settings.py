from datetime import timedelta
from pathlib import Path

from pydantic import Field

from services.kit.settings import DatabaseSettings, Settings, StrongSecret
from services.kit.tiers import MINUTE, RAW, TEN_MINUTES, TRAFFIC, TWO_HOURS


class EdgeSettings(Settings):
    nats_edge_password: StrongSecret
    grpc_host: str = "127.0.0.1"
    grpc_port: int = Field(default=8443, ge=0, le=65535)
    tls_certificate: Path
    tls_key: Path
    # Streams one edge holds; more are told to come back later.
    edge_max_streams: int = Field(default=12_000, ge=1)


class WriterSettings(DatabaseSettings):
    nats_writer_password: StrongSecret


class RollupSettings(DatabaseSettings):
    nats_rollup_password: StrongSecret
    # How long each is kept. What an agent could not send for seven days is added to the minutes.
    keep_raw_hours: int = Field(default=48, ge=1)
    keep_1m_days: int = Field(default=30, ge=8)
    keep_10m_days: int = Field(default=180, ge=8)
    keep_2h_days: int = Field(default=1826, ge=8)
    # Totals of periods that have ended are kept for ever; the facts behind them, so long.
    keep_traffic_days: int = Field(default=100, ge=40)
    # Containers' figures, and then those of them that are gone.
    keep_docker_days: int = Field(default=8, ge=1)
    # User-supplied series, and then those of them that ended.
    keep_generic_days: int = Field(default=30, ge=8)

    def kept(self) -> dict[str, timedelta]:
        return {
            RAW: timedelta(hours=self.keep_raw_hours),
            MINUTE.name: timedelta(days=self.keep_1m_days),
            TEN_MINUTES.name: timedelta(days=self.keep_10m_days),
            TWO_HOURS.name: timedelta(days=self.keep_2h_days),
            TRAFFIC.name: timedelta(days=self.keep_traffic_days),
        }
