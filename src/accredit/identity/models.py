"""Who is calling, as contract section 2 reads it from an access token."""

from dataclasses import dataclass
from uuid import UUID

WRITER_ROLES = frozenset({"AdminAgent", "SalesAgent"})


@dataclass(frozen=True, slots=True)
class Caller:
    """The partner, application and (for an App+User token) user behind a request.

    ``expires_at`` is the token's ``exp`` in seconds since the epoch.
    """

    partner_id: UUID
    user_id: str | None
    user_principal_name: str | None
    application_id: str | None
    app_only: bool
    mfa: bool
    roles: frozenset[str]
    expires_at: float

    @property
    def may_write(self) -> bool:
        """Writes need the role ``AdminAgent`` or ``SalesAgent``."""
        return not WRITER_ROLES.isdisjoint(self.roles)
