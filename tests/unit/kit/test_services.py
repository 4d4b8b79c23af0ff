"""The table of services agrees with the packages, and each service loads only its own code."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import tomllib

from services.cli.settings import OwnerSettings
from services.kit.bus.subjects import Durable
from services.kit.extras import MissingExtraError, needs_extra, resolve
from services.kit.services import DATABASE_SERVICES, DURABLES, SERVICES
from services.kit.settings import DatabaseSettings

REPOSITORY = Path(__file__).parents[3]
CODE = """
import json, sys
import services.cli.run
from services.kit.services import SERVICES
service = SERVICES[sys.argv[1]]
service.settings_class()
service.run()
print(json.dumps(sorted(sys.modules)))
"""
DATABASE = {"psycopg", "psycopg_pool"}
HTTP = {"argon2", "jwt", "litestar", "msgspec", "multipart", "uvicorn"}
ONLY_WHERE_NEEDED = {*DATABASE, *HTTP, "cryptography", "grpc", "opentelemetry.exporter", "requests"}
# The packages from the list above that each service loads.
LOADS = {
    "edge": {"cryptography", "grpc"},
    "writer": DATABASE,
    "rollup": DATABASE,
    "gateway": {*DATABASE, *HTTP, "cryptography"},
    "shellproxy": {*DATABASE, "cryptography"},
    "alerting": {*DATABASE, "cryptography"},
}
FOLDERS = {
    "edge": "services.ingest",
    "writer": "services.ingest",
    "rollup": "services.ingest",
    "gateway": "services.gateway",
    "shellproxy": "services.shellproxy",
    "alerting": "services.alerting",
}


@cache
def loaded(service: str) -> set[str]:
    """Return the modules of a process that is about to run a service."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, service],
        env={"PYTHONPATH": ":".join(sys.path)},
        stdout=subprocess.PIPE,
        check=True,
    )
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_loads_the_packages_it_needs_and_no_others(service: str) -> None:
    assert loaded(service) & ONLY_WHERE_NEEDED == LOADS[service]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_loads_no_other_services_code(service: str) -> None:
    modules = loaded(service)
    folders = {".".join(name.split(".")[:2]) for name in modules if name.startswith("services.")}
    assert folders == {"services.cli", "services.kit", FOLDERS[service]}
    others = {other.run_path.partition(":")[0] for other in SERVICES.values()}
    own = SERVICES[service].run_path.partition(":")[0]
    assert modules & others == {own}


def test_every_service_has_an_extra_of_its_name() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert set(SERVICES) <= set(project["optional-dependencies"])


def test_services_with_a_database_role_are_those_that_have_a_database() -> None:
    with_database = {
        name
        for name, service in SERVICES.items()
        if issubclass(service.settings_class(), DatabaseSettings)
    }
    assert set(DATABASE_SERVICES) == with_database
    addresses = {name for name in OwnerSettings.model_fields if name.endswith("_database_url")}
    assert addresses == {f"{name}_database_url" for name in DATABASE_SERVICES}


def test_every_durable_belongs_to_one_service() -> None:
    assert sorted(durable.name for durable in DURABLES) == sorted(Durable)


def test_a_missing_package_names_its_extra() -> None:
    with (
        pytest.raises(MissingExtraError) as raised,
        needs_extra('Service "gateway"', "gateway"),
    ):
        resolve("no_such_package:run")
    assert str(raised.value) == (
        'Service "gateway" needs the packages of the extra "gateway":'
        ' pip install "flotilla[gateway]".'
    )


def test_a_missing_module_of_our_own_is_no_missing_extra() -> None:
    with pytest.raises(ModuleNotFoundError), needs_extra('Service "gateway"', "gateway"):
        resolve("services.no_such_module:run")
