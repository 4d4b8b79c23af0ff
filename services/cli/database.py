"""The database for the commands."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg

from services.kit.errors import UnreachableError

DEFAULT_PORT = 5432


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Explain the failures of the database in the block.

    Raises:
        UnreachableError: the database does not answer, refuses the connection or is not migrated.
    """
    try:
        yield
    except psycopg.errors.UndefinedTable:
        raise UnreachableError(
            f"The database at {_address(url)} has no tables yet. Run `flotilla migrate`."
        ) from None
    except psycopg.OperationalError as error:
        _, is_refused, reason = str(error).partition("FATAL:")
        if is_refused:
            raise UnreachableError(
                f"The database at {_address(url)} refuses the connection:"
                f" {reason.strip().splitlines()[0]}. DATABASE_URL sets user, password and database."
            ) from None
        raise UnreachableError(
            f"The database does not answer at {_address(url)}. Is it running?"
            " DATABASE_URL sets the address."
        ) from None


def _address(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname or 'localhost'}:{parts.port or DEFAULT_PORT}"
