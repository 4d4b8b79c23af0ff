"""`flotilla run`: one service, or all in one process."""

import argparse
from functools import partial

from services.kit import observability, runner
from services.kit.health import Health, serve_http
from services.kit.services import SERVICES
from services.kit.settings import load


def run(arguments: argparse.Namespace) -> int:
    names = list(SERVICES) if arguments.service == "all" else [arguments.service]
    runs = {name: SERVICES[name].run() for name in names}
    settings = {name: load(SERVICES[name].settings_class()) for name in names}
    first = next(iter(settings.values()))
    observability.configure(first, service=arguments.service)
    health = {name: Health(name) for name in names}
    services: dict[str, runner.Run] = {
        name: partial(run_service, settings[name], health[name])
        for name, run_service in runs.items()
    }
    if first.health_port is None:
        return runner.run(services)
    with serve_http(list(health.values()), first.health_port):
        return runner.run(services)
