"""HTTP for the local authority: the token endpoints of Entra ID, v1 and v2, with RFC 6749's grants and errors."""

import asyncio
import base64
import re
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import parse_qsl, unquote_plus, urlsplit
from uuid import UUID

import msgspec
from litestar import Request, Response, get, post
from litestar.exceptions.http_exceptions import InternalServerException, RequestEntityTooLarge
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from accredit.identity.authority import (
    ACCESS_SECONDS,
    LocalAuthority,
    RefreshGrant,
    RefreshTokenError,
    Version,
)
from accredit.identity.models import Directory
from accredit.identity.secrets import NO_SECRET, verify_secret
from accredit.identity.tokens import ALGORITHM, USER_IMPERSONATION
from accredit.wire.exchange import JSON, parse_guid

Grant = Literal["client_credentials", "refresh_token"]
GRANTS: Final[tuple[Grant, ...]] = ("client_credentials", "refresh_token")
ErrorCode = Literal[
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unsupported_grant_type",
    "invalid_scope",
    "invalid_target",
]
DEFAULT_SCOPE: Final = ".default"

LARGEST_FORM: Final = 64 * 1024
"""Bytes of a token request's body."""
_SECRETS_AT_ONCE = 2  # each takes 16 MiB
_FORM_TYPE = "application/x-www-form-urlencoded"
_OPENID_SCOPES = frozenset({"openid", "profile", "email", "offline_access"})
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
# RFC 6749 section 5.1: nobody may keep what answers a token request.
_NOT_KEPT = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class TokenAnswer(msgspec.Struct, omit_defaults=True, kw_only=True):
    """RFC 6749 section 5.1. The last three are Entra v1's own: seconds since the epoch, and the audience."""

    token_type: str
    expires_in: int
    access_token: str
    refresh_token: str | None = None
    scope: str | None = None
    expires_on: str | None = None
    not_before: str | None = None
    resource: str | None = None


class TokenRefusal(msgspec.Struct):
    """RFC 6749 section 5.2."""

    error: ErrorCode
    error_description: str


class DiscoveryDocument(msgspec.Struct, kw_only=True):
    """OpenID Connect Discovery 1.0 section 3, as far as the authority goes: nobody can log in at it."""

    issuer: str
    token_endpoint: str
    jwks_uri: str
    grant_types_supported: tuple[str, ...] = GRANTS
    response_types_supported: tuple[str, ...] = ()
    subject_types_supported: tuple[str, ...] = ("public",)
    id_token_signing_alg_values_supported: tuple[str, ...] = (ALGORITHM,)
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_post", "client_secret_basic")


@dataclass(slots=True, eq=False)
class OAuthError(Exception):
    """A refusal by the authority. ``basic``: the client used HTTP Basic, so the answer challenges it to."""

    code: ErrorCode
    description: str
    status: int = 400
    basic: bool = False


def authority_routes(authority: LocalAuthority, directory: Directory) -> list[HTTPRouteHandler]:
    """The handlers of the local authority, for partners and applications of ``directory``."""
    tokens = _TokenEndpoint(authority, directory)

    @post("/{tenant:str}/oauth2/token", name="TokenV1", **_HANDLER)
    async def token_v1(request: Request[Any, Any, Any], tenant: FromPath[str]) -> Response[bytes]:
        """Issue a v1 token, for a ``resource``."""
        return await tokens.answer(request, tenant, "1.0")

    @post("/{tenant:str}/oauth2/v2.0/token", name="TokenV2", **_HANDLER)
    async def token_v2(request: Request[Any, Any, Any], tenant: FromPath[str]) -> Response[bytes]:
        """Issue a v2 token, for a ``scope``."""
        return await tokens.answer(request, tenant, "2.0")

    @get("/{tenant:str}/.well-known/openid-configuration", name="DiscoveryV1", **_HANDLER)
    async def discovery_v1(request: Request[Any, Any, Any], tenant: FromPath[str]) -> Response[bytes]:
        """Tell where the authority's v1 endpoints are."""
        return await discovery(request, tenant, "1.0")

    @get("/{tenant:str}/v2.0/.well-known/openid-configuration", name="DiscoveryV2", **_HANDLER)
    async def discovery_v2(request: Request[Any, Any, Any], tenant: FromPath[str]) -> Response[bytes]:
        """Tell where the authority's v2 endpoints are."""
        return await discovery(request, tenant, "2.0")

    async def discovery(request: Request[Any, Any, Any], tenant: str, version: Version) -> Response[bytes]:
        partner_id = await _partner(directory, tenant)
        base_url = _base_url(request)
        infix = "/v2.0" if version == "2.0" else ""
        document = DiscoveryDocument(
            issuer=authority.issuer(base_url, partner_id, version),
            token_endpoint=f"{base_url}/{partner_id}/oauth2{infix}/token",
            jwks_uri=f"{base_url}/{partner_id}/discovery{infix}/keys",
        )
        return _json(document)

    @get(["/{tenant:str}/discovery/v2.0/keys", "/{tenant:str}/discovery/keys"], name="Keys", **_HANDLER)
    async def keys(tenant: FromPath[str]) -> Response[bytes]:
        """Publish the key that tokens are signed with."""
        await _partner(directory, tenant)
        return _json(authority.jwks())

    return [token_v1, token_v2, discovery_v1, discovery_v2, keys]


