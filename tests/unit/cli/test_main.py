"""The `flotilla` command, as far as it needs no server."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("flotilla")
HEAVY = ("nats", "psycopg", "structlog", "opentelemetry", "pydantic", "google", "litestar", "grpc")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_imports_nothing_heavy() -> None:
    code = f"""
import contextlib, io, sys
from services.cli.main import main
sys.argv = ["flotilla", "--help"]
with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):
    main()
assert "command-key" in text.getvalue()
assert not set({HEAVY}) & set(sys.modules), set({HEAVY}) & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})


def test_the_version_is_that_of_the_package() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"flotilla {version('flotilla')}\n")


@pytest.mark.parametrize(
    "line", ["tail x --count -1", "dlq list --limit 0", "dlq show -1", "dlq drop 0", "dlq show x"]
)
def test_a_number_that_is_none_is_a_wrong_argument(line: str) -> None:
    done = run(*line.split())
    assert done.returncode == 2
    assert "usage: flotilla" in done.stderr


def test_every_command_names_a_function_that_exists() -> None:
    code = """
from services.cli import parser
from services.kit.extras import resolve
lines = (
    "run all", "migrate", "provision", "user add x", "user set-password x", "user reset-factors x",
    "tail x", "status", "dlq list", "dlq show 1",
    "dlq replay 1", "dlq drop --all", "command-key show", "command-key rotate", "openapi",
    "secrets status", "secrets rotate", "secrets retire",
)
for line in lines:
    assert callable(resolve(parser.build().parse_args(line.split()).command))
"""
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})


def test_a_reader_that_ends_early_ends_the_command_without_a_traceback() -> None:
    for arguments in (["openapi"], ["--help"]):
        with subprocess.Popen(
            [COMMAND, *arguments],
            env={"PATH": os.environ["PATH"]},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.close()
            errors = process.stderr.read()
        assert (process.returncode, errors) == (141, b""), arguments


def test_a_missing_setting_is_named_and_so_is_the_file_that_settings_are_read_from(
    tmp_path: Path,
) -> None:
    done = run("run", "edge", FLOTILLA_STATE=str(tmp_path))
    assert done.returncode == 2
    assert "FLOTILLA_NATS_EDGE_PASSWORD is not set" in done.stderr
    assert f"{tmp_path}/flotilla.env, which does not exist; FLOTILLA_STATE names" in done.stderr


def test_commands_that_need_no_service_start_without_any() -> None:
    done = run("status", FLOTILLA_STATE="/nonexistent")
    assert done.returncode == 2
    assert "FLOTILLA_NATS_OPERATOR_PASSWORD is not set" in done.stderr


def test_every_command_has_a_sentence_and_explains_its_arguments() -> None:
    code = """
import argparse
from services.cli import parser

def check(command):
    assert command.description and command.description.endswith("."), command.prog
    for action in command._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                check(inner)
        else:
            assert action.help, (command.prog, action.dest)

check(parser.build())
"""
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
