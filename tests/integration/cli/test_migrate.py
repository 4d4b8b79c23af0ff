"""`flotilla migrate`, as an operator runs it."""

from services.kit.services import DATABASE_SERVICES
from tests.fixtures.stack import role_url
from tests.integration.cli.test_command import run


async def test_it_creates_the_tables_and_the_privileges_of_every_service(
    empty_database_url: str,
) -> None:
    environment = {"DATABASE_URL": empty_database_url} | {
        f"FLOTILLA_{name.upper()}_DATABASE_URL": role_url(empty_database_url, name)
        for name in DATABASE_SERVICES
    }
    status, out, err = await run(environment, "migrate")
    assert (status, err) == (0, "")
    assert out.startswith("applied 0001_create_accounts\n")
    assert "role flotilla_gateway updated: " in out

    status, out, err = await run(environment, "migrate")
    roles = [f"role flotilla_{name} up to date" for name in DATABASE_SERVICES]
    assert (status, err) == (0, "")
    assert out.splitlines() == ["the schema is up to date", *roles]


async def test_it_names_the_services_without_a_role(empty_database_url: str) -> None:
    status, out, _ = await run({"DATABASE_URL": empty_database_url}, "migrate")
    assert status == 0
    assert (
        "the writer has no role of its own: FLOTILLA_WRITER_DATABASE_URL is not set"
        in out.splitlines()
    )


async def test_it_refuses_a_service_that_connects_as_the_owner(empty_database_url: str) -> None:
    environment = {
        "DATABASE_URL": empty_database_url,
        "FLOTILLA_WRITER_DATABASE_URL": empty_database_url,
    }
    status, _, err = await run(environment, "migrate")
    assert status == 2
    assert "The writer uses the database role flotilla, which is also that of the owner" in err
