"""The columns that hold encrypted values. Rotation finds the values by this list.

In a migration, such a column has the type `encrypted`. A test compares this list with the schema.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EncryptedColumn:
    table: str
    column: str
    key: str
    """The column that is the primary key of the table. Its value never changes."""

    def row(self, key: object) -> "Place":
        """Return the place of the value in the row with this primary key."""
        return Place(self, str(key))


@dataclass(frozen=True, slots=True)
class Place:
    """The place of one encrypted value."""

    column: EncryptedColumn
    row: str
    """The primary key of the row, as text."""

    def __str__(self) -> str:
        return f"{self.column.table}.{self.column.column} of row {self.row}"


TOTP_SEED = EncryptedColumn("totp_factors", "seed", key="user_id")

CHANNEL_CONFIG = EncryptedColumn("alert_channels", "config", key="id")

ENCRYPTED_COLUMNS = (TOTP_SEED, CHANNEL_CONFIG)