class _TokenEndpoint:
    """Authenticates clients and answers their token requests."""

    def __init__(self, authority: LocalAuthority, directory: Directory) -> None:
        self._authority = authority
        self._directory = directory
        self._verifying = asyncio.Semaphore(_SECRETS_AT_ONCE)

    async def answer(self, request: Request[Any, Any, Any], tenant: str, version: Version) -> Response[bytes]:
        """Answer a token request. Raises :class:`OAuthError`."""
        form = await _form(request)
        base_url = _base_url(request)
        grant = _grant(form)
        partner_id = await _partner(self._directory, tenant)
        application_id = await self._authenticated_client(request, form, partner_id)
        audience = _resource(form) if version == "1.0" else _resource_of_scope(form, grant)
        refresh_token = scope = None
        if grant == "client_credentials":
            token = self._authority.issue_app_only(
                partner_id=partner_id,
                application_id=application_id,
                audience=audience,
                base_url=base_url,
                version=version,
            )
        else:
            redeemed = self._redeem(_required(form, "refresh_token"), partner_id, application_id)
            user = await self._directory.user(partner_id, redeemed.user_id)
            if user is None:
                raise OAuthError("invalid_grant", "The refresh token's user is no longer registered.")
            token = self._authority.issue_app_user(
                user,
                partner_id=partner_id,
                application_id=application_id,
                audience=audience,
                base_url=base_url,
                mfa=redeemed.mfa,
                version=version,
            )
            refresh_token = self._authority.issue_refresh_token(redeemed)
            scope = USER_IMPERSONATION if version == "1.0" else f"{audience}/{USER_IMPERSONATION}"
        answer = TokenAnswer(
            token_type="Bearer",  # noqa: S106
            expires_in=ACCESS_SECONDS,
            access_token=token.text,
            refresh_token=refresh_token,
            scope=scope,
        )
        if version == "1.0":
            answer.expires_on, answer.not_before = str(token.expires_on), str(token.not_before)
            answer.resource = audience
        return _json(answer, _NOT_KEPT)

    def _redeem(self, token: str, partner_id: UUID, application_id: UUID) -> RefreshGrant:
        try:
            grant = self._authority.redeem_refresh_token(token)
        except RefreshTokenError as error:
            raise OAuthError("invalid_grant", str(error)) from None
        if (grant.partner_id, grant.application_id) != (partner_id, application_id):
            raise OAuthError("invalid_grant", "The refresh token was issued to another application.")
        return grant

    async def _authenticated_client(
        self, request: Request[Any, Any, Any], form: dict[str, str], partner_id: UUID
    ) -> UUID:
        """The application, by its ID and secret in the form or in HTTP Basic (RFC 6749 section 2.3.1)."""
        authorization = request.headers.get("authorization")
        basic = authorization is not None
        client_id, secret = form.get("client_id"), form.get("client_secret")
        if authorization is not None:
            if secret is not None:
                raise OAuthError("invalid_request", "The client authenticates in two ways at once.")
            basic_id, secret = _basic_credentials(authorization)
            if client_id not in (None, basic_id):
                raise OAuthError("invalid_request", "client_id is not the client that authenticates.")
            client_id = basic_id
        if not client_id or not secret:
            raise OAuthError("invalid_client", "The client does not authenticate.", 401, basic)
        application_id = parse_guid(client_id)
        stored = None
        if application_id is not None:
            stored = await self._directory.application_secret(partner_id, application_id)
        # As much work, and the same answer, whether the client or the secret is wrong.
        async with self._verifying:
            verified = await asyncio.to_thread(verify_secret, secret, stored or NO_SECRET)
        if application_id is None or not verified:
            raise OAuthError("invalid_client", "There is no such client with this secret.", 401, basic)
        return application_id


