"""The rate limits at the door: who is known may pass if there was not too much of them within the last minute."""

from typing import Protocol
from uuid import UUID

from accredit.identity.models import Caller
from accredit.limits.limiter import Limiter
from accredit.limits.models import RateLimitedError
from accredit.wire.errors import ApiError
from accredit.wire.exchange import Exchange


class Identity(Protocol):
    """Tells who is calling, and whether they may. Raises ``ApiError`` (401, 403, 503)."""

    async def admit(self, exchange: Exchange, *, writes: bool, role: str | None) -> Caller: ...


class LimitedGate:
    """A gate for operations: ``identity`` first, then the limits of contract section 9."""

    def __init__(self, identity: Identity, limiter: Limiter) -> None:
        self._identity = identity
        self._limiter = limiter

    async def admit(
        self, exchange: Exchange, *, writes: bool, customer_id: UUID | None, role: str | None = None
    ) -> Caller:
        """The caller. Raises ``ApiError`` as ``identity`` does, and 429."""
        caller = await self._identity.admit(exchange, writes=writes, role=role)
        try:
            await self._limiter.admit(caller.partner_id, customer_id)
        except RateLimitedError as error:
            raise ApiError.rate_limited(error.retry_after) from None
        return caller
