from pathlib import Path

import pytest
from pydantic import SecretStr

from services.ingest.settings import WriterSettings
from services.kit import settings as kit_settings
from services.kit.errors import SettingsError
from services.kit.settings import DatabaseSettings, Settings, StrongSecret, load

GOOD = "kJ8s0vT2qLx9ZbWm4RcYd1Gh7NfPe3Ua"


class Example(Settings):
    token_secret: StrongSecret


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FLOTILLA_STATE", str(tmp_path))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("FLOTILLA_WRITER_DATABASE_URL", raising=False)
    monkeypatch.delenv("FLOTILLA_TOKEN_SECRET", raising=False)


@pytest.mark.parametrize(
    "weak",
    [
        "short-Xk9",
        "a" * 40,
        "changeme-changeme-0123456789",
        "Flotilla-0123456789-abcdefg",
        "abcdefgh" * 4,
        "0123456789" * 3,
    ],
)
def test_a_weak_secret_is_refused_and_not_repeated(
    weak: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOTILLA_TOKEN_SECRET", weak)
    with pytest.raises(SettingsError, match=r"^FLOTILLA_TOKEN_SECRET is ") as raised:
        load(Example)
    assert weak not in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_missing_or_empty_secret_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (None, ""):
        if value is not None:
            monkeypatch.setenv("FLOTILLA_TOKEN_SECRET", value)
        with pytest.raises(SettingsError, match="FLOTILLA_TOKEN_SECRET is not set"):
            load(Example)


def test_a_good_secret_is_taken_and_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOTILLA_TOKEN_SECRET", GOOD)
    loaded = load(Example)
    assert loaded.token_secret.get_secret_value() == GOOD
    assert GOOD not in repr(loaded)


def test_the_state_folders_file_is_read_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kit_settings.state_file().write_text(
        f"FLOTILLA_TOKEN_SECRET={GOOD}\nFLOTILLA_LOG_LEVEL=debug\nOTHER=1\n"
    )
    monkeypatch.setenv("FLOTILLA_LOG_LEVEL", "error")
    loaded = load(Example)
    assert loaded.token_secret == SecretStr(GOOD)
    assert loaded.log_level == "error"


@pytest.mark.parametrize(
    ("variable", "value"),
    [("DATABASE_URL", "mysql://u:hunter2@h/d"), ("FLOTILLA_HEALTH_PORT", "99999")],
)
def test_a_malformed_setting_is_named_without_its_value(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://h/d")
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=variable) as raised:
        load(DatabaseSettings)
    assert value not in str(raised.value)


@pytest.mark.parametrize(
    ("environment", "used"),
    [
        (
            {
                "FLOTILLA_WRITER_DATABASE_URL": "postgresql://own/",
                "DATABASE_URL": "postgresql://o/",
            },
            "own",
        ),
        ({"FLOTILLA_WRITER_DATABASE_URL": "postgresql://own/"}, "own"),
        ({"DATABASE_URL": "postgresql://given/"}, "given"),
    ],
)
def test_a_service_prefers_its_own_database_address(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], used: str
) -> None:
    monkeypatch.setenv("FLOTILLA_NATS_WRITER_PASSWORD", GOOD)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert load(WriterSettings).database_url.get_secret_value() == f"postgresql://{used}/"
