"""What a client is told once: where the service is, and how to speak to it. Shared by both clients."""

import ipaddress
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

GLOBAL_ENDPOINT: Final = "https://api.partnercenter.microsoft.com"
CHINA_ENDPOINT: Final = "https://partner.partnercenterapi.microsoftonline.cn"
"""Partner Center operated by 21Vianet."""

CONNECTION_TIMEOUT: Final = 10.0
"""Seconds to connect."""
READ_TIMEOUT: Final = 30.0
"""Seconds to wait for each piece of an answer."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a service is: an ``https`` URL, or an ``http`` one on a loopback host."""

    url: str
    host: str
    is_loopback: bool

    @classmethod
    def of(cls, url: str) -> "Endpoint":
        """Read an endpoint's URL. Raises ``ValueError`` where a token must not be sent to it."""
        url = url.rstrip("/")
        try:
            parts = urlsplit(url)
            host = parts.hostname
            _ = parts.port
        except ValueError as error:
            raise ValueError(f"the endpoint {url} is malformed: {error}") from None
        if parts.scheme not in ("https", "http") or not host or parts.query or parts.fragment or "@" in parts.netloc:
            raise ValueError(f"the endpoint {url} is no http or https URL of a host")
        loopback = _is_loopback(host)
        if parts.scheme == "http" and not loopback:
            raise ValueError(f"the endpoint {url} must be https: http would show the token to the network")
        return cls(url, host, loopback)

    def resolve(self, reference: str) -> str:
        """The URL of a path, or of an absolute URL of this endpoint.

        Raises ``ValueError`` for a URL elsewhere: no token goes there.
        """
        if reference.startswith("/"):
            return self.url + reference
        if _origin(urlsplit(reference)) != _origin(urlsplit(self.url)):
            raise ValueError(f"{reference} is not at {self.url}: it is not followed")
        return reference

    @property
    def default_scope(self) -> str:
        """What to ask a credential for. 21Vianet's cloud has an audience of its own; all others share the global."""
        audience = CHINA_ENDPOINT if self.url == CHINA_ENDPOINT else GLOBAL_ENDPOINT
        return f"{audience}/.default"


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
