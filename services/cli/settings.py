from services.kit.settings import Settings, StrongSecret


class ProvisionSettings(Settings):
    nats_provision_password: StrongSecret


class OperatorSettings(Settings):
    nats_operator_password: StrongSecret


class RepairSettings(Settings):
    nats_repair_password: StrongSecret
