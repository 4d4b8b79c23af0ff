"""`flotilla migrate`: applies the missing migrations, and sets up the roles of the services."""

import argparse
import asyncio

from services.cli.database import explained
from services.cli.settings import OwnerSettings
from services.kit.database import roles
from services.kit.database.migrate import migrate
from services.kit.database.roles import Login
from services.kit.services import DATABASE_SERVICES
from services.kit.settings import load, url_variable


def run(_arguments: argparse.Namespace) -> int:
    settings = load(OwnerSettings)
    url = settings.database_url.get_secret_value()
    urls = {service: settings.service_url(service) for service in DATABASE_SERVICES}
    logins = [Login.of(service, own) for service, own in urls.items() if own is not None]
    with explained(url):
        applied = asyncio.run(migrate(url))
        print("\n".join(f"applied {name}" for name in applied) or "the schema is up to date")
        for line in asyncio.run(roles.apply(url, logins)):
            print(line)
    for service, own in urls.items():
        if own is None:
            print(f"the {service} has no role of its own: {url_variable(service)} is not set")
    return 0
