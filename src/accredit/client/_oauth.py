"""OAuth's refresh token grant (RFC 6749 section 6), for both clients' credentials."""

import time
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from azure.core.pipeline.policies import ProxyPolicy, UserAgentPolicy
from azure.core.rest import HttpRequest

from accredit.client._policies import JSON_BODY, SDK_VERSION, ContentPolicy, environment_proxies
from accredit.client._settings import Endpoint

_EARLY: Final = 300
"""Seconds before its end at which an access token is no longer handed out."""
_FORM: Final = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Granted:
    """What the authority answered; ``refresh_token`` only where it is a new one."""

    access: AccessToken
    refresh_token: str | None


class RefreshTokenGrant:
    """A client's side of the grant: what to ask for, what came, and what is still good. Not thread-safe."""

    def __init__(self, tenant_id: str, client_id: str, client_secret: str, refresh_token: str, authority: str) -> None:
        self.authority = Endpoint.of(authority)
        self._url = f"{self.authority.url}/{quote(tenant_id, safe='')}/oauth2/v2.0/token"
        self._client = {"client_id": client_id, "client_secret": client_secret}
        self._refresh_token = refresh_token
        self._granted: dict[tuple[str, ...], AccessToken] = {}

    def current(self, scopes: tuple[str, ...]) -> AccessToken | None:
        """The token in hand, unless it is about to expire."""
        token = self._granted.get(scopes)
        return token if token is not None and token.expires_on - time.time() > _EARLY else None

    def request(self, scopes: tuple[str, ...]) -> HttpRequest:
        """The request for a new one."""
        form = {
            "grant_type": "refresh_token",
            **self._client,
            "refresh_token": self._refresh_token,
            "scope": " ".join((*scopes, "offline_access")),
        }
        return HttpRequest("POST", self._url, headers={"Content-Type": _FORM}, content=urlencode(form).encode())

    def accept(self, scopes: tuple[str, ...], response: Any) -> Granted:
        """Take what the authority answered. Raises ``ClientAuthenticationError`` for a refusal; it names no secret."""
        answer = response.http_response
        body = response.context.get(JSON_BODY)
        if answer.status_code >= 300:
            raise ClientAuthenticationError(f"the authority refused the refresh token: {_refusal(answer)}")
        if not isinstance(body, dict) or not isinstance(body.get("access_token"), str):
            raise ClientAuthenticationError("the authority's answer has no access_token")
        expires_on = int(time.time()) + int(body.get("expires_in") or 0)
        access = self._granted[scopes] = AccessToken(body["access_token"], expires_on)
        rotated = body.get("refresh_token")
        if not isinstance(rotated, str) or rotated == self._refresh_token:
            return Granted(access, None)
        self._refresh_token = rotated
        return Granted(access, rotated)


def token_policies(authority: Endpoint, *, retry: Any, limit: Any) -> list[Any]:
    """The policies of a pipeline to the authority: nothing is logged, since all of it is secret."""
    proxies = ProxyPolicy(proxies=environment_proxies(authority))
    return [UserAgentPolicy(SDK_VERSION), proxies, retry, ContentPolicy(), limit]


def _refusal(answer: Any) -> str:
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or "error" not in body:
        return f"HTTP {answer.status_code}"
    # Entra's descriptions go on for lines, with a trace of the request.
    description = str(body.get("error_description") or "").partition("\n")[0].strip()
    return f"{body['error']}: {description}" if description else str(body["error"])
