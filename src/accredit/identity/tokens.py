"""Access tokens: from an ``Authorization`` header to a :class:`Caller`, as contract section 2 says."""

import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol
from uuid import UUID

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from accredit.identity.models import Caller
from accredit.wire.errors import UNAUTHORIZED, WRONG_AUDIENCE, ApiError, ErrorKind
from accredit.wire.exchange import parse_guid

ALGORITHM: Final = "RS256"
USER_IMPERSONATION: Final = "user_impersonation"
"""The scope of an App+User token."""
LEEWAY: Final = 60.0
"""Seconds by which our clock and the issuer's may differ."""

_LARGEST_TOKEN = 16 * 1024
_REMEMBERED_SECONDS = 60.0
_REMEMBERED_TOKENS = 4096
_LONGEST_NAME = 256
# The compact form without padding, which PyJWT would allow.
_BEARER = re.compile(r"bearer +([\w-]+\.[\w-]+\.[\w-]+) *", re.ASCII | re.IGNORECASE)
_SCHEME = re.compile(r"bearer +[^ ]", re.IGNORECASE)
_REALM = 'Bearer realm="accredit"'

_JWS = jwt.PyJWS(algorithms=[ALGORITHM])


class KeySource(Protocol):
    """Issuers that are trusted, and the keys they sign with."""

    async def key(self, issuer: str, tenant: str, key_id: str) -> RSAPublicKey | None:
        """The key ``key_id`` of ``issuer``; ``None`` if it has none such, or is not trusted for ``tenant``.

        The arguments are the token's ``iss``, ``tid`` and ``kid``, not verified yet; ``tenant`` is a GUID as the token
        spells it. Raises ``ApiError`` (503) if the issuer is trusted and its keys cannot be had.
        """


class _Claims(msgspec.Struct, frozen=True):
    """The claims that are read, contract section 2. A ``null`` equals an absent claim."""

    iss: str
    aud: str | list[str]
    exp: float
    tid: str
    nbf: float | None = None
    scp: str | list[str] | None = None
    idtyp: str | None = None
    roles: list[str] | None = None
    oid: str | None = None
    upn: str | None = None
    preferred_username: str | None = None
    appid: str | None = None
    azp: str | None = None
    amr: list[str] | None = None


@dataclass(frozen=True, slots=True)
class _Remembered:
    caller: Caller
    until: float


