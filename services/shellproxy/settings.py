from pydantic import Field

from services.kit.commands import CommandKey
from services.kit.settings import DatabaseSettings, StrongSecret


class ShellproxySettings(DatabaseSettings):
    nats_shellproxy_password: StrongSecret
    # Agents obey it: it signs what starts a terminal and what is typed there.
    command_key: CommandKey
    # Without a word from here for so long, an agent ends its terminals.
    shell_lease_seconds: float = Field(default=60, ge=2, le=600)
    keep_recordings_days: int = Field(default=90, ge=1)
