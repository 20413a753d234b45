"""What every request and every answer carries: the headers of contract section 1."""

import os
import re
import secrets
import socket
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID, uuid4

from accredit.wire.errors import BAD_REQUEST, NOT_ACCEPTABLE, ApiError

JSON: Final = "application/json; charset=utf-8"
SERVER_ID: Final = f"{socket.gethostname()}-{os.getpid()}"
_GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_CULTURE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,3}")
_ACCEPTED = frozenset({"application/json", "text/json", "*/*", "application/*", "text/*"})
_CLIENT_HEADERS = ("ms-partnercenter-application", "ms-partnercenter-client", "ms-sdkversion")
_READ = frozenset(
    name.encode()
    for name in (
        *_CLIENT_HEADERS,
        "accept",
        "authorization",
        "content-length",
        "content-type",
        "if-match",
        "ms-continuationtoken",
        "ms-contract-version",
        "ms-correlationid",
        "ms-requestid",
        "validatemfa",
        "x-locale",
    )
)
_LONGEST_FREE_TEXT = 256


def parse_guid(text: str) -> UUID | None:
    """Read a hyphenated GUID in either case; ``None`` for anything else."""
    return UUID(text) if _GUID.fullmatch(text) else None


@dataclass(slots=True)
class Exchange:
    """One request and its answer, as far as the wire is concerned."""

    headers: dict[str, str]
    request_id: UUID
    correlation_id: UUID
    locale: str = "en-US"
    answer_headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    log: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, raw_headers: list[tuple[bytes, bytes]]) -> tuple["Exchange", ApiError | None]:
        """Read the request's headers; return the exchange, and the error if one of them is malformed.

        The exchange is there even then: every answer carries the identifiers.
        """
        headers: dict[str, str] = {}
        for raw_name, raw_value in raw_headers:
            if raw_name in _READ:
                name, text = raw_name.decode("latin-1"), raw_value.decode("latin-1")
                # One that comes twice is one list (RFC 9110 section 5.3): neither the first nor the last wins.
                headers[name] = f"{headers[name]}, {text}" if name in headers else text
        request_id, correlation_id = headers.get("ms-requestid"), headers.get("ms-correlationid")
        exchange = cls(
            headers,
            (parse_guid(request_id) if request_id else None) or uuid4(),
            (parse_guid(correlation_id) if correlation_id else None) or uuid4(),
        )
        locale = headers.get("x-locale")
        if locale and _CULTURE.fullmatch(locale):
            exchange.locale = locale
        for name, value in (("MS-RequestId", request_id), ("MS-CorrelationId", correlation_id)):
            if value is not None and parse_guid(value) is None:
                return exchange, ApiError(BAD_REQUEST, f"The header {name} is not a GUID.")
        return exchange, None

    def check_v1(self) -> ApiError | None:
        """What contract section 1 asks of ``/v1`` calls beyond the identifiers."""
        version = self.headers.get("ms-contract-version")
        if version is not None and version.lower() != "v1":
            return ApiError(BAD_REQUEST, "The header MS-Contract-Version is not v1.")
        if not accepts_json(self.headers.get("accept")):
            return ApiError(NOT_ACCEPTABLE, "The header Accept asks for something other than application/json.")
        return None

    def identifiers(self) -> list[tuple[bytes, bytes]]:
        """The headers that every answer carries."""
        return [
            (b"MS-RequestId", str(self.request_id).encode()),
            (b"MS-CorrelationId", str(self.correlation_id).encode()),
            (b"MS-CV", f"{secrets.token_urlsafe(12)}.0".encode()),
            (b"MS-ServerId", SERVER_ID.encode()),
            (b"X-Locale", self.locale.encode()),
            *self.answer_headers,
        ]

    @property
    def client(self) -> dict[str, str]:
        """What the client says of itself, by header name; cut to a length that a log line bears."""
        return {
            name: "".join(c for c in self.headers[name] if c.isprintable())[:_LONGEST_FREE_TEXT]
            for name in _CLIENT_HEADERS
            if name in self.headers
        }


def accepts_json(accept: str | None) -> bool:
    """Whether an ``Accept`` header allows JSON; a range with ``q=0`` does not."""
    if accept is None or not accept.strip():
        return True
    for media_range in accept.split(","):
        media_type, *parameters = (part.strip().lower() for part in media_range.split(";"))
        if media_type in _ACCEPTED and not any(re.fullmatch(r"q\s*=\s*0(\.0*)?", p) for p in parameters):
            return True
    return False
