"""The local authority of this machine's home folder, for the commands that make its tokens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from accredit.cli import exits
from accredit.cli.options import server_extra

if TYPE_CHECKING:
    from accredit.identity.authority import LocalAuthority
    from accredit.identity.directory import Identity
    from accredit.settings import Settings


def authority_and_identity(
    settings: Settings, *, partner: UUID | None, user: str | None, application: UUID | None, app_only: bool
) -> tuple[LocalAuthority, Identity]:
    """The authority, and whom to make a token for; what is ``None`` is chosen.

    Leaves with ``exits.REFUSED`` where the authority is off, ``exits.NOT_FOUND`` where there is no such identity.
    """
    if not settings.local_authority_enabled:
        exits.fail(exits.REFUSED, "the local authority is off: see ACCREDIT_LOCAL_AUTHORITY")
    with server_extra():
        from accredit.cli.database import open_database
        from accredit.identity.authority import AuthorityKeyError, LocalAuthority
        from accredit.identity.directory import NotInDirectoryError, find_identity
    try:
        authority = LocalAuthority(settings.home)
        with open_database(settings) as url:
            found = find_identity(url, partner_id=partner, application_id=application, upn=user, app_only=app_only)
    except (AuthorityKeyError, OSError) as error:
        exits.fail(exits.FAILED, str(error))
    except NotInDirectoryError as error:
        exits.fail(exits.NOT_FOUND, str(error))
    return authority, found


def service_url(settings: Settings) -> str:
    """Where the service is: as ``accredit serve`` noted it in the home, else as the settings have it."""
    import msgspec

    class Service(msgspec.Struct):
        url: str

    try:
        return msgspec.json.decode(Path(settings.home, "service.json").read_bytes(), type=Service).url
    except (OSError, msgspec.DecodeError):
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        return f"http://{host}:{settings.port}"
