from services.kit.settings import (
    DatabaseSettings,
    DatabaseUrl,
    RandomKey,
    StrongSecret,
    own_database_url,
)


class AlertingSettings(DatabaseSettings):
    database_url: DatabaseUrl = own_database_url("alerting")
    nats_alerting_password: StrongSecret
    # Opens the data keys that encrypt the configuration of channels.
    master_key: RandomKey
    # The previous key, until `flotilla secrets retire`.
    master_key_previous: RandomKey | None = None
