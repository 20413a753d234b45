"""The synchronous transport: azure-core's over requests, on connections that a time limit can shut down."""

from typing import Any, Final

import requests
from azure.core.pipeline.transport import RequestsTransport
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.response import HTTPResponse

from accredit.client._limits import watch
from accredit.client._settings import CONNECTION_TIMEOUT, READ_TIMEOUT

_CONNECTIONS: Final = 100


class _WatchedHTTPConnection(HTTPConnection):
    """A connection whose answers the current :class:`TimeLimit` bounds."""

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        watch(self.sock)
        return super().getresponse()


class _WatchedHTTPSConnection(HTTPSConnection):
    """The same over TLS."""

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        watch(self.sock)
        return super().getresponse()


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


class Transport(RequestsTransport):  # type: ignore[misc] # azure-core imports it lazily
    """As azure-core's, with a session of its own. Proxies come from the client.

    :keyword connection_timeout: seconds to connect.
    :keyword read_timeout: seconds to wait for each piece of an answer.
    """

    def __init__(
        self, *, connection_timeout: float = CONNECTION_TIMEOUT, read_timeout: float = READ_TIMEOUT, **kwargs: Any
    ) -> None:
        session = requests.Session()
        for scheme in _POOLS:
            session.mount(f"{scheme}://", _WatchedAdapter(pool_maxsize=_CONNECTIONS))
        # Else requests would replace our token by what a .netrc has for the host, and send loopback's calls to a proxy.
        session.trust_env = False
        super().__init__(session=session, connection_timeout=connection_timeout, read_timeout=read_timeout, **kwargs)
