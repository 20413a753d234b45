"""Pages of collections, contract section 7: size and filter, continuation tokens, and the collection's own form.

A token says where the next page begins, and what was asked for. It is opaque to clients, signed, and bound to the
partner and the collection: another partner's, or one that was changed, is refused.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote, unquote_plus
from uuid import UUID

import msgspec

from accredit.wire.answers import Attributes, Header, Link, Links, Resource
from accredit.wire.body import fold
from accredit.wire.errors import BAD_REQUEST, ApiError
from accredit.wire.operations import Call, Parameter

T = TypeVar("T")

DEFAULT_SIZE: Final = 100
LARGEST_SIZE: Final = 500
CONTINUATION: Final = "MS-ContinuationToken"

SIZE_PARAMETER = Parameter(
    "size",
    f"Items a page, at most {LARGEST_SIZE}; 0 or absent means {DEFAULT_SIZE}.",
    {"type": "integer", "minimum": 0, "maximum": LARGEST_SIZE},
)
SEEK_PARAMETER = Parameter(
    "seekOperation",
    f"`Next`, together with the header {CONTINUATION}, asks for the page that a token stands for.",
    {"type": "string", "enum": ["Next"]},
)
CONTINUATION_PARAMETER = Parameter(CONTINUATION, "The token that came with the link to the next page.")

_SIGNATURE_BYTES = 16
_LONGEST_FILTER = 4096
_SIZE = re.compile(r"[0-9]{1,4}", re.ASCII)


class Filter(msgspec.Struct, frozen=True, array_like=True):
    """A filter, as it is applied: names as the contract spells them."""

    field: str
    operator: str
    value: str


class Query(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What is asked of a collection. ``given``: the query parameters that a link repeats, by name.

    ``after`` is where the page before this one ended, and ``total`` how many items there were when the first page was
    made, where that is not counted anew; both come from a token.
    """

    size: int
    filter: Filter | None = None
    given: dict[str, str] = msgspec.field(default_factory=dict)
    after: list[str] | None = None
    total: int | None = None


class _Token(msgspec.Struct, frozen=True, array_like=True):
    collection: str
    partner_id: bytes
    query: Query


class Collection(Resource, Generic[T], frozen=True, kw_only=True):
    """A page of a collection as a client sees it. ``totalCount`` counts all pages' items."""

    total_count: int
    items: list[T]
    links: Links
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """What a store found: the items, how many there are in all, and where this page ends if another follows."""

    items: list[T]
    total: int
    end: list[str] | None


def parse_query(call: Call, key: bytes, fields: dict[str, str], others: Sequence[str] = ()) -> Query:
    """Read the query of a collection. ``fields``: what may be filtered by, each with its operator.

    ``others`` are query parameters of the collection's own, to be found in ``Query.given``. Raises ``ApiError`` (400 /
    3000), also for a token that is not this partner's, of another collection, or was tampered with.
    """
    given = {name: text for name in ("size", "filter", *others) if (text := _one(call, name)) is not None}
    token = call.exchange.headers.get(CONTINUATION.lower())
    seek = _one(call, "seekOperation")
    if seek is not None and seek.lower() != "next":
        raise ApiError(BAD_REQUEST, "The query parameter seekOperation is not Next.")
    if token is None:
        if seek is not None:
            raise ApiError(BAD_REQUEST, f"seekOperation needs the header {CONTINUATION}.")
        found = parse_filter(given["filter"], fields) if "filter" in given else None
        return Query(size=_size(given.get("size")), filter=found, given=given)
    query = _open(call, token, key)
    # The official clients send the token alone; who follows the link sends its parameters along.
    if any(query.given.get(name) != text for name, text in given.items() if name != "size"):
        raise ApiError(BAD_REQUEST, f"The header {CONTINUATION} is of another query.")
    if "size" not in given:
        return query
    return msgspec.structs.replace(query, size=_size(given["size"]), given=query.given | given)


