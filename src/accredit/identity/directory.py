"""Partners, applications and users in the database, for those who verify or issue tokens."""

from dataclasses import dataclass
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow

from accredit.database.pool import Pool, fetch
from accredit.identity.models import WRITER_ROLES, Directory, DirectoryUser

_PARTNER = "SELECT FROM partners WHERE id = %s"
_SECRET = "SELECT secret_hash FROM applications WHERE partner_id = %s AND id = %s"  # noqa: S105
_USER = "SELECT id, upn, roles FROM users WHERE partner_id = %s AND id = %s"

# A parameter that is null leaves the choice to the order.
_FIND_PARTNER = """
SELECT id FROM partners WHERE %(id)s::uuid IS NULL OR id = %(id)s ORDER BY created_at, id LIMIT 1
"""
_FIND_APPLICATION = """
SELECT id FROM applications
WHERE partner_id = %(partner_id)s AND (%(id)s::uuid IS NULL OR id = %(id)s)
ORDER BY id LIMIT 1
"""
_FIND_USER = """
SELECT id, upn, roles FROM users
WHERE partner_id = %(partner_id)s AND (%(upn)s::text IS NULL OR lower(upn) = lower(%(upn)s))
ORDER BY roles && %(writer_roles)s DESC, upn LIMIT 1
"""


class PoolDirectory(Directory):
    """The directory over a pool of connections, which has to be open.

    All methods raise ``psycopg.OperationalError`` or ``psycopg_pool.PoolTimeout`` after the pool's timeout.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def is_partner(self, partner_id: UUID) -> bool:
        return bool(await fetch(self._pool, _PARTNER, (partner_id,), timeout=self._pool.timeout))

    async def application_secret(self, partner_id: UUID, application_id: UUID) -> str | None:
        rows = await fetch(self._pool, _SECRET, (partner_id, application_id), timeout=self._pool.timeout)
        return str(rows[0][0]) if rows else None

    async def user(self, partner_id: UUID, user_id: UUID) -> DirectoryUser | None:
        rows = await fetch(self._pool, _USER, (partner_id, user_id), timeout=self._pool.timeout)
        return _user(rows[0]) if rows else None


class NotInDirectoryError(LookupError):
    """There is no such partner, application or user; the message says which."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a token is for. ``user`` is ``None`` for an app-only one."""

    partner_id: UUID
    application_id: UUID
    user: DirectoryUser | None


def find_identity(
    url: str, *, partner_id: UUID | None, application_id: UUID | None, upn: str | None, app_only: bool
) -> Identity:
    """Find whom to make a token for in the database at ``url``.

    What is ``None`` is chosen: the partner registered first, its first application, its first user (by ``upn``) of
    those with a writer's role or, without such, of all. Raises :class:`NotInDirectoryError`, ``psycopg.Error``.
    """
    with psycopg.connect(url, connect_timeout=10) as connection:
        partner = connection.execute(_FIND_PARTNER, {"id": partner_id}).fetchone()
        if partner is None:
            raise NotInDirectoryError(_missing("partner", partner_id, "in this database"))
        application = connection.execute(_FIND_APPLICATION, {"partner_id": partner[0], "id": application_id}).fetchone()
        if application is None:
            raise NotInDirectoryError(_missing("application", application_id, f"of partner {partner[0]}"))
        if app_only:
            return Identity(partner[0], application[0], None)
        user = connection.execute(
            _FIND_USER, {"partner_id": partner[0], "upn": upn, "writer_roles": sorted(WRITER_ROLES)}
        ).fetchone()
        if user is None:
            raise NotInDirectoryError(_missing("user", upn, f"of partner {partner[0]}"))
        return Identity(partner[0], application[0], _user(user))


def _missing(what: str, name: object, where: str) -> str:
    return f"there is no {what} {where}" if name is None else f"there is no {what} {name} {where}"


def _user(row: TupleRow) -> DirectoryUser:
    identifier, upn, roles = row
    return DirectoryUser(identifier, upn, tuple(roles))
