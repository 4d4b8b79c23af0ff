"""The arguments of the `flotilla` command.

Each command has the path of the function that runs it, so `--help` imports none of them.
"""

import argparse
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from services.kit.access import Role
from services.kit.services import SERVICES

SECRETS_BATCH = 500
DEAD_LETTERS_LIMIT = 50  # default number of entries in one listing


class _Version(argparse.Action):
    """Prints the version; looks it up only when it is requested."""

    def __init__(self, option_strings: Sequence[str], dest: str, **_options: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, help="print the version")

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        _namespace: argparse.Namespace,
        _values: object,
        _option_string: str | None = None,
    ) -> None:
        print(f"flotilla {version('flotilla')}")
        parser.exit()


def build() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="flotilla",
        description="Runs and maintains the services of Flotilla."
        " Settings come from FLOTILLA_… variables and $FLOTILLA_STATE/flotilla.env.",
    )
    parser.add_argument("--version", action=_Version)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = _command(commands, "run", "run one service, or all services in one process")
    run.add_argument(
        "service", choices=[*SERVICES, "all"], help="the service; `all` runs all in one process"
    )
    _runs(run, "services.cli.run:run")

    step = _command(
        commands, "migrate", "apply the missing database migrations, and set up the services' roles"
    )
    _runs(step, "services.cli.migrate:run", extra="database")

    step = _command(
        commands, "provision", "create or update the streams, durables and buckets of NATS"
    )
    _runs(step, "services.cli.provision:run")

    user = _command(commands, "user", "manage users")
    _add_user_commands(user)

    _add_bus_commands(commands)

    dead_letters = _command(
        commands, "dlq", "manage dead letters: messages that could not be processed"
    )
    _add_dead_letter_commands(dead_letters)

    key = _command(commands, "command-key", "show or rotate the key whose commands agents trust")
    _add_key_commands(key)

    keys = _command(commands, "secrets", "manage the keys that encrypt secrets in the database")
    _add_secret_commands(keys)

    audit = _command(commands, "audit", "verify or export the audit log")
    _add_audit_commands(audit)

    document = _command(commands, "openapi", "print the API's OpenAPI document")
    _runs(document, "services.cli.openapi:run", extra="gateway")
    return parser


def _add_bus_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    watch = _command(commands, "tail", "print the messages of a subject, one line of JSON each")
    watch.add_argument(
        "subject",
        help="for example 'telemetry.>' or 'event.vps.*.connected'; the prefix 'flotilla.' is"
        " optional",
    )
    watch.add_argument("--count", type=_positive, help="stop after this number of messages")
    watch.add_argument(
        "--raw", action="store_true", help="print payloads as base64 instead of decoding them"
    )
    _runs(watch, "services.cli.tail:run")

    look = _command(commands, "status", "show the services, the streams and their waiting messages")
    look.add_argument("--json", action="store_true", help="print JSON")
    _runs(look, "services.cli.status:run")


def _positive(text: str) -> int:
    """Parse a number of at least 1; argparse reports the error."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {text}")
    return number


def _takes_password(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--password-file",
        type=Path,
        help="file with the password in its first line; default: ask, or read standard input",
    )


def _add_user_commands(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add = _command(commands, "add", "add a user")
    add.add_argument("username", help="the name to log in with")
    add.add_argument(
        "--role",
        choices=[role.value for role in Role],
        default=Role.MEMBER.value,
        help="default: member, who sees only the servers that it added",
    )
    _takes_password(add)
    add.add_argument("--if-missing", action="store_true", help="succeed if the user exists")
    _runs(add, "services.cli.users:add", extra="gateway")
    change = _command(
        commands, "set-password", "set the password of a user, and end the user's login sessions"
    )
    change.add_argument("username", help="the name to log in with")
    _takes_password(change)
    _runs(change, "services.cli.users:set_password", extra="gateway")
    reset = _command(
        commands, "reset-factors", "turn off the second factor of a user who cannot log in"
    )
    reset.add_argument("username", help="the name to log in with")
    _runs(reset, "services.cli.users:reset_factors", extra="gateway")


def _add_dead_letter_commands(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    listing = _command(commands, "list", "list the dead letters, oldest first")
    listing.add_argument(
        "--after", type=int, default=0, metavar="NUMBER", help="start after this number"
    )
    listing.add_argument(
        "--limit", type=_positive, default=DEAD_LETTERS_LIMIT, help="print at most this many"
    )
    _runs(listing, "services.cli.deadletters:run_list")
    show = _command(commands, "show", "print one dead letter, decoded")
    show.add_argument("number", type=_positive, help="its number in `flotilla dlq list`")
    _runs(show, "services.cli.deadletters:run_show")
    for name, text in (
        ("replay", "publish dead letters on their original subject, then delete them"),
        ("drop", "delete dead letters for good"),
    ):
        command = _command(commands, name, text)
        which = command.add_mutually_exclusive_group(required=True)
        which.add_argument(
            "number", type=_positive, nargs="?", help="its number in `flotilla dlq list`"
        )
        which.add_argument("--all", action="store_true", help="all dead letters")
        _runs(command, f"services.cli.deadletters:run_{name}")


def _add_key_commands(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    show = _command(commands, "show", "print the public key, as in the install line")
    _runs(show, "services.cli.command_key:show", extra="gateway")
    rotate = _command(commands, "rotate", "create a new key; agents switch to it when they connect")
    _runs(rotate, "services.cli.command_key:rotate", extra="gateway")


def _add_secret_commands(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    status = _command(commands, "status", "show the keys, and which data key encrypts how much")
    _runs(status, "services.cli.secrets:status", extra="gateway")
    rotate = _command(
        commands,
        "rotate",
        "create a new master key and encrypt every secret again, or continue doing so",
    )
    rotate.add_argument(
        "--batch", type=_positive, default=SECRETS_BATCH, help="number of values per transaction"
    )
    _runs(rotate, "services.cli.secrets:rotate", extra="gateway")
    retire = _command(commands, "retire", "forget the previous master key after a rotation")
    _runs(retire, "services.cli.secrets:retire", extra="gateway")


def _add_audit_commands(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    since = "only entries stored since a time (2026-03-01T08:00:00Z) or in the last 90m, 24h or 7d"
    verify = _command(
        commands, "verify", "check that no entry was changed, moved, inserted or removed"
    )
    verify.add_argument("--since", metavar="TIME", help=since)
    verify.add_argument(
        "--expect",
        metavar="NUMBER:HASH",
        help="a link that was noted earlier; its entry must still have this hash",
    )
    _runs(verify, "services.cli.audit:verify", extra="gateway")
    export = _command(commands, "export", "print entries, oldest first, one line of JSON each")
    export.add_argument("--since", metavar="TIME", help=since)
    _runs(export, "services.cli.audit:export", extra="gateway")


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, text: str
) -> argparse.ArgumentParser:
    """Add a command; `text` is its line in the list of commands and a sentence in its own help."""
    sentence = f"{text[0].upper()}{text[1:]}."
    return commands.add_parser(name, help=text, description=sentence)


def _runs(parser: argparse.ArgumentParser, path: str, *, extra: str = "") -> None:
    """Set the function that runs a command, and the extra that it needs."""
    parser.set_defaults(command=path, needs=extra, full_name=parser.prog)
