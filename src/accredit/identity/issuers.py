"""The OIDC issuers that are trusted by configuration, and the keys they publish.

An issuer's ``{tenantid}`` (or ``{tid}``) stands for the token's tenant, as in Entra ID's
``https://login.microsoftonline.com/{tenantid}/v2.0``. The keys of such an issuer are those of its tenant ``common``.
"""

import asyncio
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import InvalidKeyError
from jwt.algorithms import RSAAlgorithm

from accredit.identity.tokens import ALGORITHM
from accredit.wire.errors import UNAVAILABLE, ApiError

log = structlog.get_logger("accredit.identity")

T = TypeVar("T")

REFRESH_SECONDS: Final = 60.0
"""An unknown ``kid`` makes us look for new keys at most this often (contract section 2)."""
RETRY_SECONDS: Final = 5.0
"""After a failure the issuer is left alone for so long."""

_FETCH_SECONDS = 5.0
_LARGEST_DOCUMENT = 1 << 20
_SMALLEST_KEY_BITS = 2048  # RFC 7518 section 3.3
_TENANT = re.compile(r"\{(?:tenantid|tid)\}", re.IGNORECASE)
_ANY_TENANT = "{tenantid}"


class IssuerError(Exception):
    """An issuer's documents cannot be had, or are not what they must be; the message says why, for the log."""


class _Discovery(msgspec.Struct):
    issuer: str
    jwks_uri: str


class _KeySet(msgspec.Struct):
    keys: list[Any]


class _Jwk(msgspec.Struct):
    """A public RSA key, RFC 7517. ``issuer``, which only Entra gives, is whom the key signs for."""

    kty: str
    kid: str
    n: str
    e: str
    use: str | None = None
    alg: str | None = None
    issuer: str | None = None


@dataclass(frozen=True, slots=True)
class _Key:
    public: RSAPublicKey
    issuer: str | None


class Issuers:
    """The configured issuers: a :class:`~accredit.identity.tokens.KeySource`.

    ``clock`` gives seconds of any epoch. Raises ``ValueError`` for an issuer that is no http(s) URL.
    """

    def __init__(self, configured: Iterable[str], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._issuers = [_Issuer(one, clock) for one in configured]

    async def key(self, issuer: str, tenant: str, key_id: str) -> RSAPublicKey | None:
        """As :class:`~accredit.identity.tokens.KeySource` says; fetches keys where that is due."""
        for one in self._issuers:
            if _fill(one.url, tenant) == issuer:
                key = await one.key(key_id)
                # A key of one tenant signs for no other, though it is published among those of all.
                if key is not None and (key.issuer is None or _fill(key.issuer, tenant) == issuer):
                    return key.public
        return None


class _Issuer:
    """One configured issuer, and the keys held of it."""

    def __init__(self, url: str, clock: Callable[[], float]) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"the issuer {url} is not an http(s) URL without query and fragment")
        self.url = url
        self._scheme = parts.scheme
        self._clock = clock
        self._keys: dict[str, _Key] | None = None
        self._fetching = asyncio.Lock()
        self._attempts = 0
        self._next_attempt = clock()

    async def key(self, key_id: str) -> _Key | None:
        """The key of that ID. Raises ``ApiError`` (503) if no keys could be had yet."""
        if self._keys is None or key_id not in self._keys:
            await self._refresh()
        if self._keys is None:
            retry_after = {"Retry-After": f"{RETRY_SECONDS:.0f}"}
            raise ApiError(UNAVAILABLE, "The token's issuer cannot be reached.", retry_after)
        return self._keys.get(key_id)

    async def _refresh(self) -> None:
        """Fetch the keys if that is due; who comes while others fetch waits for theirs."""
        attempts = self._attempts
        async with self._fetching:
            if self._attempts != attempts or self._clock() < self._next_attempt:
                return
            try:
                keys = await self._fetch()
            except IssuerError as error:
                log.warning("issuer unreachable", issuer=self.url, detail=str(error))
                self._next_attempt = self._clock() + RETRY_SECONDS
            else:
                # Keys may be refreshed right after they were first fetched: the issuer may have changed them since.
                self._next_attempt = self._clock() + (0 if self._keys is None else REFRESH_SECONDS)
                self._keys = keys
            self._attempts += 1

    async def _fetch(self) -> dict[str, _Key]:
        """The keys as published now. Raises :class:`IssuerError`."""
        try:
            # One limit for the whole of it; httpx's own are for each step.
            async with (
                asyncio.timeout(_FETCH_SECONDS),
                httpx.AsyncClient(follow_redirects=False, timeout=None) as client,  # noqa: S113
            ):
                base = _TENANT.sub("common", self.url).rstrip("/")
                discovery = await _get(client, f"{base}/.well-known/openid-configuration", _Discovery)
                if _fill(discovery.issuer, _ANY_TENANT) != _fill(self.url, _ANY_TENANT):
                    raise IssuerError(f"its discovery document is of another issuer, {discovery.issuer}")
                allowed = ("https://", "http://") if self._scheme == "http" else ("https://",)
                if not discovery.jwks_uri.startswith(allowed):
                    raise IssuerError(f"its jwks_uri is not https: {discovery.jwks_uri}")
                key_set = await _get(client, discovery.jwks_uri, _KeySet)
        except TimeoutError:
            raise IssuerError(f"no answer within {_FETCH_SECONDS:.0f} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise IssuerError(f"{type(error).__name__}: {error}") from error
        keys = _signing_keys(key_set)
        if not keys:
            raise IssuerError(f"no RSA keys for signatures at {discovery.jwks_uri}")
        return keys


async def _get(client: httpx.AsyncClient, url: str, document: type[T]) -> T:
    """GET a JSON document. Raises :class:`IssuerError`, ``httpx.HTTPError`` and ``httpx.InvalidURL``."""
    # Not compressed, so that the limit holds for what is to be held in memory.
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    async with client.stream("GET", url, headers=headers) as response:
        if response.status_code != httpx.codes.OK:
            raise IssuerError(f"{url} answers {response.status_code}")
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > _LARGEST_DOCUMENT:
                raise IssuerError(f"{url} answers more than {_LARGEST_DOCUMENT} bytes")
    try:
        return msgspec.json.decode(body, type=document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise IssuerError(f"{url} answers something else than {document.__name__}: {error}") from None


def _signing_keys(published: _KeySet) -> dict[str, _Key]:
    """The keys, by ``kid``, that access tokens may be signed with; others are passed over."""
    keys: dict[str, _Key] = {}
    for one in published.keys:
        try:
            jwk = msgspec.convert(one, _Jwk)
            # Of the numbers alone: of a whole JWK, a private key might be made.
            public = RSAAlgorithm.from_jwk({"kty": jwk.kty, "n": jwk.n, "e": jwk.e})
        except (ValueError, InvalidKeyError):
            continue
        suitable = jwk.use in (None, "sig") and jwk.alg in (None, ALGORITHM)
        if suitable and isinstance(public, RSAPublicKey) and public.key_size >= _SMALLEST_KEY_BITS:
            keys[jwk.kid] = _Key(public, jwk.issuer)
    return keys


def _fill(template: str, tenant: str) -> str:
    return _TENANT.sub(tenant, template)