def collection(call: Call, key: bytes, query: Query, page: Page[T], *, carry_total: bool) -> Collection[T]:
    """The body of a page. ``carry_total``: later pages repeat this total instead of counting anew."""
    parameters = "&".join(f"{name}={quote(text, safe='')}" for name, text in query.given.items())
    path = call.request.scope["path"]
    follow = None
    if page.end is not None:
        token = _seal(
            call,
            msgspec.structs.replace(query, after=page.end, total=page.total if carry_total else None),
            key,
        )
        uri = f"{path}?{parameters}&seekOperation=Next" if parameters else f"{path}?seekOperation=Next"
        follow = Link(uri, headers=[Header(CONTINUATION, token)])
    return Collection(
        total_count=page.total,
        items=page.items,
        links=Links(self_=Link(f"{path}?{parameters}" if parameters else path), next=follow),
        attributes=Attributes(object_type="Collection"),
    )


def parse_filter(text: str, fields: dict[str, str]) -> Filter:
    """Read a filter: ``{"Field": "…", "Value": "…", "Operator": "…"}``, names and values without regard to case.

    Raises ``ApiError`` (400 / 3000), which names what is wrong.
    """
    # The official .NET client encodes it once more than the query needs.
    for attempt in dict.fromkeys((text, unquote_plus(text))):
        try:
            value = msgspec.json.decode(attempt)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        if isinstance(value, dict):
            return _filter(fold(value), fields)
    raise ApiError(BAD_REQUEST, "The query parameter filter is not a JSON object.")


def _filter(value: dict[str, Any], fields: dict[str, str]) -> Filter:
    parts: dict[str, str] = {}
    for name in ("Field", "Value", "Operator"):
        part = value.get(name.lower())
        if not isinstance(part, str):
            raise ApiError(BAD_REQUEST, f"The filter's {name} is missing, or not a string.")
        parts[name] = part
    field = next((one for one in fields if _plain(one) == _plain(parts["Field"])), None)
    if field is None:
        raise ApiError(BAD_REQUEST, f"The filter's Field is none of {', '.join(fields)}.")
    if _plain(parts["Operator"]) != _plain(fields[field]):
        raise ApiError(BAD_REQUEST, f"The filter's Operator for {field} is not {fields[field]}.")
    if len(parts["Value"]) > _LONGEST_FILTER or "\0" in parts["Value"]:
        raise ApiError(BAD_REQUEST, "The filter's Value is too long, or has a NUL character.")
    return Filter(field, fields[field], parts["Value"])


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _one(call: Call, name: str) -> str | None:
    values = call.query(name)
    if len(values) > 1:
        raise ApiError(BAD_REQUEST, f"The query parameter {name} comes more than once.")
    return values[0] if values else None


def _size(text: str | None) -> int:
    if text is None:
        return DEFAULT_SIZE
    if not _SIZE.fullmatch(text) or int(text) > LARGEST_SIZE:
        raise ApiError(BAD_REQUEST, f"The query parameter size is not a number from 0 to {LARGEST_SIZE}.")
    return int(text) or DEFAULT_SIZE


def _seal(call: Call, query: Query, key: bytes) -> str:
    payload = msgspec.msgpack.encode(_Token(call.operation.id, call.caller.partner_id.bytes, query))
    return base64.urlsafe_b64encode(_signature(payload, key) + payload).decode().rstrip("=")


def _open(call: Call, token: str, key: bytes) -> Query:
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        payload = raw[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(raw[:_SIGNATURE_BYTES], _signature(payload, key)):
            raise ValueError("signature")
        opened = msgspec.msgpack.decode(payload, type=_Token)
        if (opened.collection, UUID(bytes=opened.partner_id)) != (call.operation.id, call.caller.partner_id):
            raise ValueError("another's")
    except ValueError:  # msgspec's and base64's errors are such, too
        raise ApiError(BAD_REQUEST, f"The header {CONTINUATION} is not a token for this.") from None
    return opened.query


def _signature(payload: bytes, key: bytes) -> bytes:
    return hmac.digest(key, payload, hashlib.sha256)[:_SIGNATURE_BYTES]
