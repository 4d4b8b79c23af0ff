"""The alerting service: evaluates rules and sends notifications."""

import asyncio

from services.alerting.deliveries import Deliveries
from services.alerting.evaluation import Evaluator
from services.alerting.settings import AlertingSettings
from services.alerting.timing import DEFAULT_TIMING, AlertingTiming
from services.kit.database import pool as database
from services.kit.health import Health
from services.kit.secrets.master_keys import MasterKeys
from services.kit.service_connection import connect_service


async def run(
    settings: AlertingSettings, health: Health, *, timing: AlertingTiming = DEFAULT_TIMING
) -> None:
    """Evaluate and notify until cancelled."""
    keys = MasterKeys(settings.master_key, settings.master_key_previous)
    async with (
        connect_service(settings, health, settings.nats_alerting_password) as connection,
        database.open_pool(settings, health, size=4) as pool,
        asyncio.TaskGroup() as tasks,
    ):
        evaluator = Evaluator(connection, pool, health, timing)
        tasks.create_task(evaluator.run(), name="evaluator")
        tasks.create_task(Deliveries(pool, keys, timing).run(), name="notifications")
