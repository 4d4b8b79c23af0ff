"""Each service of the local stack gets the settings that it reads, and no others."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from deploy.local import settings as local_settings
from deploy.local.settings import Settings, load, read, save, save_for
from services.kit.services import DATABASE_SERVICES, SERVICES
from services.kit.settings import load as load_for_service


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(local_settings, "STATE_PATH_BYTES", 1_000)
    monkeypatch.setenv("FLOTILLA_STATE", str(tmp_path))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    return load({})


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_starts_with_its_own_file(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = save_for(settings, SERVICES[name])
    monkeypatch.setenv("FLOTILLA_STATE", str(folder))
    found = load_for_service(SERVICES[name].settings_class())
    assert found.nats_url == settings.values["FLOTILLA_NATS_URL"]


@pytest.mark.parametrize("name", SERVICES)
def test_the_file_of_a_service_is_private_and_holds_no_password_of_another(
    settings: Settings, name: str
) -> None:
    folder = save_for(settings, SERVICES[name])
    file = folder / "flotilla.env"
    assert (folder.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)
    text = file.read_text()
    passwords = {
        variable: word
        for variable, word in settings.values.items()
        if variable.endswith("_PASSWORD")
    }
    own = {f"FLOTILLA_NATS_{name.upper()}_PASSWORD", f"FLOTILLA_PG_{name.upper()}_PASSWORD"}
    found = {variable for variable, word in passwords.items() if word in text}
    assert found == own & set(passwords)
    assert "DATABASE_URL" not in read(file)


def test_every_service_has_a_database_role_and_a_password_of_its_own(settings: Settings) -> None:
    urls = [
        urlsplit(settings.values[f"FLOTILLA_{name.upper()}_DATABASE_URL"])
        for name in DATABASE_SERVICES
    ]
    owner = urlsplit(settings.values["DATABASE_URL"])
    assert [url.username for url in urls] == [f"flotilla_{name}" for name in DATABASE_SERVICES]
    assert len({url.password for url in [*urls, owner]}) == len(urls) + 1
    assert {(url.hostname, url.port, url.path) for url in [*urls, owner]} == {
        (owner.hostname, owner.port, owner.path)
    }


def test_roles_on_a_shared_server_are_named_after_the_database(settings: Settings) -> None:
    chosen = load({"DATABASE_URL": "postgresql://me:secret@db.example:5433/fleet?sslmode=require"})
    url = urlsplit(chosen.values["FLOTILLA_WRITER_DATABASE_URL"])
    assert (url.username, url.hostname, url.port) == ("fleet_writer", "db.example", 5433)
    assert (url.path, url.query) == ("/fleet", "sslmode=require")
    assert "secret" not in url.geturl()


def test_the_settings_of_an_earlier_version_gain_roles_and_keep_their_passwords(
    settings: Settings,
) -> None:
    save(settings)
    file = settings.state / "flotilla.env"
    old = [line for line in file.read_text().splitlines() if "_PG_" not in line.partition("=")[0]]
    password = settings.values["FLOTILLA_PG_PASSWORD"]
    file.write_text("\n".join([*old, f"FLOTILLA_PG_PASSWORD={password}"]))
    upgraded = load({})
    assert upgraded.values["DATABASE_URL"] == settings.values["DATABASE_URL"]
    assert upgraded.values["FLOTILLA_WRITER_DATABASE_URL"].startswith("postgresql://flotilla_wri")
