"""Credentials of our own, beside those of ``azure-identity``: a token as it is, and a refresh token.

Both are azure-core ``TokenCredential``; ``accredit.client.aio`` has the same for its client.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, Final, Self

from azure.core.credentials import AccessToken
from azure.core.pipeline import Pipeline

from accredit.client._limits import LimitPolicy
from accredit.client._oauth import RefreshTokenGrant, token_policies
from accredit.client._retry import RetryPolicy
from accredit.client._transport import Transport

_A_DAY: Final = 24 * 3600


class StaticTokenCredential:
    """A bearer token as it is, for scripts: whoever made it sees to its being valid."""

    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(self, *scopes: str, **kwargs: Any) -> AccessToken:
        """The token, whatever it is asked for."""
        return AccessToken(self._token, int(time.time()) + _A_DAY)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class RefreshTokenCredential:
    """A refresh token, as the secure application model keeps one for an App+User application.

    Access tokens are got at ``{authority}/{tenant_id}/oauth2/v2.0/token`` and kept until five minutes before they
    expire. Where the authority gives a new refresh token, ``on_refresh_token`` is called with it before anything else
    happens: store it, since the old one may stop working. Safe to share between threads: one at a time asks.

    :param tenant_id: the partner's tenant.
    :param client_id: the application.
    :param client_secret: the application's secret.
    :param refresh_token: the token to begin with.
    :keyword authority: ``https``, or ``http`` on a loopback host (accredit's local authority).
    :keyword on_refresh_token: takes a new refresh token. What it raises ends the call, with the new token in use.
    :keyword transport: an azure-core transport; the default one otherwise.
    :keyword options: ``timeout``, ``retry_total`` and the like, as the client takes them.

    Raises ``ValueError`` for an authority that a secret must not be sent to.
    """

    def __init__(
        self,
        tenant_id: str,
        client_id: str,
        client_secret: str,
        refresh_token: str,
        *,
        authority: str = "https://login.microsoftonline.com",
        on_refresh_token: Callable[[str], object] | None = None,
        transport: Any = None,
        **options: Any,
    ) -> None:
        self._grant = RefreshTokenGrant(tenant_id, client_id, client_secret, refresh_token, authority)
        self._on_refresh_token = on_refresh_token
        self._lock = threading.Lock()
        self._pipeline: Pipeline[Any, Any] = Pipeline(
            transport or Transport(),
            token_policies(self._grant.authority, retry=RetryPolicy(**options), limit=LimitPolicy()),
        )

    def get_token(self, *scopes: str, **kwargs: Any) -> AccessToken:
        """An access token for ``scopes``.

        Raises ``ClientAuthenticationError`` where the authority refuses, azure-core's other errors where none answers.
        """
        with self._lock:
            current = self._grant.current(scopes)
            if current is not None:
                return current
            granted = self._grant.accept(scopes, self._pipeline.run(self._grant.request(scopes)))
            if granted.refresh_token is not None and self._on_refresh_token is not None:
                self._on_refresh_token(granted.refresh_token)
            return granted.access

    def close(self) -> None:
        """Close the connections to the authority."""
        self._pipeline.__exit__()

    def __enter__(self) -> Self:
        self._pipeline.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"
