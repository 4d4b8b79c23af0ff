import argparse
import asyncio

from services.cli.database import explained
from services.kit.database.migrate import migrate
from services.kit.settings import DatabaseSettings, load


def run(_arguments: argparse.Namespace) -> int:
    url = load(DatabaseSettings).database_url.get_secret_value()
    with explained(url):
        applied = asyncio.run(migrate(url))
    print("\n".join(f"applied {name}" for name in applied) or "the schema is up to date")
    return 0
