"""An operation of the API: declared once, from which its HTTP handler and its OpenAPI entry are made.

A call's way is the same for all: headers (``wire.middleware``), the caller (``identity``), the customer ID, the
body, then the feature's own function, whose answer or ``ApiError`` goes back.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol
from uuid import UUID

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse

from accredit.identity.models import Caller
from accredit.wire.answers import Answer
from accredit.wire.body import read_body
from accredit.wire.errors import BAD_CUSTOMER_ID, ApiError, ErrorKind
from accredit.wire.exchange import JSON, Exchange, parse_guid

Method = Literal["GET", "POST", "PUT", "DELETE", "HEAD"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a path, query or header, for the OpenAPI document. ``schema``: JSON Schema."""

    name: str
    description: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})


CUSTOMER_ID = Parameter("customer_id", "The customer's tenant ID.", {"type": "string", "format": "uuid"})


@dataclass(frozen=True, slots=True)
class Operation:
    """What an operation takes, answers and may refuse with.

    ``path`` names its parameters in braces: ``{customer_id}``, and those of ``path_parameters``. ``answers`` is
    ``None`` where success has no body. ``app_only``: a POST that changes nothing, which app-only tokens may therefore
    call. ``if_match``: the header is required. ``role``: only users with this role may call it, reads too.
    ``etag``: success carries the header ``ETag``.
    """

    id: str
    method: Method
    path: str
    summary: str
    tag: str
    answers: Any
    status: int = 200
    body: Any = None
    path_parameters: tuple[Parameter, ...] = ()
    query: tuple[Parameter, ...] = ()
    headers: tuple[Parameter, ...] = ()
    errors: tuple[ErrorKind, ...] = ()
    app_only: bool = False
    if_match: bool = False
    role: str | None = None
    etag: bool = False

    @property
    def writes(self) -> bool:
        """Writes take App+User tokens of users with a writer's role."""
        return self.method in ("POST", "PUT", "DELETE") and not self.app_only


@dataclass(slots=True)
class Call:
    """One call of an operation, once it is known who calls."""

    operation: Operation
    caller: Caller
    exchange: Exchange
    request: Request[Any, Any, Any]
    customer_id: UUID | None
    body: bytes

    @property
    def customer(self) -> UUID:
        """The customer ID in the path. Raises ``ApiError`` (400 / 900118) if it is no GUID."""
        if self.customer_id is None:
            raise ApiError(BAD_CUSTOMER_ID, "The customer ID in the path is not a GUID.")
        return self.customer_id

    @property
    def provenance(self) -> dict[str, str]:
        """Where the call comes from, for audit records: its identifiers, and what the client says of itself."""
        return {
            "MS-RequestId": str(self.exchange.request_id),
            "MS-CorrelationId": str(self.exchange.correlation_id),
            **self.exchange.client,
        }

    def path(self, name: str) -> str:
        """A parameter of the path."""
        value: str = self.request.scope["path_params"][name]
        return value

    def query(self, name: str) -> list[str]:
        """The non-empty values of a query parameter, its name matched without regard to case."""
        if not self.request.scope["query_string"]:
            return []
        wanted = name.lower()
        return [value for key, value in self.request.query_params.multi_items() if key.lower() == wanted and value]


class Gate(Protocol):
    """Tells who is calling, and whether they may. Raises ``ApiError`` (401, 403, 503)."""

    async def admit(
        self, exchange: Exchange, *, writes: bool, customer_id: UUID | None, role: str | None = None
    ) -> Caller: ...


Run = Callable[[Call], Awaitable[Answer]]


def route(operation: Operation, gate: Gate, run: Run) -> HTTPRouteHandler:
    """The HTTP handler of an operation."""
    takes_body = operation.method in ("POST", "PUT")

    async def handle(request: Request[Any, Any, Any]) -> ASGIResponse:
        exchange: Exchange = request.scope["state"]["exchange"]
        try:
            customer_id = parse_guid(request.scope["path_params"].get("customer_id", ""))
            caller = await gate.admit(exchange, writes=operation.writes, customer_id=customer_id, role=operation.role)
            body = await read_body(request, exchange.headers.get("content-length")) if takes_body else b""
            answer = await run(Call(operation, caller, exchange, request, customer_id, body))
        except ApiError as error:
            return respond_error(error)
        response = ASGIResponse(status_code=answer.status, body=answer.body, media_type=JSON)
        if not answer.body:
            response.headers.pop("content-type", None)  # Litestar gives what has no content a type, too
        return response

    handle.__doc__ = operation.summary
    return HTTPRouteHandler(
        re.sub(r"\{(\w+)\}", r"{\1:str}", operation.path),
        http_method=operation.method,
        status_code=200,  # Litestar's own idea of it; each answer brings its status
        name=operation.id,
        opt={"operation": operation},
    )(handle)


def respond_error(error: ApiError) -> ASGIResponse:
    """The HTTP answer of an error."""
    return ASGIResponse(status_code=error.status, body=error.body(), media_type=JSON, headers=dict(error.headers))
