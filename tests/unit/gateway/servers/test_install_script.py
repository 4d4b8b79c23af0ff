"""The policy and the unit that the install script writes for each flag."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import tomllib

from agent.commands import policy as agent_policy
from services.gateway.servers.install import SCRIPT

KEY = "ab" * 32
AUTHORITY = "cd" * 32
# The account does not exist here, so `setpriv` only prints its arguments.
RUN = """
setpriv() {{
    echo "setpriv $*" >&2
    while [ "$1" != -- ]; do shift; done
    shift
    "$@"
}}
program={folder}/program state={folder}/state policy={folder}/etc/policy.toml
supplementary=''
parse "$@"
decide
tick
supplementary=$(extra_groups)
unit_text > {folder}/flotilla-agent.service
"""


@dataclass
class Host:
    folder: Path

    def install(
        self,
        *flags: str,
        key: str | None = KEY,
        authority: str = AUTHORITY,
        token: str = "",
    ) -> subprocess.CompletedProcess[str]:
        whole = SCRIPT.read_text()
        functions = whole.removesuffix('main "$@"\n')
        assert functions != whole
        run = RUN.format(folder=self.folder)
        words = ["https://console", authority, *([key] if key else []), *flags]
        return subprocess.run(
            ["sh", "-c", functions + run, "sh", *words],
            env={**os.environ, "FLOTILLA_ENROLMENT_TOKEN": token},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    @property
    def policy(self) -> dict[str, object]:
        return tomllib.loads((self.folder / "etc/policy.toml").read_text())

    @property
    def unit(self) -> dict[str, str]:
        lines = (self.folder / "flotilla-agent.service").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    for name in ("program", "state", "etc"):
        (tmp_path / name).mkdir()
    program = tmp_path / "program/flotilla-agent"
    program.symlink_to(Path(sys.executable).with_name("flotilla-agent"))
    return Host(tmp_path)


def test_a_line_that_ticks_nothing_allows_nothing(host: Host) -> None:
    assert host.install().returncode == 0

    assert host.policy == {
        "shell": False,
        "commands": False,
        "files": "off",
        "file_roots": [],
        "docker": "off",
    }
    assert not agent_policy.load(host.folder / "etc/policy.toml")
    assert (host.folder / "etc/policy.toml").stat().st_mode & 0o777 == 0o644


def test_every_power_is_written_as_it_is_ticked(host: Host) -> None:
    done = host.install(
        *("--shell", "--commands", "--files=read", "--docker=actions", "--run-as=root"),
        *("--file-root=/srv", '--file-root=/var/my "logs"\\x'),
    )

    assert done.returncode == 0, done.stderr
    assert host.policy == {
        "shell": True,
        "commands": True,
        "files": "read",
        "file_roots": ["/srv", '/var/my "logs"\\x'],
        "docker": "actions",
    }
    assert "shell     on" in done.stdout


def test_files_without_a_root_are_all_files(host: Host) -> None:
    host.install("--files=write")

    assert (host.policy["files"], host.policy["file_roots"]) == ("write", ["/"])


def test_an_upgrade_that_ticks_nothing_keeps_what_was_ticked(host: Host) -> None:
    host.install("--shell", "--docker=read")
    before = host.policy

    host.install()
    assert host.policy == before
    host.install(key=None)
    assert host.policy == before
    host.install("--commands")
    assert (host.policy["shell"], host.policy["commands"]) == (False, True)


@pytest.mark.parametrize("flags", [[], ["--run-as=root"]])
def test_an_enrolment_that_ticks_nothing_takes_everything_away(
    host: Host, flags: list[str]
) -> None:
    host.install("--shell", "--commands", "--files=write", "--docker=actions", token="first")

    done = host.install(*flags, token="second")

    assert not any(value is True for value in host.policy.values())
    assert (host.policy["files"], host.policy["docker"]) == ("off", "off")
    assert "shell     off" in done.stdout


def test_what_is_allowed_is_asked_as_the_agents_user(host: Host) -> None:
    done = host.install("--shell")
    assert "--reuid flotilla-agent" in done.stderr
    assert "shell     on" in done.stdout
    assert "setpriv" not in host.install("--shell", "--run-as=root").stderr


def test_an_upgrade_keeps_what_the_owner_wrote_by_hand(host: Host) -> None:
    (host.folder / "etc/policy.toml").write_text("shell = true\n")

    host.install()

    assert host.policy == {"shell": True}


def test_an_enrolment_that_ticks_nothing_replaces_what_was_written_by_hand(host: Host) -> None:
    (host.folder / "etc/policy.toml").write_text("shell = true\n")

    host.install(token="new")

    assert not agent_policy.load(host.folder / "etc/policy.toml")


def test_what_was_ticked_for_another_console_is_not_for_this_one(host: Host) -> None:
    host.install("--shell", "--commands")

    host.install(authority="ef" * 32)

    assert (host.policy["shell"], host.policy["commands"]) == (False, False)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--files=all"], "--files=all is not known"),
        (["--docker"], "--docker is not known"),
        (["--sudo"], "--sudo is not known"),
        (["--run-as=daemon"], "--run-as=daemon is not known"),
        (["--files=read", "--file-root=srv"], "must be an absolute path"),
        (["--files=read", "--file-root=/it's"], "a quote"),
        (["--files=read", "--file-root=/a\nshell = true"], "control character"),
        (["--file-root=/srv"], "--file-root needs"),
        (["more"], "more is not known"),
    ],
)
def test_a_word_that_is_not_understood_is_refused(
    host: Host, words: list[str], reason: str
) -> None:
    done = host.install(*words)

    assert done.returncode != 0
    assert reason in done.stderr
    assert not (host.folder / "etc/policy.toml").exists()


@pytest.mark.parametrize("key", ["ab", "zz" * 32, "ab" * 33])
def test_what_is_no_command_key_is_refused(host: Host, key: str) -> None:
    assert "is no command key" in host.install(key=key).stderr


def test_a_power_without_a_command_key_is_refused(host: Host) -> None:
    done = host.install("--shell", key=None)

    assert done.returncode != 0
    assert "the command key is missing" in done.stderr


def test_without_powers_the_unit_keeps_the_agent_from_everything(host: Host) -> None:
    host.install()

    unit = host.unit
    assert unit["User"] == "flotilla-agent"
    assert unit["CapabilityBoundingSet"] == ""
    assert (unit["ProtectSystem"], unit["ProtectHome"]) == ("strict", "read-only")
    assert (unit["NoNewPrivileges"], unit["PrivateTmp"]) == ("yes", "yes")
    assert (unit["MemoryMax"], unit["CPUQuota"]) == ("128M", "25%")
    assert unit["KillMode"] == "mixed"
    assert "SupplementaryGroups" not in unit


@pytest.mark.parametrize("power", ["--shell", "--commands"])
def test_a_shell_has_what_its_user_has(host: Host, power: str) -> None:
    host.install(power, "--run-as=root")

    assert host.unit["User"] == "root"
    assert not host.unit.keys() & {
        *("MemoryMax", "CPUQuota", "NoNewPrivileges", "ProtectSystem", "ProtectHome"),
        *("CapabilityBoundingSet", "PrivateTmp", "RestrictSUIDSGID", "RestrictAddressFamilies"),
    }
    assert host.unit["KillMode"] == "mixed"


def test_files_to_write_need_the_disk_and_nothing_else(host: Host) -> None:
    host.install("--files=write", "--run-as=root")

    unit = host.unit
    assert not unit.keys() & {"ProtectSystem", "ProtectHome", "PrivateTmp", "RestrictSUIDSGID"}
    assert "CAP_DAC_OVERRIDE" in unit["CapabilityBoundingSet"]
    assert "CAP_SYS_ADMIN" not in unit["CapabilityBoundingSet"]
    assert (unit["NoNewPrivileges"], unit["MemoryMax"]) == ("yes", "128M")


def test_files_to_read_leave_the_disk_as_it_is(host: Host) -> None:
    host.install("--files=read", "--run-as=root")

    unit = host.unit
    assert unit["ProtectSystem"] == "strict"
    assert unit["CapabilityBoundingSet"] == "CAP_DAC_READ_SEARCH"
    host.install("--files=read", "--run-as=agent")
    assert host.unit["CapabilityBoundingSet"] == ""


def test_docker_takes_its_group_where_the_agent_is_not_root(host: Host) -> None:
    done = host.install("--docker=read")

    there = "\ndocker:" in Path("/etc/group").read_text()
    assert host.unit.get("SupplementaryGroups") == ("docker" if there else None)
    assert ("no group docker" in done.stderr) != there
    assert host.unit["ProtectSystem"] == "strict"
    host.install("--docker=read", "--run-as=root")
    assert "SupplementaryGroups" not in host.unit


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not here")
@pytest.mark.parametrize(
    "flags",
    [[], ["--shell"], ["--files=read"], ["--files=write", "--run-as=root"], ["--docker=actions"]],
)
def test_systemd_understands_the_unit(host: Host, flags: list[str]) -> None:
    host.install(*flags)

    done = subprocess.run(
        ["systemd-analyze", "verify", str(host.folder / "flotilla-agent.service")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert "flotilla-agent.service" not in done.stderr, done.stderr
