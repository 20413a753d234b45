"""The local authority: tokens as Entra ID issues them, for development and tests (contract section 2)."""

import hashlib
import os
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from stat import S_IMODE
from typing import Any, Final, Literal
from uuid import UUID, uuid4

import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from jwt.types import Options

from accredit.identity.models import DirectoryUser
from accredit.identity.tokens import ALGORITHM, USER_IMPERSONATION

Version = Literal["1.0", "2.0"]
"""Entra's two forms of tokens: they differ in ``iss``, and in how they name the application."""

ACCESS_SECONDS: Final = 3600
REFRESH_SECONDS: Final = 90 * 24 * 3600

_KEY_BITS = 2048
# Not a URL, so no access token can be asked for it, and no service takes a refresh token for an access token.
_REFRESH_AUDIENCE = "urn:accredit:local-authority"
_BASE_URL = re.compile(r"https?://[^/?#\s]+(?:/[^?#\s]*)?")


class AuthorityKeyError(Exception):
    """The home folder's key cannot be used as it is; the message says what to do."""


class RefreshTokenError(Exception):
    """Not a refresh token of this authority, or no longer one; the message is for the client."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """An access token, and when it is valid: seconds since the epoch."""

    text: str
    not_before: int
    expires_on: int


class RefreshGrant(msgspec.Struct, frozen=True, kw_only=True):
    """What a refresh token stands for: that this user let this application act for them."""

    partner_id: UUID = msgspec.field(name="tid")
    user_id: UUID = msgspec.field(name="oid")
    application_id: UUID = msgspec.field(name="appid")
    mfa: bool


class LocalAuthority:
    """Issues tokens signed with the key of a home folder; a :class:`~accredit.identity.tokens.KeySource` of it.

    The key is made at first use and kept in ``authority/key.pem``. Raises :class:`AuthorityKeyError`, ``OSError``.
    ``clock`` gives seconds since the epoch.
    """

    def __init__(self, home: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._private = _key_in(home / "authority")
        self._public = self._private.public_key()
        self._clock = clock
        numbers = RSAAlgorithm.to_jwk(self._public, as_dict=True)
        self._jwk = {"kty": "RSA", "n": numbers["n"], "e": numbers["e"]}
        self.key_id = _thumbprint(self._jwk)

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The key set to publish, RFC 7517."""
        return {"keys": [{**self._jwk, "use": "sig", "alg": ALGORITHM, "kid": self.key_id}]}

    @staticmethod
    def issuer(base_url: str, partner_id: UUID, version: Version = "2.0") -> str:
        """The ``iss`` of a partner's tokens; ``base_url`` is where this service is reached."""
        return f"{base_url.rstrip('/')}/{partner_id}/" + ("v2.0" if version == "2.0" else "")

    async def key(self, issuer: str, tenant: str, key_id: str) -> rsa.RSAPublicKey | None:
        """As :class:`~accredit.identity.tokens.KeySource` says.

        The issuer's base URL may be any: the key never leaves its home, while host and port differ between starts and
        between the names that a client reaches us by.
        """
        if key_id != self.key_id:
            return None
        for ending in (f"/{tenant}/v2.0", f"/{tenant}/"):
            if issuer.endswith(ending) and _BASE_URL.fullmatch(issuer.removesuffix(ending)):
                return self._public
        return None

    def issue_app_user(
        self,
        user: DirectoryUser,
        *,
        partner_id: UUID,
        application_id: UUID,
        audience: str,
        base_url: str,
        mfa: bool = True,
        version: Version = "2.0",
    ) -> AccessToken:
        """An App+User token: the application acts for the user, who passed multi-factor authentication or did not."""
        claims = {
            "sub": str(user.id),
            "oid": str(user.id),
            "upn": user.upn,
            "scp": USER_IMPERSONATION,
            "roles": list(user.roles),
            "idtyp": "user",
            "amr": ["pwd", "mfa"] if mfa else ["pwd"],
        }
        return self._issue(claims, partner_id, application_id, audience, base_url, version)

    def issue_app_only(
        self,
        *,
        partner_id: UUID,
        application_id: UUID,
        audience: str,
        base_url: str,
        version: Version = "2.0",
    ) -> AccessToken:
        """An app-only token: the application acts for itself."""
        claims = {"sub": str(application_id), "roles": [], "idtyp": "app"}
        return self._issue(claims, partner_id, application_id, audience, base_url, version)

    def issue_refresh_token(self, grant: RefreshGrant) -> str:
        """A refresh token, good for 90 days of access tokens and never an access token itself."""
        now = int(self._clock())
        claims = {
            **msgspec.to_builtins(grant),
            "aud": _REFRESH_AUDIENCE,
            "iat": now,
            "exp": now + REFRESH_SECONDS,
            "jti": str(uuid4()),
        }
        return self._sign(claims)

    def redeem_refresh_token(self, token: str) -> RefreshGrant:
        """What a refresh token stands for. Raises :class:`RefreshTokenError`."""
        # The expiry is checked below: by our clock, not by PyJWT's.
        unchecked: Options = {"verify_exp": False, "verify_iat": False, "require": ["exp"]}
        try:
            claims = jwt.decode(
                token, self._public, algorithms=[ALGORITHM], audience=_REFRESH_AUDIENCE, options=unchecked
            )
            grant = msgspec.convert(claims, RefreshGrant)
        except (jwt.PyJWTError, msgspec.ValidationError):
            raise RefreshTokenError("This is no refresh token of this authority.") from None
        if self._clock() >= claims["exp"]:
            raise RefreshTokenError("The refresh token has expired.")
        return grant

    def _issue(
        self,
        claims: dict[str, Any],
        partner_id: UUID,
        application_id: UUID,
        audience: str,
        base_url: str,
        version: Version,
    ) -> AccessToken:
        now = int(self._clock())
        claims |= {
            "iss": self.issuer(base_url, partner_id, version),
            "aud": audience,
            "tid": str(partner_id),
            "azp" if version == "2.0" else "appid": str(application_id),
            "ver": version,
            "iat": now,
            "nbf": now,
            "exp": now + ACCESS_SECONDS,
            "jti": str(uuid4()),
        }
        return AccessToken(self._sign(claims), now, now + ACCESS_SECONDS)

    def _sign(self, claims: dict[str, Any]) -> str:
        return jwt.encode(claims, self._private, ALGORITHM, headers={"kid": self.key_id})


def _key_in(folder: Path) -> rsa.RSAPrivateKey:
    """The key kept in ``folder``, made if there is none; of several processes at once, one makes it."""
    path = folder / "key.pem"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        _create_key(path)
    for one in (folder, path):
        if S_IMODE(one.stat().st_mode) & 0o077:
            raise AuthorityKeyError(f"{one} is open to other users: run `chmod go= {one}`")
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < _KEY_BITS:
        raise AuthorityKeyError(f"{path} is no RSA key of {_KEY_BITS} bits or more: remove it, and one is made")
    return key


def _create_key(path: Path) -> None:
    """Put a new key at ``path``, unless there is one by then: it appears whole, and never open to others."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    descriptor, aside = tempfile.mkstemp(prefix="key-", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(descriptor)
        path.hardlink_to(aside)
    except FileExistsError:
        pass  # another process was first: its key is the one
    finally:
        Path(aside).unlink()


def _thumbprint(jwk: dict[str, str]) -> str:
    """RFC 7638: the SHA-256 of the key's JSON with sorted names and without spaces."""
    digest = hashlib.sha256(msgspec.json.encode(jwk, order="sorted")).digest()
    return jwt.utils.base64url_encode(digest).decode()
