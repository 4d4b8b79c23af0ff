from pathlib import Path

from pydantic import Field

from services.kit.commands import CommandKey
from services.kit.settings import DatabaseSettings, StrongSecret


class GatewaySettings(DatabaseSettings):
    nats_gateway_password: StrongSecret
    # Signs access tokens.
    token_secret: StrongSecret
    # Signs what agents are told to do.
    command_key: CommandKey
    # The key before, after `flotilla command-key rotate`: agents that trust it are told the new one.
    command_key_previous: CommandKey | None = None
    http_host: str = "127.0.0.1"
    http_port: int = Field(default=8080, ge=0, le=65535)
    # What browsers and new agents call this console, without a trailing slash.
    public_url: str = Field(default="http://127.0.0.1:8080", pattern=r"^https?://[^/\s]+$")
    # What agents dial.
    agent_address: str = Field(default="127.0.0.1:8443", pattern=r"^[^/\s]+:\d+$")
    # The authority behind the edge's certificate; its fingerprint is in the install line.
    ca_certificate: Path
    # The built console; unset, only the API is served.
    console_dir: Path | None = None
    # The agent's builds; unset, the install line has nothing to fetch.
    agent_dir: Path | None = None
