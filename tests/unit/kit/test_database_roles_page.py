"""The page that says what each service may do in the database agrees with the grants."""

from pathlib import Path

from services.kit.database.grants import FUNCTIONS, TABLES
from services.kit.services import DATABASE_SERVICES

PAGE = Path(__file__).parents[3] / "docs/database-roles.md"


def rows() -> list[str]:
    cells = {
        name: [held.get(one, "") for one in DATABASE_SERVICES] for name, held in TABLES.items()
    }
    cells |= {
        f"{name}()": ["EXECUTE" if one in callers else "" for one in DATABASE_SERVICES]
        for name, callers in FUNCTIONS.items()
    }
    return [f"| `{name}` | {' | '.join(cell)} |" for name, cell in cells.items()]


def test_the_table_has_every_table_and_function_with_its_privileges() -> None:
    found = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert found == rows()
