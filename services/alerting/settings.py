from services.kit.settings import DatabaseSettings, RandomKey, StrongSecret


class AlertingSettings(DatabaseSettings):
    nats_alerting_password: StrongSecret
    # Opens the data keys that encrypt the configuration of channels.
    master_key: RandomKey
    # The previous key, until `flotilla secrets retire`.
    master_key_previous: RandomKey | None = None
