"""The synchronous transport: azure-core's over requests, with a limit to what an attempt takes in all.

requests bounds the wait for each piece of an answer, not for the whole: a server that sends a byte now and then would
hold a call for ever. Here a timer shuts the connection's socket down when the time is up.
"""

import contextlib
import socket
import threading
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Final

import requests
from azure.core.exceptions import AzureError, ServiceResponseTimeoutError
from azure.core.pipeline.transport import RequestsTransport
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.response import HTTPResponse

from accredit.client._settings import CONNECTION_TIMEOUT, READ_TIMEOUT

_CONNECTIONS: Final = 100
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

    def explain(self, error: AzureError) -> AzureError:
        """The error itself, or that the time was up, where that is what broke the connection."""
        if not self.is_over:
            return error
        return ServiceResponseTimeoutError(f"no whole answer within {self._seconds:.3g} s", error=error)

    def _expire(self) -> None:
        with self._lock:
            self.is_over = True
            self._shut_down()

    def _shut_down(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                # Not SSLSocket's own shutdown, which would let a reader go on without TLS.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class _WatchedHTTPConnection(HTTPConnection):
    """A connection whose answers the current :class:`TimeLimit` bounds."""

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        _watch(self.sock)
        return super().getresponse()


class _WatchedHTTPSConnection(HTTPSConnection):
    """The same over TLS."""

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        _watch(self.sock)
        return super().getresponse()


def _watch(connected: socket.socket | None) -> None:
    limit = _limit.get()
    if limit is not None and connected is not None:
        limit.watch(connected)


class _WatchedHTTPPool(HTTPConnectionPool):
    ConnectionCls = _WatchedHTTPConnection


class _WatchedHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedHTTPSConnection


_POOLS = {"http": _WatchedHTTPPool, "https": _WatchedHTTPSPool}


class _WatchedAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


def default_transport(
    *, connection_timeout: float = CONNECTION_TIMEOUT, read_timeout: float = READ_TIMEOUT, **kwargs: Any
) -> RequestsTransport:
    """A transport with a session of its own.

    :keyword connection_timeout: seconds to connect.
    :keyword read_timeout: seconds to wait for each piece of an answer.
    """
    session = requests.Session()
    for scheme in _POOLS:
        session.mount(f"{scheme}://", _WatchedAdapter(pool_maxsize=_CONNECTIONS))
    session.auth = _keep_authorization
    return RequestsTransport(
        session=session, connection_timeout=connection_timeout, read_timeout=read_timeout, **kwargs
    )


def _keep_authorization(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Without it, requests would replace our token by what a ``.netrc`` has for the host."""
    return request
