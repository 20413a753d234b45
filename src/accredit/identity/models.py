"""Who is calling, as contract section 2 reads it from an access token, and who is known to the local authority."""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

WRITER_ROLES = frozenset({"AdminAgent", "SalesAgent"})
REVIEWER = "Reviewer"


@dataclass(frozen=True, slots=True)
class Caller:
    """The partner, application and (for an App+User token) user behind a request.

    ``expires_at`` is the token's ``exp`` in seconds since the epoch. ``local``: the local authority made the token, so
    the roles are those that the operator gave; otherwise they are those that the partner's own tenant gave.
    """

    partner_id: UUID
    user_id: str | None
    user_principal_name: str | None
    application_id: str | None
    app_only: bool
    mfa: bool
    roles: frozenset[str]
    expires_at: float
    local: bool = False

    @property
    def may_write(self) -> bool:
        """Writes need the role ``AdminAgent`` or ``SalesAgent``."""
        return not WRITER_ROLES.isdisjoint(self.roles)


@dataclass(frozen=True, slots=True)
class DirectoryUser:
    """A user of a partner, as the local authority puts it into tokens."""

    id: UUID
    upn: str
    roles: tuple[str, ...]


class Directory(Protocol):
    """Partners, and the applications and users that are theirs."""

    async def is_partner(self, partner_id: UUID) -> bool:
        """Whether the partner is registered."""

    async def application_secret(self, partner_id: UUID, application_id: UUID) -> str | None:
        """The hash of the application's secret (``identity.secrets``); ``None`` if there is no such application."""

    async def user(self, partner_id: UUID, user_id: UUID) -> DirectoryUser | None:
        """The user, as they are now; ``None`` if there is no such user."""
