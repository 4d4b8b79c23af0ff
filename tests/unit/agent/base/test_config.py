from pathlib import Path

import pytest

from agent.base.config import Config, CustomCollector, LiveConfig, load, merge, parse
from agent.base.errors import ConfigError
from flotilla.v1.agent_pb2 import (
    COLLECTOR_DISK,
    COLLECTOR_TEMPERATURE,
    LOG_LEVEL_DEBUG,
    AgentConfig,
    CollectorList,
)
from services.ingest.edge import clock_correction

SOURCE = "agent.toml"


def test_every_key_is_read() -> None:
    content = b"""
report_interval = 5
log_level = "debug"
disabled_collectors = ["temperature", "disk_io"]
docker = true
"""

    assert parse(content, SOURCE) == Config(
        report_interval=5.0,
        log_level="debug",
        disabled_collectors=frozenset({"temperature", "disk_io"}),
        docker=True,
    )


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("report_interval = 0.4", "report_interval"),
        ("report_interval = 3601", "report_interval"),
        ("report_interval = nan", "report_interval"),
        ('report_interval = "2"', "report_interval"),
        ("report_interval = true", "report_interval"),
        ('log_level = "loud"', "log_level"),
        ('disabled_collectors = "cpu"', "disabled_collectors"),
        ('disabled_collectors = ["gpu"]', "disabled_collectors"),
        ("disabled_collectors = [1]", "disabled_collectors"),
        ('docker = "yes"', "docker"),
        ("interval = 2", "interval"),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_key(line: str, key: str) -> None:
    with pytest.raises(ConfigError, match=f"{SOURCE}: {key} ") as caught:
        parse(line.encode(), SOURCE)

    assert caught.value.key == key


@pytest.mark.parametrize("content", [b"report_interval", b"\xff\xfe"])
def test_a_file_that_is_not_toml_is_refused(content: bytes) -> None:
    with pytest.raises(ConfigError, match="not valid TOML"):
        parse(content, SOURCE)


def test_the_default_file_may_be_missing(tmp_path: Path) -> None:
    assert load(tmp_path / "config.toml", required=False) == Config()


def test_a_file_that_was_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load(tmp_path / "config.toml", required=True)


def test_pushed_settings_replace_those_of_the_file() -> None:
    local = Config(report_interval=5, disabled_collectors=frozenset({"cpu"}), docker=True)
    pushed = AgentConfig(
        revision=1,
        log_level=LOG_LEVEL_DEBUG,
        disabled_collectors=CollectorList(collectors=[COLLECTOR_DISK, COLLECTOR_TEMPERATURE]),
    )

    assert merge(local, pushed) == Config(
        report_interval=5,
        log_level="debug",
        disabled_collectors=frozenset({"disk", "temperature"}),
        docker=True,
    )


def test_a_pushed_empty_list_switches_everything_on() -> None:
    local = Config(disabled_collectors=frozenset({"cpu"}))

    merged = merge(local, AgentConfig(disabled_collectors=CollectorList()))

    assert merged.disabled_collectors == frozenset()


@pytest.mark.parametrize(("pushed", "kept"), [(0, 0.5), (100, 0.5), (2**31, 3600.0)])
def test_a_pushed_interval_is_kept_within_bounds(pushed: int, kept: float) -> None:
    assert merge(Config(), AgentConfig(report_interval_ms=pushed)).report_interval == kept


def test_unknown_levels_and_collectors_of_a_newer_server_are_ignored() -> None:
    raw = AgentConfig.FromString(AgentConfig(log_level=99).SerializeToString())  # type: ignore[arg-type]
    raw.disabled_collectors.collectors.extend([COLLECTOR_DISK, 99])  # type: ignore[list-item]

    assert merge(Config(), raw) == Config(disabled_collectors=frozenset({"disk"}))


def test_only_a_newer_revision_is_applied() -> None:
    live = LiveConfig(Config(), AgentConfig())
    heard: list[float] = []
    live.subscribe(lambda: heard.append(live.current.report_interval))

    assert live.apply(AgentConfig(revision=2, report_interval_ms=5_000))
    assert not live.apply(AgentConfig(revision=2, report_interval_ms=9_000))
    assert not live.apply(AgentConfig(revision=1, report_interval_ms=9_000))
    assert heard == [5.0]


def test_a_later_revision_takes_back_what_an_earlier_one_set() -> None:
    live = LiveConfig(Config(report_interval=7), AgentConfig(revision=1, report_interval_ms=5_000))

    live.apply(AgentConfig(revision=2))

    assert live.current.report_interval == 7


def test_custom_collectors_are_read_with_their_defaults() -> None:
    text = b"""
        [[collector]]
        command = ["/usr/local/bin/queue", "--mail"]
        [[collector]]
        command = ["/bin/true"]
        interval = 5
        timeout = 0.5
    """

    assert parse(text, "file").collectors == (
        CustomCollector(("/usr/local/bin/queue", "--mail"), 60.0, 10.0, "queue"),
        CustomCollector(("/bin/true",), 5.0, 0.5, "true"),
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("collector = 1", "must be written as"),
        ("[[collector]]\ninterval = 5", "a command, which must be a list"),
        ('[[collector]]\ncommand = ["true"]', "absolute path"),
        ('[[collector]]\ncommand = ["/bin/true"]\ninterval = 0', "interval to be from 1"),
        ('[[collector]]\ncommand = ["/bin/true"]\ntimeout = 100', "timeout to be from 0.1"),
        ('[[collector]]\ncommand = ["/bin/true"]\nuser = "root"', "unknown keys user"),
        ('[[collector]]\ncommand = ["/bin/true"]\n' * 33, "at most 32 times"),
        ("spool_max_mb = 0", "from 1 to"),
        ("spool_max_days = true", "a number above 0"),
        ("spool_max_days = 31.5", "up to 31, which is what the server accepts"),
        ('docker_socket = "docker.sock"', "absolute path"),
    ],
)
def test_a_wrong_setting_of_a_collector_or_the_spool_is_explained(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        parse(text.encode(), "file")


def test_the_server_accepts_the_oldest_measurements_that_are_kept() -> None:
    assert (
        parse(b"spool_max_days = 31", "file").spool_max_days * 86_400_000
        == clock_correction.MAX_AGE_MS
    )


def test_a_collectors_arguments_stay_out_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    collectors = (CustomCollector(("/bin/true", "--password=canary")),)
    live = LiveConfig(Config(collectors=collectors), AgentConfig())

    live.apply(AgentConfig(revision=1))

    assert "revision 1 applied" in caplog.text
    assert "canary" not in caplog.text
