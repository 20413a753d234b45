"""A limit to what an attempt takes in all, from the first byte sent to the last received.

HTTP libraries bound the wait for each piece of an answer, not for the whole: a server that sends a byte now and then
would hold a call for ever. In the asynchronous client the attempt is cancelled; in the synchronous one, where it cannot
be, a timer shuts the connection's socket down.
"""

import asyncio
import contextlib
import socket
import threading
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Final

from azure.core.exceptions import AzureError, ServiceResponseTimeoutError
from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import AsyncHTTPPolicy, HTTPPolicy
from azure.core.rest import AsyncHttpResponse, HttpRequest, HttpResponse

ATTEMPT_SECONDS: Final = "accredit.attempt_seconds"
"""Where the retry policy says how long the attempt may take."""
SENT: Final = "accredit.sent"
"""Where these policies say that the request went out: whatever fails before, the service does not know of it."""
_limit: ContextVar["TimeLimit | None"] = ContextVar("accredit_time_limit", default=None)


class TimeLimit:
    """Within it, whatever is received over a watched connection must be received within ``seconds``."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._token: Token[TimeLimit | None] | None = None
        self.is_over = False

    def __enter__(self) -> "TimeLimit":
        self._token = _limit.set(self)
        self._timer.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._timer.cancel()
        with self._lock:
            self._socket = None
        if self._token is not None:
            _limit.reset(self._token)

    def watch(self, connected: socket.socket) -> None:
        """Have a socket shut down when the time is up, or now if it is."""
        with self._lock:
            self._socket = connected
            if self.is_over:
                self._shut_down()

    def _expire(self) -> None:
        with self._lock:
            self.is_over = True
            self._shut_down()

    def _shut_down(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                # Not SSLSocket's own shutdown, which would let a reader go on without TLS.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


def watch(connected: socket.socket | None) -> None:
    """Have the current limit, if any, bound what is received over a connection."""
    limit = _limit.get()
    if limit is not None and connected is not None:
        limit.watch(connected)


class LimitPolicy(HTTPPolicy[HttpRequest, HttpResponse]):
    """Bounds an attempt. It stands after the token's policy: to log in may take a person's time."""

    def send(self, request: PipelineRequest[HttpRequest]) -> PipelineResponse[HttpRequest, HttpResponse]:
        """Send the request. Raises ``ServiceResponseTimeoutError`` when the time is up."""
        request.context[SENT] = True
        limit = TimeLimit(request.context[ATTEMPT_SECONDS])
        try:
            with limit:
                response = self.next.send(request)
        except AzureError as error:
            if limit.is_over:
                raise _too_slow(request, error) from error
            raise
        if limit.is_over:  # http.client takes a connection that closes amid the headers for their end
            raise _too_slow(request)
        return response


class AsyncLimitPolicy(AsyncHTTPPolicy[HttpRequest, AsyncHttpResponse]):
    """Bounds an attempt. It stands after the token's policy: to log in may take a person's time."""

    async def send(self, request: PipelineRequest[HttpRequest]) -> PipelineResponse[HttpRequest, AsyncHttpResponse]:
        """Send the request. Raises ``ServiceResponseTimeoutError`` when the time is up."""
        request.context[SENT] = True
        try:
            async with asyncio.timeout(request.context[ATTEMPT_SECONDS]):
                return await self.next.send(request)
        except TimeoutError as error:
            raise _too_slow(request, error) from error


def _too_slow(request: PipelineRequest[HttpRequest], error: Exception | None = None) -> ServiceResponseTimeoutError:
    seconds: float = request.context[ATTEMPT_SECONDS]
    return ServiceResponseTimeoutError(f"no whole answer within {seconds:.3g} s", error=error)
