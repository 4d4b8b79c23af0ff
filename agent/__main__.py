import argparse
import os
import sys
from pathlib import Path

from agent import __version__, logs
from agent.errors import AgentError

CONFIG_FILE = Path("/etc/flotilla-agent/config.toml")
POLICY_FILE = Path("/etc/flotilla-agent/policy.toml")
STATE_FOLDER = Path("/var/lib/flotilla-agent")


def main() -> None:
    sys.exit(command(parser().parse_args()))


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="flotilla-agent", description="Reports this server's metrics to Flotilla."
    )
    top.add_argument("--version", action="version", version=f"flotilla-agent {__version__}")
    top.add_argument(
        "--config", type=Path, metavar="FILE", help=f"configuration (default {CONFIG_FILE})"
    )
    top.add_argument(
        "--state",
        type=Path,
        metavar="FOLDER",
        default=STATE_FOLDER,
        help="where the key and the enrolment are kept (default %(default)s)",
    )
    top.add_argument(
        "--policy",
        type=Path,
        metavar="FILE",
        default=POLICY_FILE,
        help="what the server may do here (default %(default)s)",
    )
    top.add_argument(
        "--once", action="store_true", help="print one snapshot as JSON; needs no enrolment"
    )
    actions = top.add_subparsers(dest="action", metavar="")
    _add_enrol(actions)
    powers = actions.add_parser("powers", help="print what the server may do here")
    powers.add_argument(
        "--policy", type=Path, metavar="FILE", default=argparse.SUPPRESS, help="as above"
    )
    trust = actions.add_parser(
        "trust",
        help="obey the commands of another key",
        description="Has the agent obey the commands that are signed with this key, and no"
        " others, as far as the policy goes. It does once it is started again.",
    )
    trust.add_argument("key", metavar="HEX", type=command_key, help="the console's command key")
    for action in (powers, trust):
        _add_state(action)
    return top


def _add_enrol(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    enrol = actions.add_parser(
        "enrol",
        help="register this server with a console",
        description="Registers this server with a console. The token is read from the"
        " environment variable FLOTILLA_ENROLMENT_TOKEN or from --token-file.",
    )
    enrol.add_argument("--console", required=True, metavar="URL", help="address of the console")
    enrol.add_argument(
        "--ca-sha256", required=True, metavar="HEX", help="fingerprint of the console's CA"
    )
    enrol.add_argument(
        "--command-key",
        type=command_key,
        metavar="HEX",
        help="whose commands to obey, as far as the policy goes; nobody's without it",
    )
    enrol.add_argument("--token-file", metavar="FILE", help='"-" is standard input')
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
    if len(key) != 32:
        raise argparse.ArgumentTypeError("must be 64 hexadecimal digits")
    return key


def command(options: argparse.Namespace) -> int:
    """Exit codes: 0 done, 1 failed, 2 wrong command line or configuration, 3 not enrolled."""
    try:
        if options.action in ACTIONS:
            ACTIONS[options.action](options)
        elif options.once:
            once(options)
        else:
            run(options)
    except AgentError as error:
        print(f"flotilla-agent: {error}", file=sys.stderr)  # noqa: T201  # to whoever typed it
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


# Each command loads only what it needs: gRPC alone takes a third of the memory of a
# running agent.


def run(options: argparse.Namespace) -> None:
    # OpenSSL, 4 MB for each of the two that asyncio and hashlib would load and nothing here
    # uses: gRPC brings its own, and Python has the digests. Unpacking loads the rest itself.
    for module in ("ssl", "_hashlib", "bz2", "lzma"):
        sys.modules[module] = None  # type: ignore[assignment]  # import then raises ImportError
    # Its C core writes lines of its own form; what ends a stream is logged here.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from agent import config, identity, run  # noqa: PLC0415

    written = options.config or CONFIG_FILE
    local = config.load(written, required=options.config is not None)
    logs.configure(local.log_level)
    state = identity.StateFolder(options.state)
    # The owner's, wherever they are: what is configured there is executed or allowed.
    owners = (options.policy, written, CONFIG_FILE.parent)
    run.run(state, state.identity(), local, options.policy, owners)


def once(options: argparse.Namespace) -> None:
    from agent import config, once  # noqa: PLC0415

    local = config.load(options.config or CONFIG_FILE, required=options.config is not None)
    logs.configure(local.log_level)
    print(once.report(local))  # noqa: T201  # what was asked for


def enrol(options: argparse.Namespace) -> None:
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from agent import enrol, identity  # noqa: PLC0415

    state = identity.StateFolder(options.state)
    state.prepare()
    if state.enrolled() and not options.force:
        raise AgentError(f"{state.path}: enrolled already; --force replaces that enrolment")
    token = enrol.read_token(options.token_file)
    keys = (options.command_key,) if options.command_key else ()
    enrolled, name = enrol.enrol(options.console, options.ca_sha256, token, keys)
    try:
        state.keep_identity(enrolled)
    except OSError as error:
        raise AgentError(
            f"{state.path}: {error.strerror}; the token is used up: make a new install line"
        ) from None
    print(f"enrolled as {name} ({enrolled.vps_id})")  # noqa: T201  # to whoever typed it


def powers(options: argparse.Namespace) -> None:
    from agent import identity  # noqa: PLC0415
    from agent.execute import policy  # noqa: PLC0415

    allowed = policy.load(options.policy)
    try:
        keys = identity.StateFolder(options.state).identity().command_keys
        obeys = ", ".join(key.hex() for key in keys) or "nobody: run `flotilla-agent trust`"
    except AgentError as error:
        obeys = f"unknown: {error}"
    for name, value in {**allowed.words(), "user": policy.user(), "obeys": obeys}.items():
        print(f"{name:<9} {value}")  # noqa: T201  # what was asked for


def trust(options: argparse.Namespace) -> None:
    from agent import identity  # noqa: PLC0415

    state = identity.StateFolder(options.state)
    try:
        state.keep_command_keys((options.key,))
    except OSError as error:
        raise AgentError(f"{state.path}: {error.strerror}") from None
    print("kept; start the agent again to have it obey this key")  # noqa: T201  # to whoever typed it


ACTIONS = {"enrol": enrol, "powers": powers, "trust": trust}


if __name__ == "__main__":
    main()
