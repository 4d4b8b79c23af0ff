"""The `flotilla` command."""

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import psycopg
import structlog
from nats.errors import Error as NatsError
from nats.js.errors import APIError

from services.cli import command_key, deadletters, users
from services.cli.provision import provision
from services.cli.settings import OperatorSettings, ProvisionSettings
from services.cli.status import print_status
from services.cli.tail import tail
from services.gateway.app import create_app
from services.gateway.document import document
from services.gateway.service import run as run_gateway
from services.gateway.settings import GatewaySettings
from services.ingest.edge import run as run_edge
from services.ingest.rollup import run as run_rollup
from services.ingest.settings import EdgeSettings, RollupSettings, WriterSettings
from services.ingest.writer import run as run_writer
from services.kit import bus, runner, subjects, telemetry
from services.kit.access import Role
from services.kit.errors import FlotillaError
from services.kit.health import Health, serve_http
from services.kit.migrate import migrate
from services.kit.settings import DatabaseSettings, Settings, load
from services.shellproxy.service import run as run_shellproxy
from services.shellproxy.settings import ShellproxySettings

# Name on the command line → its settings and the function that runs it.
SERVICES: dict[str, tuple[type[Settings], Callable[..., Awaitable[None]]]] = {
    "edge": (EdgeSettings, run_edge),
    "writer": (WriterSettings, run_writer),
    "rollup": (RollupSettings, run_rollup),
    "gateway": (GatewaySettings, run_gateway),
    "shellproxy": (ShellproxySettings, run_shellproxy),
}


def main() -> None:
    arguments = _parser().parse_args()
    # Standard output is for what was asked; only trouble is told beside it.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        status = arguments.command(arguments)
    except FlotillaError as error:
        print(f"flotilla: {error}", file=sys.stderr)
        status = 2
    except (psycopg.OperationalError, NatsError, APIError, OSError, TimeoutError) as error:
        print(f"flotilla: {type(error).__name__}: {error}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="flotilla",
        description="Runs Flotilla's services and looks after them."
        " Settings come from FLOTILLA_… variables and $FLOTILLA_STATE/flotilla.env.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run one service, or all in one process")
    run.add_argument("service", choices=[*SERVICES, "all"])
    run.set_defaults(command=_run)

    step = commands.add_parser("migrate", help="bring the database's schema up to date")
    step.set_defaults(command=_migrate)

    step = commands.add_parser("provision", help="make the streams, durables and buckets")
    step.set_defaults(command=_provision)

    user = commands.add_parser("user", help="accounts").add_subparsers(
        required=True, metavar="COMMAND"
    )
    add = user.add_parser("add", help="add an account")
    add.add_argument("username")
    add.add_argument("--role", choices=[role.value for role in Role], default=Role.MEMBER.value)
    add.add_argument(
        "--password-file", type=Path, help="first line is the password; default: ask, or read stdin"
    )
    add.add_argument("--if-missing", action="store_true", help="an existing account is no error")
    add.set_defaults(command=users.add)

    watch = commands.add_parser("tail", help="print messages of a subject, one JSON line each")
    watch.add_argument("subject", help="such as 'telemetry.>' or 'event.vps.*.connected'")
    watch.add_argument("--count", type=int, help="stop after so many")
    watch.add_argument("--raw", action="store_true", help="payloads as base64, not decoded")
    watch.set_defaults(command=_tail)

    look = commands.add_parser("status", help="services, streams and what waits in them")
    look.add_argument("--json", action="store_true", help="for programs")
    look.set_defaults(command=_status)

    letters = commands.add_parser("dlq", help="what consumers set aside")
    deadletters.add_commands(letters)

    key = commands.add_parser("command-key", help="the key that agents obey")
    command_key.add_commands(key)

    document = commands.add_parser("openapi", help="print the API's OpenAPI document")
    document.set_defaults(command=_openapi)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    names = list(SERVICES) if arguments.service == "all" else [arguments.service]
    settings = {name: load(SERVICES[name][0]) for name in names}
    first = next(iter(settings.values()))
    telemetry.configure(first, service=arguments.service)
    health = {name: Health(name) for name in names}
    services: dict[str, runner.Run] = {
        name: partial(SERVICES[name][1], settings[name], health[name]) for name in names
    }
    if first.health_port is None:
        return runner.run(services)
    with serve_http(list(health.values()), first.health_port):
        return runner.run(services)


def _migrate(_arguments: argparse.Namespace) -> int:
    url = load(DatabaseSettings).database_url.get_secret_value()
    applied = asyncio.run(migrate(url))
    print("\n".join(f"applied {name}" for name in applied) or "the schema is up to date")
    return 0


def _provision(_arguments: argparse.Namespace) -> int:
    settings = load(ProvisionSettings)

    async def step() -> list[str]:
        user, password = subjects.User.PROVISION, settings.nats_provision_password
        async with bus.connect(settings, user, password, name="provision") as connection:
            return await provision(connection.jetstream)

    print("\n".join(asyncio.run(step())))
    return 0


def _tail(arguments: argparse.Namespace) -> int:
    settings = load(OperatorSettings)
    return asyncio.run(tail(settings, arguments.subject, count=arguments.count, raw=arguments.raw))


def _status(arguments: argparse.Namespace) -> int:
    return asyncio.run(print_status(load(OperatorSettings), as_json=arguments.json))


def _openapi(_arguments: argparse.Namespace) -> int:
    print(json.dumps(document(create_app(None)), indent=2, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    main()