class TokenVerifier:
    """Tells who calls, from the access token. ``clock`` gives seconds since the epoch.

    ``authority``, if given, is asked for keys before ``issuers``. A token verified once is remembered, by its hash, for
    60 seconds at most and not beyond its expiry; then its key, its issuer and its partner are looked up again.
    """

    def __init__(
        self,
        issuers: KeySource,
        audiences: Iterable[str],
        is_registered: Callable[[UUID], Awaitable[bool]],
        authority: KeySource | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._authority = authority
        self._sources = [issuers] if authority is None else [authority, issuers]
        self._audiences = frozenset(_audience(one) for one in audiences)
        self._is_registered = is_registered
        self._clock = clock
        self._remembered: OrderedDict[bytes, _Remembered] = OrderedDict()

    def cached(self, authorization: str | None) -> Caller | None:
        """The caller, if this header's token is remembered; else :meth:`verify` has to tell."""
        digest = _digest(authorization)
        remembered = self._remembered.get(digest)
        if remembered is None:
            return None
        if self._clock() >= remembered.until:
            del self._remembered[digest]
            return None
        self._remembered.move_to_end(digest)
        return remembered.caller

    async def verify(self, authorization: str | None) -> Caller:
        """Verify the token in full, and remember it.

        Raises ``ApiError``: 401 / 400 or 401 / 900420 with ``WWW-Authenticate``, or 503 from a :class:`KeySource`.
        What ``is_registered`` raises passes through.
        """
        token = _bearer_token(authorization)
        claims, local = await self._verified_claims(token)
        now = self._clock()
        if now >= claims.exp + LEEWAY:
            raise _refusal("The token has expired.")
        if claims.nbf is not None and now < claims.nbf - LEEWAY:
            raise _refusal("The token is not valid yet.")
        audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
        if self._audiences.isdisjoint(_audience(one) for one in audiences):
            raise _refusal("The token is for another audience.", WRONG_AUDIENCE)
        caller = _caller(claims, local=local)
        if not await self._is_registered(caller.partner_id):
            raise _refusal("The token's tenant is not a registered partner.")
        self._remember(_digest(authorization), caller, min(now + _REMEMBERED_SECONDS, claims.exp + LEEWAY))
        return caller

    def _remember(self, digest: bytes, caller: Caller, until: float) -> None:
        self._remembered[digest] = _Remembered(caller, until)
        if len(self._remembered) > _REMEMBERED_TOKENS:
            self._remembered.popitem(last=False)

    async def _verified_claims(self, token: str) -> tuple[_Claims, bool]:
        """The claims of a token that a trusted issuer signed, and whether that is the local authority.

        Their dates and meaning are not checked yet.
        """
        try:
            unverified = _JWS.decode_complete(token, options={"verify_signature": False})
            header: dict[str, Any] = unverified["header"]
            claims = msgspec.json.decode(unverified["payload"], type=_Claims)
        except (jwt.PyJWTError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise _refusal("The token is malformed.") from None
        # Only `alg` and `kid` of the header count: keys that a token brings along (`jwk`, `jku`, `x5u`) are ignored.
        if header.get("alg") != ALGORITHM:
            raise _refusal("The token is not signed with RS256.")
        if "crit" in header:
            raise _refusal("The token asks for extensions that are not supported.")
        if parse_guid(claims.tid) is None:
            raise _refusal("The token's tid is not a GUID.")
        key, source = await self._key(claims.iss, claims.tid, header.get("kid"))
        try:
            _JWS.decode_complete(token, key, algorithms=[ALGORITHM])
        except jwt.PyJWTError:
            raise _refusal("The token's signature is wrong.") from None
        return claims, source is self._authority

    async def _key(self, issuer: str, tenant: str, key_id: str | None) -> tuple[RSAPublicKey, KeySource]:
        if key_id is not None:
            for source in self._sources:
                if (key := await source.key(issuer, tenant, key_id)) is not None:
                    return key, source
        raise _refusal("The token is not signed by a key of a trusted issuer.")


def _bearer_token(authorization: str | None) -> str:
    """The token of an ``Authorization`` header. Raises ``ApiError`` (401)."""
    if authorization is None or not _SCHEME.match(authorization):
        raise ApiError(UNAUTHORIZED, "The request has no access token.", {"WWW-Authenticate": _REALM})
    match = _BEARER.fullmatch(authorization) if len(authorization) <= _LARGEST_TOKEN else None
    if match is None:
        raise _refusal("The token is malformed.")
    return match[1]


def _caller(claims: _Claims, *, local: bool) -> Caller:
    """What the claims say, by contract section 2. Raises ``ApiError`` (401) if they name nobody."""
    if claims.scp is not None:
        scopes = claims.scp.split() if isinstance(claims.scp, str) else claims.scp
        if USER_IMPERSONATION not in scopes:
            raise _refusal("The token's scope is not user_impersonation.")
        app_only = False
    elif claims.idtyp == "app" or claims.roles is not None:
        app_only = True
    else:
        raise _refusal("The token is neither an App+User token nor an app-only one.")
    user_principal_name = claims.upn or claims.preferred_username
    if not app_only and not (claims.oid or user_principal_name):
        raise _refusal("The token names no user.")
    return Caller(
        partner_id=UUID(claims.tid),
        user_id=None if app_only else _name(claims.oid),
        user_principal_name=None if app_only else _name(user_principal_name),
        application_id=_name(claims.appid or claims.azp),
        app_only=app_only,
        mfa="mfa" in (claims.amr or ()),
        roles=frozenset(claims.roles or ()),
        expires_at=claims.exp,
        local=local,
    )


def _name(claim: str | None) -> str | None:
    """A claim that goes into records and logs. Raises ``ApiError`` (401) for what no database or log line takes."""
    if not claim:
        return None
    if len(claim) > _LONGEST_NAME or not claim.isprintable():
        raise _refusal("The token's claims are malformed.")
    return claim


def _refusal(description: str, kind: ErrorKind = UNAUTHORIZED) -> ApiError:
    # The descriptions are ours alone, so nothing of the token gets into the header.
    header = f'{_REALM}, error="invalid_token", error_description="{description}"'
    return ApiError(kind, description, {"WWW-Authenticate": header})


def _audience(name: str) -> str:
    """An audience without the trailing slash that it is written with or without."""
    return name.removesuffix("/")


def _digest(authorization: str | None) -> bytes:
    return hashlib.sha256((authorization or "").encode()).digest()
