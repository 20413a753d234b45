"""Many rows as one parameter: a JSON array that PostgreSQL's ``json_to_recordset`` unfolds."""

from collections.abc import Sequence
from typing import Any

import msgspec


def as_json(rows: Sequence[Any]) -> str:
    """Encode ``rows`` (mappings of column to value) for a ``json_to_recordset(%s::json)``."""
    return msgspec.json.encode(rows).decode()
