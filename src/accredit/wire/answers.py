"""A success, as a value: made by the features, stored for idempotency, sent by the wire."""

from dataclasses import dataclass
from datetime import datetime
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


def timestamp(moment: datetime) -> str:
    """A moment in UTC as the contract writes it: ISO 8601 to the microsecond, with a trailing ``Z``."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Header(msgspec.Struct, frozen=True):
    """A header that goes with a link."""

    key: str
    value: str


class Link(msgspec.Struct, frozen=True):
    """Where a resource is, contract section 7. ``uri`` is relative to the service."""

    uri: str
    method: str = "GET"
    headers: list[Header] = msgspec.field(default_factory=list)


class Links(msgspec.Struct, omit_defaults=True, frozen=True, kw_only=True):
    """The links of a resource; ``next`` is a collection's next page."""

    self_: Link = msgspec.field(name="self")
    next: Link | None = None


class Attributes(Resource, frozen=True, kw_only=True):
    """What kind of resource it is, and its ETag where it has one."""

    etag: str | None = None
    object_type: str
