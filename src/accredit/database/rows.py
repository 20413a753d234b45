"""Writing many rows at once: a statement takes them as one parameter, and several statements travel as one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

import msgspec

from accredit.database.pool import Connection


@dataclass(frozen=True, slots=True)
class Write:
    """A data-modifying statement and its rows, for its one ``json_to_recordset(%s::json)``."""

    sql: LiteralString
    rows: Sequence[Any]


def as_json(rows: Sequence[Any]) -> str:
    """Encode ``rows`` (mappings of column to value) for a ``json_to_recordset(%s::json)``."""
    return msgspec.json.encode(rows).decode()


async def write_together(connection: Connection, writes: Sequence[Write]) -> None:
    """Make ``writes`` one statement, ``WITH write_0 AS (…), … SELECT``; those without rows are left out.

    Each statement costs the same to send and await as a row costs to insert, so a small batch is mostly that. They all
    see the database as it was before any of them: no two may touch the same row.
    """
    due = [write for write in writes if write.rows]
    if due:
        parts = ", ".join(f"write_{number} AS ({write.sql})" for number, write in enumerate(due))
        await connection.execute(f"WITH {parts} SELECT", [as_json(write.rows) for write in due])
