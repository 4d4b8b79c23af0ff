"""Pages of a list: query parameters that select a page, and the query that reads it."""

from collections.abc import Mapping
from typing import Annotated, Any, LiteralString, TypeVar

from litestar.params import Parameter
from psycopg import AsyncConnection
from psycopg.rows import class_row, scalar_row

MAX_PAGE = 1_000  # items
MAX_SHORT_PAGE = 200  # items; the limit for large items, such as scripts
MAX_OFFSET = 1_000_000  # items

Limit = Annotated[int, Parameter(ge=1, le=MAX_PAGE)]
ShortLimit = Annotated[int, Parameter(ge=1, le=MAX_SHORT_PAGE)]
Offset = Annotated[int, Parameter(ge=0, le=MAX_OFFSET)]

T = TypeVar("T")


async def page(
    connection: AsyncConnection,
    row: type[T],
    *,
    columns: LiteralString,
    source: LiteralString,
    order: LiteralString,
    parameters: Mapping[str, Any],
    limit: int,
    offset: int,
    max_total: int | None = None,
) -> tuple[list[T], int]:
    """Return one page of rows and the total number of rows.

    `source` is the query from FROM on, and `order` is the text after ORDER BY. The count stops at
    `max_total`, because counting millions of rows would take too long.
    """
    async with connection.cursor(row_factory=scalar_row) as counter:
        await counter.execute(
            f"SELECT count(*) FROM (SELECT 1 {source} LIMIT %(max_total)s) AS counted",
            {**parameters, "max_total": max_total},
        )
        total: int = await counter.fetchone() or 0
    async with connection.cursor(row_factory=class_row(row)) as cursor:
        await cursor.execute(
            f"SELECT {columns} {source} ORDER BY {order} LIMIT %(limit)s OFFSET %(offset)s",
            {**parameters, "limit": limit, "offset": offset},
        )
        return await cursor.fetchall(), total
