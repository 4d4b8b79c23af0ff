from ipaddress import ip_network
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from services.kit.settings import (
    DatabaseSettings,
    DatabaseUrl,
    RandomKey,
    StrongSecret,
    own_database_url,
)


def _networks(value: object) -> object:
    """Split and check a list of addresses and networks that is separated by commas."""
    if not isinstance(value, str):
        return value
    networks = tuple(name.strip() for name in value.split(",") if name.strip())
    for network in networks:
        ip_network(network)
    return networks


Networks = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_networks)]


class GatewaySettings(DatabaseSettings):
    database_url: DatabaseUrl = own_database_url("gateway")
    nats_gateway_password: StrongSecret
    # Signs access tokens.
    token_secret: StrongSecret
    # Signs commands to agents.
    command_key: RandomKey
    # The previous key, after `flotilla command-key rotate`. Agents that trust it get the new key.
    command_key_previous: RandomKey | None = None
    # Wraps the data keys that encrypt secrets in the database.
    master_key: RandomKey
    # The previous key, until `flotilla secrets retire`.
    master_key_previous: RandomKey | None = None
    http_host: str = "127.0.0.1"
    http_port: int = Field(default=8080, ge=0, le=65535)
    # Reverse proxies, as addresses and networks separated by commas. Only their `X-Forwarded-For`
    # and `X-Forwarded-Proto` are read.
    trusted_proxies: Networks = ()
    # Address of this console for browsers and new agents, without a trailing slash.
    public_url: str = Field(default="http://127.0.0.1:8080", pattern=r"^https?://[^/\s]+$")
    # Address of the edge for agents.
    agent_address: str = Field(default="127.0.0.1:8443", pattern=r"^[^/\s]+:\d+$")
    # The authority that issued the edge's certificate; its fingerprint is in the install line.
    ca_certificate: Path
    # Folder of the built console; without it only the API is served.
    console_dir: Path | None = None
    # Folder of the agent's builds; without it the install line finds no build.
    agent_dir: Path | None = None
