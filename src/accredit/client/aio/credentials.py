"""The asynchronous client's credentials: those of ``accredit.client``, to be awaited."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Self

from azure.core.credentials import AccessToken
from azure.core.pipeline import AsyncPipeline

from accredit.client import credentials
from accredit.client._limits import AsyncLimitPolicy
from accredit.client._oauth import RefreshTokenGrant, token_policies
from accredit.client._retry import AsyncRetryPolicy
from accredit.client.aio._transport import Transport


class StaticTokenCredential:
    """A bearer token as it is."""

    def __init__(self, token: str) -> None:
        self._credential = credentials.StaticTokenCredential(token)

    async def get_token(self, *scopes: str, **kwargs: Any) -> AccessToken:
        """The token, whatever it is asked for."""
        return self._credential.get_token(*scopes)

    async def close(self) -> None:
        """Nothing is open."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class RefreshTokenCredential:
    """As :class:`accredit.client.RefreshTokenCredential`; ``on_refresh_token`` may be a coroutine function."""

    def __init__(
        self,
        tenant_id: str,
        client_id: str,
        client_secret: str,
        refresh_token: str,
        *,
        authority: str = "https://login.microsoftonline.com",
        on_refresh_token: Callable[[str], Awaitable[None] | None] | None = None,
        transport: Any = None,
        **options: Any,
    ) -> None:
        self._grant = RefreshTokenGrant(tenant_id, client_id, client_secret, refresh_token, authority)
        self._on_refresh_token = on_refresh_token
        self._lock = asyncio.Lock()
        self._pipeline: AsyncPipeline[Any, Any] = AsyncPipeline(
            transport or Transport(),
            token_policies(self._grant.authority, retry=AsyncRetryPolicy(**options), limit=AsyncLimitPolicy()),
        )

    async def get_token(self, *scopes: str, **kwargs: Any) -> AccessToken:
        """An access token for ``scopes``.

        Raises ``ClientAuthenticationError`` where the authority refuses, azure-core's other errors where none answers.
        """
        async with self._lock:
            current = self._grant.current(scopes)
            if current is not None:
                return current
            granted = self._grant.accept(scopes, await self._pipeline.run(self._grant.request(scopes)))
            if granted.refresh_token is not None and self._on_refresh_token is not None:
                stored = self._on_refresh_token(granted.refresh_token)
                if stored is not None:
                    await stored
            return granted.access

    async def close(self) -> None:
        """Close the connections to the authority."""
        await self._pipeline.__aexit__()

    async def __aenter__(self) -> Self:
        await self._pipeline.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"
