"""The asynchronous transport: azure-core's over aiohttp, with errors that tell whether anything was sent."""

from typing import Any

import aiohttp
from azure.core.exceptions import ServiceRequestError, ServiceRequestTimeoutError, ServiceResponseError
from azure.core.pipeline.transport import AioHttpTransport

from accredit.client._settings import CONNECTION_TIMEOUT, READ_TIMEOUT


class Transport(AioHttpTransport):  # type: ignore[misc] # azure-core imports it lazily
    """As azure-core's. Proxies come from the client, and no ``.netrc`` is looked at for each request."""

    def __init__(
        self, *, connection_timeout: float = CONNECTION_TIMEOUT, read_timeout: float = READ_TIMEOUT, **kwargs: Any
    ) -> None:
        super().__init__(
            connection_timeout=connection_timeout, read_timeout=read_timeout, use_env_settings=False, **kwargs
        )

    async def send(self, request: Any, **config: Any) -> Any:
        """Send a request; raises ``ServiceRequestError`` only where it was not sent."""
        try:
            return await super().send(request, **config)
        except ServiceRequestTimeoutError:
            raise
        except ServiceRequestError as error:
            # azure-core says the same of a connection that was never made and of one that broke after the request.
            if isinstance(error.inner_exception, aiohttp.ClientConnectorError):
                raise
            raise ServiceResponseError(error.message, error=error.inner_exception) from error
