"""The key that agents obey: shown, and exchanged."""

import argparse
import base64
import os
import secrets
from pathlib import Path

from pydantic import SecretStr

from services.kit.commands import CommandKey, Signer
from services.kit.errors import SettingsError
from services.kit.settings import Settings, load, state_file

CURRENT, PREVIOUS = "FLOTILLA_COMMAND_KEY", "FLOTILLA_COMMAND_KEY_PREVIOUS"


class CommandKeySettings(Settings):
    command_key: CommandKey


def add_commands(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    show = commands.add_parser("show", help="print its public half, as the install line has it")
    show.set_defaults(command=_show)
    rotate = commands.add_parser("rotate", help="make a new one; agents follow as they connect")
    rotate.set_defaults(command=_rotate)


def _show(_arguments: argparse.Namespace) -> int:
    print(_public(load(CommandKeySettings).command_key))
    return 0


def _rotate(_arguments: argparse.Namespace) -> int:
    path = state_file()
    lines = _lines(path)
    current = load(CommandKeySettings).command_key
    new = base64.b64encode(secrets.token_bytes(32)).decode()
    kept = [line for line in lines if line.partition("=")[0].strip() not in {CURRENT, PREVIOUS}]
    kept += [f"{CURRENT}={new}", f"{PREVIOUS}={current.get_secret_value()}"]
    _replace(path, "".join(f"{line}\n" for line in kept))
    print(f"{path} has a new command key, and the one before as {PREVIOUS}.")
    print(f"public   {_public(SecretStr(new))}")
    print("Restart every gateway and shellproxy, all with both lines.")
    print("Agents follow as they connect. Before the next rotation see that all have: of those")
    print("that have not, the console says that they do not obey it, and their install line is")
    print("needed again.")
    return 0


def _lines(path: Path) -> list[str]:
    """Raises: SettingsError: the key is not kept there."""
    for name in (CURRENT, PREVIOUS):
        if os.environ.get(name):
            raise SettingsError(
                f"{name} is set in the environment: move its value to {PREVIOUS} there, set"
                f" {CURRENT} to that of `openssl rand -base64 32`, and restart the services"
            )
    try:
        return path.read_text().splitlines()
    except FileNotFoundError:
        raise SettingsError(f"there is no {path}; FLOTILLA_STATE names its folder") from None


def _replace(path: Path, text: str) -> None:
    """At once, readable by its owner only from the first byte, and on the disk."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _public(key: SecretStr) -> str:
    return Signer.of(key).public_key.hex()
