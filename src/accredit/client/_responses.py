"""From answers to values and errors, for both clients."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

from accredit.client.errors import (
    AuthenticationError,
    ConflictError,
    ForbiddenError,
    InvalidRequestError,
    MalformedResponseError,
    NoRelationshipError,
    NotFoundError,
    PartnerCenterError,
    PreconditionFailedError,
    RateLimitedError,
    ServerError,
    ServiceUnavailableError,
)

T = TypeVar("T")

NO_RELATIONSHIP: Final = "20002"
_LONGEST_QUOTE = 200
_BY_STATUS: Mapping[int, type[PartnerCenterError]] = {
    401: AuthenticationError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    412: PreconditionFailedError,
    429: RateLimitedError,
    503: ServiceUnavailableError,
}


def check_whole(response: Any) -> None:
    """Raises :class:`MalformedResponseError` for an answer that was cut short in its headers.

    http.client takes that for an answer without a body; but one that really has none says so.
    """
    if not response.content and not any(name in response.headers for name in ("Content-Length", "Transfer-Encoding")):
        raise MalformedResponseError(f"HTTP {response.status_code}, cut short in its headers", response=response)


def read_json(response: Any) -> Any:
    """The answer's JSON; ``None`` where it has no body. Raises :class:`MalformedResponseError`."""
    body: bytes = response.content
    if not body.strip():
        return None
    try:
        return json.loads(body.decode("utf-8-sig"))  # Partner Center is known to begin bodies with a BOM
    except ValueError:
        raise MalformedResponseError(
            f"HTTP {response.status_code} with a body that is not JSON ({_content_type(response)}): {_quote(body)}",
            response=response,
        ) from None


def read_model(response: Any, value: Any, parse: Callable[[Any], T]) -> T:
    """What ``parse`` makes of the answer's JSON, ``value``. Raises :class:`MalformedResponseError`."""
    try:
        return parse(value)
    except ValueError as error:
        raise MalformedResponseError(
            f"HTTP {response.status_code} with a body that does not fit: {error}", response=response
        ) from error


def error_of(response: Any, *, unanswered_since: datetime | None = None) -> PartnerCenterError:
    """The error that an answer of failure stands for, whatever its body is."""
    status: int = response.status_code
    code, description = _code_and_description(response)
    kind = _BY_STATUS.get(status) or _by_class(status)
    if kind is ForbiddenError and code == NO_RELATIONSHIP:
        kind = NoRelationshipError
    return kind(
        f"{status}/{code}: {description}" if code else f"{status}: {description}",
        response=response,
        code=code,
        description=description,
        request_id=response.headers.get("MS-RequestId"),
        correlation_id=response.headers.get("MS-CorrelationId"),
        retry_after=retry_after(response.headers),
        unanswered_since=unanswered_since,
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that ``Retry-After`` asks to wait; ``None`` where it is absent or malformed.

    A date counts from the answer's own ``Date``, so it does not matter how wrong this machine's clock is.
    """
    text = (headers.get("Retry-After") or "").strip()
    if not text:
        return None
    if text.isdecimal():
        return float(text)
    until, now = _http_date(text), _http_date(headers.get("Date") or "")
    if until is None:
        return None
    return max(0.0, (until - (now or datetime.now(UTC))).total_seconds())


def date_of(headers: Mapping[str, str]) -> datetime | None:
    """When the service answered, by its own clock; to the second."""
    return _http_date(headers.get("Date") or "")


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _code_and_description(response: Any) -> tuple[str, str]:
    """Partner Center's code and description, in any of the shapes that its gateways give; else what there is."""
    try:
        body = read_json(response)
    except MalformedResponseError:
        return "", f"{response.reason or 'error'}, with a body that is not JSON ({_content_type(response)})"
    if not isinstance(body, dict):
        return "", response.reason or "error"
    properties = {name.lower(): value for name, value in body.items()}
    code, description = properties.get("code"), properties.get("description") or properties.get("message")
    return "" if code is None else str(code), str(description or response.reason or "error")


def _by_class(status: int) -> type[PartnerCenterError]:
    if status >= 500:
        return ServerError
    return InvalidRequestError if status >= 400 else PartnerCenterError  # a redirect, which is not followed


def _content_type(response: Any) -> str:
    return response.headers.get("Content-Type") or "no Content-Type"


def _quote(body: bytes) -> str:
    text = body[:_LONGEST_QUOTE].decode("utf-8", "replace")
    return "".join(c if c.isprintable() else " " for c in text) + ("…" if len(body) > _LONGEST_QUOTE else "")
