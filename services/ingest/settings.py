from pathlib import Path

from pydantic import Field

from services.kit.settings import DatabaseSettings, Settings, StrongSecret


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
