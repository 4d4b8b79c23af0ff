"""Command line of the agent."""

import argparse
import sys
from pathlib import Path

from agent import __version__
from agent.base import logs
from agent.base.errors import AgentError

CONFIG_FILE = Path("/etc/flotilla-agent/config.toml")
POLICY_FILE = Path("/etc/flotilla-agent/policy.toml")
STATE_FOLDER = Path("/var/lib/flotilla-agent")
KEY_BYTES = 32
UNUSED = (
    "ast",  # which the module inspect uses for functions written in C
    # Signing and hashing need none of these.
    "nacl.public",
    "nacl.bindings.crypto_aead",
    "nacl.bindings.crypto_box",
    "nacl.bindings.crypto_core",
    "nacl.bindings.crypto_generichash",
    "nacl.bindings.crypto_kx",
    "nacl.bindings.crypto_pwhash",
    "nacl.bindings.crypto_scalarmult",
    "nacl.bindings.crypto_secretbox",
    "nacl.bindings.crypto_secretstream",
    "nacl.bindings.crypto_shorthash",
)


def main() -> None:
    sys.exit(command(parser().parse_args()))


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="flotilla-agent",
        description="Reports metrics of this server to Flotilla. Without a command, runs the agent.",
    )
    top.add_argument("--version", action="version", version=f"flotilla-agent {__version__}")
    top.add_argument(
        "--config", type=Path, metavar="FILE", help=f"configuration file (default {CONFIG_FILE})"
    )
    top.add_argument(
        "--state",
        type=Path,
        metavar="FOLDER",
        default=STATE_FOLDER,
        help="folder with the key, the enrolment and the spool (default %(default)s)",
    )
    top.add_argument(
        "--policy",
        type=Path,
        metavar="FILE",
        default=POLICY_FILE,
        help="file that says what the console may do on this server (default %(default)s)",
    )
    top.add_argument(
        "--once",
        action="store_true",
        help="print one snapshot of the metrics as JSON and exit; needs no enrolment",
    )
    actions = top.add_subparsers(dest="action", title="commands", metavar="")
    _add_enrol(actions)
    policy = actions.add_parser(
        "policy",
        help="print what the console may do on this server",
        description="Prints what the console may do on this server, the user that the agent runs"
        " as, and the key whose commands the agent trusts.",
    )
    policy.add_argument(
        "--policy", type=Path, metavar="FILE", default=argparse.SUPPRESS, help="as above"
    )
    trust = actions.add_parser(
        "trust",
        help="trust the commands of another key",
        description="Replaces the key whose commands the agent trusts. The policy file still limits"
        " what these commands can do. Restart the agent afterwards.",
    )
    trust.add_argument(
        "key", metavar="HEX", type=command_key, help="public command key of the console"
    )
    for action in (policy, trust):
        _add_state(action)
    return top


