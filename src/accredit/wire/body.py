"""Reading request bodies: size, media type, JSON, and property names without regard to case."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from litestar import Request
from litestar.exceptions import InternalServerException

from accredit.wire.errors import BODY_TOO_LARGE, MALFORMED_BODY, UNSUPPORTED_MEDIA_TYPE, ApiError

LARGEST_BODY: Final = 1 << 20
_MEDIA_TYPES = frozenset({"application/json", "text/json"})


async def read_body(request: Request[Any, Any, Any], declared_length: str | None) -> bytes:
    """The whole body. Raises ``ApiError`` (413) as soon as more than 1 MiB is declared or has come in."""
    if declared_length is not None and declared_length.isdecimal() and int(declared_length) > LARGEST_BODY:
        raise _too_large()
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > LARGEST_BODY:
                raise _too_large()
            chunks.append(chunk)
    except InternalServerException:  # Litestar's word for a caller that went away; no fault of ours
        raise ApiError(MALFORMED_BODY, "The request ended within its body.") from None
    return b"".join(chunks)


def _too_large() -> ApiError:
    # The rest of the body is not read, so the connection cannot serve another request.
    return ApiError(BODY_TOO_LARGE, "The body is over 1 MiB.", {"Connection": "close"})


def parse_json(body: bytes, content_type: str | None) -> Any:
    """The body's JSON value. Raises ``ApiError``: 415 for another media type, 400 / 800002 if it is not JSON."""
    if not body.strip():
        raise ApiError(MALFORMED_BODY, "The request has no body.")
    if (content_type or "").split(";")[0].strip().lower() not in _MEDIA_TYPES:
        raise ApiError(UNSUPPORTED_MEDIA_TYPE, "The header Content-Type is not application/json.")
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ApiError(MALFORMED_BODY, f"The body is not JSON: {error}.") from None
    except RecursionError:
        raise ApiError(MALFORMED_BODY, "The body is nested too deeply.") from None


def parse_object(body: bytes, content_type: str | None) -> dict[str, Any]:
    """The body's JSON object: property names in lower case, properties that are null left out.

    Raises ``ApiError`` as :func:`parse_json` does, and 400 / 800002 for a value that is no object.
    """
    value = parse_json(body, content_type)
    if not isinstance(value, dict):
        raise ApiError(MALFORMED_BODY, "The body is not a JSON object.")
    return fold(value)


def fold(value: Mapping[str, Any]) -> dict[str, Any]:
    """An object as it is read: property names in lower case, properties that are null left out (contract section 1)."""
    return {name.lower(): content for name, content in value.items() if content is not None}
