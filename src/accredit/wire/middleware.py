"""The outermost layer: gives every answer its headers, every call its log line and its place in the metrics."""

import time
from typing import Any

import structlog
from litestar import Request, Response
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import Histogram
from psycopg import OperationalError

from accredit.wire.errors import (
    BAD_REQUEST,
    METHOD_NOT_ALLOWED,
    NO_SUCH_PATH,
    SERVER_FAULT,
    UNAVAILABLE,
    ApiError,
)
from accredit.wire.exchange import JSON, Exchange
from accredit.wire.operations import respond_error

log = structlog.get_logger("accredit.wire")

REQUEST_SECONDS = Histogram(
    "accredit_request_seconds",
    "Seconds from a request's head to the last byte of its answer.",
    ["operation", "status"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
# The official Java client puts its root before a link's URI, which has one already.
_DOUBLED = "/v1//v1/"
_UNLOGGED = frozenset({"/health/live", "/health/ready", "/metrics"})


class WireMiddleware:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        exchange, error = Exchange.of(scope["headers"])  # type: ignore[arg-type]  # uvicorn gives a list
        scope.setdefault("state", {})["exchange"] = exchange
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *exchange.identifiers()]
            await send(message)

        path = scope["path"]
        if path.startswith(_DOUBLED):
            path = scope["path"] = path.removeprefix("/v1/")
        if error is None and path.startswith(("/v1/", "/review/v1/")):
            error = exchange.check_v1()
        try:
            if error is not None:
                await respond_error(error)(scope, receive, send_with_headers)
            else:
                await self.app(scope, receive, send_with_headers)
        finally:
            handler: Any = scope.get("route_handler")
            name = getattr(handler, "name", None) or "other"
            seconds = time.perf_counter() - started
            REQUEST_SECONDS.labels(name, str(status)).observe(seconds)
            if path not in _UNLOGGED:
                log.info(
                    "request",
                    method=scope["method"],
                    path=path,
                    status=status,
                    ms=round(seconds * 1000, 1),
                    request_id=str(exchange.request_id),
                    correlation_id=str(exchange.correlation_id),
                    **exchange.log,
                    **exchange.client,
                )


def on_api_error(_: Request[Any, Any, Any], error: ApiError) -> Response[bytes]:
    """Answer an ``ApiError`` raised outside an operation."""
    return Response(error.body(), status_code=error.status, media_type=JSON, headers=error.headers)


def on_http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Answer what the router refuses, in the contract's form."""
    if isinstance(error, NotFoundException):
        return on_api_error(request, ApiError(NO_SUCH_PATH, "There is no such path."))
    if isinstance(error, MethodNotAllowedException):
        allowed = {"Allow": (error.headers or {}).get("allow", "")}
        return on_api_error(request, ApiError(METHOD_NOT_ALLOWED, "The path does not have this method.", allowed))
    if error.status_code >= 500:
        return on_fault(request, error)
    return on_api_error(request, ApiError(BAD_REQUEST, error.detail))


def on_unavailable(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer 503 while the database cannot be reached."""
    log.error("database unreachable", error=type(error).__name__, detail=str(error), **_identifiers(request))
    return on_api_error(request, ApiError(UNAVAILABLE, "The database cannot be reached.", {"Retry-After": "1"}))


def on_fault(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer 500 for a fault of ours: its stack goes to the log, never to the client."""
    log.error("fault", exc_info=error, **_identifiers(request))
    return on_api_error(request, ApiError(SERVER_FAULT, "A fault of the service. Nothing was changed; try again."))


def _identifiers(request: Request[Any, Any, Any]) -> dict[str, str]:
    exchange: Exchange = request.scope["state"]["exchange"]
    return {"request_id": str(exchange.request_id), "correlation_id": str(exchange.correlation_id)}


EXCEPTION_HANDLERS: dict[int | type[Exception], Any] = {
    ApiError: on_api_error,
    HTTPException: on_http_error,
    OperationalError: on_unavailable,
    Exception: on_fault,
}
