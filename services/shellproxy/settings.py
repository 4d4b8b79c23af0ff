from pydantic import Field

from services.kit.settings import (
    DatabaseSettings,
    DatabaseUrl,
    RandomKey,
    StrongSecret,
    own_database_url,
)


class ShellproxySettings(DatabaseSettings):
    database_url: DatabaseUrl = own_database_url("shellproxy")
    nats_shellproxy_password: StrongSecret
    # Agents trust this key. It signs the command that starts a terminal, and the input.
    command_key: RandomKey
    # An agent ends its terminals if it gets no message from the shellproxy for this time.
    shell_lease_seconds: float = Field(default=60, ge=2, le=600)
    # Terminals that one instance holds. Requests to open more are refused.
    shell_max_sessions: int = Field(default=200, ge=1)
    keep_recordings_days: int = Field(default=90, ge=1)