async def _form(request: Request[Any, Any, Any]) -> dict[str, str]:
    """The fields of a form, without those that are empty (RFC 6749 section 3.2). Raises :class:`OAuthError`."""
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != _FORM_TYPE:
        raise OAuthError("invalid_request", f"The header Content-Type is not {_FORM_TYPE}.")
    try:
        body = await request.body()
    except InternalServerException:  # Litestar's word for a caller that went away; no fault of ours
        raise OAuthError("invalid_request", "The request ended within its body.") from None
    try:
        fields = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise OAuthError("invalid_request", "The body is not a form in UTF-8.") from None
    form = dict(fields)
    if len(form) < len(fields):
        raise OAuthError("invalid_request", "A field comes more than once.")
    return {name: value for name, value in form.items() if value}


def _required(form: dict[str, str], name: str) -> str:
    if name not in form:
        raise OAuthError("invalid_request", f"The field {name} is missing.")
    return form[name]


def _grant(form: dict[str, str]) -> Grant:
    wanted = _required(form, "grant_type")
    for grant in GRANTS:
        if grant == wanted:
            return grant
    raise OAuthError("unsupported_grant_type", f"grant_type is none of {', '.join(GRANTS)}.")


def _resource(form: dict[str, str]) -> str:
    """The audience that a v1 request names. Raises :class:`OAuthError`."""
    resource = _required(form, "resource")
    if not _is_absolute(resource):
        raise OAuthError("invalid_target", "resource is not an absolute URL without a fragment.")
    return resource


def _resource_of_scope(form: dict[str, str], grant: Grant) -> str:
    """The audience of the one resource scope in a v2 request. Raises :class:`OAuthError`."""
    permissions = [DEFAULT_SCOPE] if grant == "client_credentials" else [DEFAULT_SCOPE, USER_IMPERSONATION]
    scopes = set(_required(form, "scope").split()) - _OPENID_SCOPES
    if len(scopes) != 1:
        raise OAuthError("invalid_scope", "scope does not name exactly one permission of a resource.")
    resource, _, permission = scopes.pop().rpartition("/")
    if permission not in permissions or not _is_absolute(resource):
        raise OAuthError("invalid_scope", f"scope is not a resource's URL followed by /{' or /'.join(permissions)}.")
    return resource


def _is_absolute(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return bool(parts.scheme and parts.netloc) and "#" not in url and url.isascii() and url.isprintable()


def _basic_credentials(authorization: str) -> tuple[str, str]:
    """Client ID and secret of an ``Authorization`` header. Raises :class:`OAuthError`."""
    scheme, _, encoded = authorization.partition(" ")
    try:
        client_id, colon, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        if scheme.lower() == "basic" and colon:
            return unquote_plus(client_id, errors="strict"), unquote_plus(secret, errors="strict")
    except ValueError:
        pass
    raise OAuthError("invalid_client", "The header Authorization is not HTTP Basic.", 401, basic=True)


async def _partner(directory: Directory, tenant: str) -> UUID:
    partner_id = parse_guid(tenant)
    if partner_id is None or not await directory.is_partner(partner_id):
        raise OAuthError("invalid_request", "Tenant not found: the path does not name a registered partner.")
    return partner_id


def _base_url(request: Request[Any, Any, Any]) -> str:
    """Where the client reaches us. Raises :class:`OAuthError` for a ``Host`` that is none."""
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        raise OAuthError("invalid_request", "The header Host is malformed.")
    return f"{request.scope['scheme']}://{host.lower()}"


def _json(value: Any, headers: dict[str, str] | None = None, status: int = 200) -> Response[bytes]:
    return Response(msgspec.json.encode(value), status_code=status, media_type=JSON, headers=headers)


def _on_refusal(_: Request[Any, Any, Any], error: OAuthError) -> Response[bytes]:
    headers = dict(_NOT_KEPT)
    if error.status == 401 and error.basic:
        headers["WWW-Authenticate"] = 'Basic realm="accredit", charset="UTF-8"'
    return _json(TokenRefusal(error.code, error.description), headers, error.status)


def _on_too_large(_: Request[Any, Any, Any], __: RequestEntityTooLarge) -> Response[bytes]:
    refusal = TokenRefusal("invalid_request", f"The body is over {LARGEST_FORM} bytes.")
    # The rest of the body is not read, so the connection cannot serve another request.
    return _json(refusal, {**_NOT_KEPT, "Connection": "close"}, 413)


_HANDLER: dict[str, Any] = {
    "status_code": 200,
    "request_max_body_size": LARGEST_FORM,
    "exception_handlers": {OAuthError: _on_refusal, RequestEntityTooLarge: _on_too_large},
}
