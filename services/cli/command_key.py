"""`flotilla command-key`: shows and rotates the key whose commands agents trust."""

import argparse

from pydantic import SecretStr

from services.cli.settings import change_key, new_key, require_changeable
from services.kit.agents.commands import Signer
from services.kit.settings import RandomKey, Settings, load

NAME = "FLOTILLA_COMMAND_KEY"


class CommandKeySettings(Settings):
    command_key: RandomKey


def show(_arguments: argparse.Namespace) -> int:
    print(_public(load(CommandKeySettings).command_key))
    return 0


def rotate(_arguments: argparse.Namespace) -> int:
    path = require_changeable(NAME)
    current, new = load(CommandKeySettings).command_key, new_key()
    change_key(path, NAME, new, current)
    print(f"{path} has a new command key, and the previous one as {NAME}_PREVIOUS.")
    print(f"public   {_public(new)}")
    print("Restart every gateway and shellproxy with both settings.")
    print("Agents switch to the new key when they connect. Before the next rotation, check in the")
    print(
        "console that all servers trust the current key. A server that does not needs its install"
    )
    print("line again.")
    return 0


def _public(key: SecretStr) -> str:
    return Signer.of(key).public_key.hex()
