"""The `flotilla` command.

It imports a command's code when that command runs: `flotilla --help` is quick, and
`flotilla run edge` loads the edge alone.
"""

import argparse
import os
import sys
from contextlib import nullcontext

from services.cli import parser
from services.kit.errors import FlotillaError, UnreachableError
from services.kit.extras import needs_extra, resolve

# Failures of the network or of a server, by the module that defines them.
FAILURES = (
    ("psycopg", "OperationalError"),
    ("nats.errors", "Error"),
    ("nats.js.errors", "APIError"),
)
INTERRUPTED = 130  # as shells report a program that SIGINT ended
BROKEN_PIPE = 141  # as shells report a program that SIGPIPE ended


def main() -> None:
    try:
        try:
            status = _run(parser.build().parse_args())
        finally:
            sys.stdout.flush()
    except UnreachableError as error:
        print(f"flotilla: {error}", file=sys.stderr)
        status = 1
    except FlotillaError as error:
        print(f"flotilla: {error}", file=sys.stderr)
        status = 2
    except BrokenPipeError:
        # The reader of standard output has ended, as `head` does. Without this, writing the rest of
        # the buffer at exit would fail again, with a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = BROKEN_PIPE
    except _failures() as error:
        print(f"flotilla: {_explain(error)}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        status = INTERRUPTED
    sys.exit(status)


def _run(arguments: argparse.Namespace) -> int:
    extra = arguments.needs
    what = f'The command "{arguments.full_name}"'
    with needs_extra(what, extra) if extra else nullcontext():
        command = resolve(arguments.command)
    resolve("services.cli.logs:configure")()
    status: int = command(arguments)
    return status


def _failures() -> tuple[type[Exception], ...]:
    """Return the errors to report without a traceback, of the modules that are loaded."""
    loaded = ((sys.modules.get(module), name) for module, name in FAILURES)
    return (OSError, *(getattr(module, name) for module, name in loaded if module is not None))


def _explain(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}."
    if isinstance(error, TimeoutError) or type(error).__module__.startswith("nats."):
        explain = resolve("services.cli.connection:explain")
        return str(explain(error))
    return str(error) or type(error).__name__


if __name__ == "__main__":
    main()
