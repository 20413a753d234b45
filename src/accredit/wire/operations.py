"""An operation of the API: declared once, from which its HTTP handler and its OpenAPI entry are made.

A call's way is the same for all: headers (``wire.middleware``), the caller (``identity``), the customer ID, the
body, then the feature's own function, whose answer or ``ApiError`` goes back.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
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
class QueryParameter:
    """A query parameter, for the OpenAPI document."""

    name: str
    description: str


@dataclass(frozen=True, slots=True)
class Operation:
    """What an operation takes, answers and may refuse with. ``path`` names ``{customer_id}`` where it has one."""

    id: str
    method: Method
    path: str
    summary: str
    tag: str
    answers: Any
    status: int = 200
    body: Any = None
    query: tuple[QueryParameter, ...] = ()
    errors: tuple[ErrorKind, ...] = ()

    @property
    def writes(self) -> bool:
        """Writes take App+User tokens of users with a writer's role."""
        return self.method in ("POST", "PUT", "DELETE")


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

    def query(self, name: str) -> list[str]:
        """The non-empty values of a query parameter, its name matched without regard to case."""
        if not self.request.scope["query_string"]:
            return []
        wanted = name.lower()
        return [value for key, value in self.request.query_params.multi_items() if key.lower() == wanted and value]


class Gate(Protocol):
    """Tells who is calling, and whether they may. Raises ``ApiError`` (401, 403, 503)."""

    async def admit(self, exchange: Exchange, *, writes: bool) -> Caller: ...


Run = Callable[[Call], Awaitable[Answer]]


def route(operation: Operation, gate: Gate, run: Run) -> HTTPRouteHandler:
    """The HTTP handler of an operation."""
    takes_body = operation.method in ("POST", "PUT")

    async def handle(request: Request[Any, Any, Any]) -> ASGIResponse:
        exchange: Exchange = request.scope["state"]["exchange"]
        try:
            caller = await gate.admit(exchange, writes=operation.writes)
            body = await read_body(request, exchange.headers.get("content-length")) if takes_body else b""
            customer_id = parse_guid(request.scope["path_params"].get("customer_id", ""))
            answer = await run(Call(operation, caller, exchange, request, customer_id, body))
        except ApiError as error:
            return respond_error(error)
        return ASGIResponse(status_code=answer.status, body=answer.body, media_type=JSON if answer.body else None)

    handle.__doc__ = operation.summary
    return HTTPRouteHandler(
        operation.path.replace("{customer_id}", "{customer_id:str}"),
        http_method=operation.method,
        status_code=operation.status,
        name=operation.id,
        opt={"operation": operation},
    )(handle)


def respond_error(error: ApiError) -> ASGIResponse:
    """The HTTP answer of an error."""
    return ASGIResponse(status_code=error.status, body=error.body(), media_type=JSON, headers=dict(error.headers))