def _add_enrol(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    enrol = actions.add_parser(
        "enrol",
        help="register this server with a console",
        description="Registers this server with a console. The enrolment token is read from the"
        " environment variable FLOTILLA_ENROLMENT_TOKEN or from --token-file.",
    )
    enrol.add_argument("--console", required=True, metavar="URL", help="address of the console")
    enrol.add_argument(
        "--ca-sha256",
        required=True,
        metavar="HEX",
        help="SHA-256 fingerprint of the console's CA certificate",
    )
    enrol.add_argument(
        "--command-key",
        type=command_key,
        metavar="HEX",
        help="key whose commands the agent trusts, within the policy; without it, it trusts none",
    )
    enrol.add_argument(
        "--token-file", metavar="FILE", help='file with the enrolment token; "-" is standard input'
    )
    enrol.add_argument("--force", action="store_true", help="replace the present enrolment")
    _add_state(enrol)


def _add_state(action: argparse.ArgumentParser) -> None:
    action.add_argument(
        "--state", type=Path, metavar="FOLDER", default=argparse.SUPPRESS, help="as above"
    )


def command_key(text: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise argparse.ArgumentTypeError(f"the key must have {2 * KEY_BYTES} hexadecimal digits")
    return key


def command(options: argparse.Namespace) -> int:
    """Run the command. Return 0, 1 (failed), 2 (wrong configuration) or 3 (not enrolled)."""
    try:
        if options.action in ACTIONS:
            ACTIONS[options.action](options)
        elif options.once:
            once(options)
        else:
            run(options)
    except AgentError as error:
        print(f"flotilla-agent: {error}", file=sys.stderr)  # noqa: T201  # the user reads it
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


# Each command imports only what it needs.


def run(options: argparse.Namespace) -> None:
    from agent.base.left_out import left_out  # noqa: PLC0415

    with left_out(*_unused_modules()):
        from agent import app  # noqa: PLC0415
    from agent.base import config, identity, memory  # noqa: PLC0415

    memory.limit_reserves()
    config_file = options.config or CONFIG_FILE
    local = config.load(config_file, required=options.config is not None)
    logs.configure(local.log_level)
    state = identity.StateFolder(options.state)
    # These files decide what is executed or allowed, so no file action may change them.
    protected = (options.policy, config_file, CONFIG_FILE.parent)
    app.run(state, state.load_identity(), local, options.policy, protected)


def _unused_modules() -> tuple[str, ...]:
    """Return modules that the libraries load and a running agent does not use, 1.6 MB."""
    from google.protobuf.internal import api_implementation  # noqa: PLC0415

    if api_implementation.Type() != "upb":
        return UNUSED
    # The implementation of protobuf in Python, beside the compiled one.
    return *UNUSED, "google.protobuf.internal.python_message"


def once(options: argparse.Namespace) -> None:
    from agent import snapshot_report  # noqa: PLC0415
    from agent.base import config  # noqa: PLC0415

    local = config.load(options.config or CONFIG_FILE, required=options.config is not None)
    logs.configure(local.log_level)
    print(snapshot_report.report(local))  # noqa: T201  # the output of the command


def enrol(options: argparse.Namespace) -> None:
    from agent import enrol  # noqa: PLC0415
    from agent.base import identity  # noqa: PLC0415

    state = identity.StateFolder(options.state)
    state.prepare()
    if state.is_enrolled() and not options.force:
        raise AgentError(
            f"This server is already enrolled ({state.path}). Use --force to replace the enrolment."
        )
    enrolled, name = enrol.enrol(
        console=options.console,
        fingerprint=options.ca_sha256,
        token=enrol.read_token(options.token_file),
        command_keys=(options.command_key,) if options.command_key else (),
    )
    try:
        state.save_identity(enrolled)
    except OSError as error:
        raise AgentError(
            f"The identity cannot be saved in {state.path}: {error.strerror}. The enrolment token is"
            " used up, so create a new install line in the console."
        ) from None
    print(f"This server is enrolled as {name} ({enrolled.vps_id}).")  # noqa: T201  # the user reads it


def policy(options: argparse.Namespace) -> None:
    from agent.base import identity  # noqa: PLC0415
    from agent.commands import policy  # noqa: PLC0415

    allowed = policy.load(options.policy)
    try:
        keys = identity.StateFolder(options.state).load_identity().command_keys
        trusts = ", ".join(key.hex() for key in keys) or "no key; run `flotilla-agent trust`"
    except AgentError as error:
        trusts = f"unknown: {error}"
    lines = {**allowed.summary(), "user": policy.agent_user(), "trusts": trusts}
    for name, value in lines.items():
        print(f"{name:<9} {value}")  # noqa: T201  # the output of the command


def trust(options: argparse.Namespace) -> None:
    from agent.base import identity  # noqa: PLC0415

    state = identity.StateFolder(options.state)
    try:
        state.save_command_keys((options.key,))
    except OSError as error:
        raise AgentError(f"The key cannot be saved in {state.path}: {error.strerror}.") from None
    print("The key is saved. Restart the agent to use it.")  # noqa: T201  # the user reads it


ACTIONS = {"enrol": enrol, "policy": policy, "trust": trust}


if __name__ == "__main__":
    main()
