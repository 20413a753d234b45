"""A success, as a value: made by the features, stored for idempotency, sent by the wire."""

from dataclasses import dataclass
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class Answer:
    """The status and body (JSON, or nothing) of an answer."""

    status: int
    body: bytes = b""

    @classmethod
    def json(cls, value: Any, status: int = 200) -> "Answer":
        """Encode ``value``: msgspec structs give camelCase names and leave nulls out."""
        return cls(status, msgspec.json.encode(value))


class Resource(msgspec.Struct, rename="camel", omit_defaults=True, frozen=True, kw_only=True):
    """Base of the bodies we answer with: camelCase, null properties left out (contract section 1)."""
