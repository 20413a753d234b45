"""Who may call what: contract section 2, once the token is read."""

from collections.abc import Collection
from typing import Protocol
from uuid import UUID

from accredit.identity.models import Caller
from accredit.wire.errors import APP_ONLY_REFUSED, MFA_REQUIRED, ROLE_REQUIRED, ApiError
from accredit.wire.exchange import Exchange


class Verifier(Protocol):
    """Reads a token. ``cached`` answers without waiting, where it can."""

    def cached(self, authorization: str | None) -> Caller | None: ...

    async def verify(self, authorization: str | None) -> Caller: ...


class TokenGate:
    """Admits callers by their tokens.

    ``reviewer_tenants``: whose users may be reviewers; ``None``: those whose roles the local authority vouches for. A
    partner's own tenant gives its users what roles it likes, and no partner may decide on its own customers.
    """

    def __init__(
        self, verifier: Verifier, *, require_mfa: bool, reviewer_tenants: Collection[UUID] | None = None
    ) -> None:
        self._verifier = verifier
        self._require_mfa = require_mfa
        self._reviewer_tenants = reviewer_tenants

    async def admit(self, exchange: Exchange, *, writes: bool, role: str | None = None) -> Caller:
        """The caller. Raises ``ApiError``: 401 of the token; 403 / 900329, 900308, 900150, in this order.

        Answers ``ValidateMfa`` on the way, also where the call is refused.
        """
        authorization = exchange.headers.get("authorization")
        caller = self._verifier.cached(authorization) or await self._verifier.verify(authorization)
        exchange.log["partner_id"] = str(caller.partner_id)
        if exchange.headers.get("validatemfa", "").lower() == "true":
            exchange.answer_headers.append((b"isMfaCompliant", b"true" if caller.mfa else b"false"))
        if caller.app_only:
            if writes or role:
                raise ApiError(APP_ONLY_REFUSED, "This operation takes App+User tokens, not app-only ones.")
            return caller
        if self._require_mfa and not caller.mfa:
            raise ApiError(MFA_REQUIRED, "The token does not say that the user passed multi-factor authentication.")
        if role:
            if role not in caller.roles or not self._is_trusted(caller):
                raise ApiError(ROLE_REQUIRED, f"The user is not a {role}, or of a tenant that may have none.")
        elif writes and not caller.may_write:
            raise ApiError(ROLE_REQUIRED, "The user is neither AdminAgent nor SalesAgent.")
        return caller

    def _is_trusted(self, caller: Caller) -> bool:
        """Whether the caller's tenant may give roles that reach beyond its own customers."""
        return caller.local if self._reviewer_tenants is None else caller.partner_id in self._reviewer_tenants
