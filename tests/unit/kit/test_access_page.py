"""The page that says who can do what agrees with the rules."""

from pathlib import Path

from services.kit import access
from services.kit.access import PLATFORM, Action, OrganisationRole, Scope, only_object, roles_for

PAGE = Path(__file__).parents[3] / "docs/access.md"
COLUMNS = (
    OrganisationRole.VIEWER,
    OrganisationRole.OPERATOR,
    OrganisationRole.ADMIN,
    OrganisationRole.OWNER,
)


def row(action: Action) -> str:
    only = only_object(action)
    if only is PLATFORM:
        may = [False, False, False, False, True]
    elif only is not None:
        may = [True] * 5
    else:
        may = [*(role in roles_for(action) for role in COLUMNS), False]
    cells = " | ".join("yes" if one else "" for one in may)
    scopes = ", ".join(f"`{scope}`" for scope in Scope if action in access._SCOPES[scope])
    return f"| `{action}` | {cells} | {scopes} |"


def test_the_table_has_every_action() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert rows == [row(action) for action in Action]
