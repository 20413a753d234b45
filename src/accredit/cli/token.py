"""``accredit token``: a token of the local authority, for development and tests."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from accredit.cli import exits
from accredit.cli.options import DatabaseUrl, Home, server_extra, settings_from_flags

if TYPE_CHECKING:
    from accredit.settings import Settings


def token(
    partner: Annotated[UUID | None, typer.Option(help="The partner. Absent: the one registered first.")] = None,
    user: Annotated[
        str | None, typer.Option(help="The user, by UPN. Absent: the partner's first with a writer's role.")
    ] = None,
    application: Annotated[UUID | None, typer.Option(help="The application. Absent: the partner's first.")] = None,
    app_only: Annotated[bool, typer.Option("--app-only", help="An app-only token, of no user.")] = False,
    no_mfa: Annotated[bool, typer.Option("--no-mfa", help="A token of a user who did not pass MFA.")] = False,
    refresh_token: Annotated[
        bool, typer.Option("--refresh-token", help="A refresh token, for the token endpoint.")
    ] = False,
    audience: Annotated[str | None, typer.Option(help="The audience. Absent: the first of ACCREDIT_AUDIENCES.")] = None,
    home: Home = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Print an access token of the local authority, and nothing else."""
    if app_only and (user is not None or no_mfa or refresh_token):
        exits.fail(exits.USAGE, "an app-only token is of no user: not with --user, --no-mfa or --refresh-token")
    settings = settings_from_flags(home=home, database_url=database_url)
    if not settings.local_authority_enabled:
        exits.fail(exits.REFUSED, "the local authority is off: see ACCREDIT_LOCAL_AUTHORITY")
    if audience is None and not settings.audiences:
        exits.fail(exits.USAGE, "give --audience: ACCREDIT_AUDIENCES names none")
    with server_extra():
        from accredit.cli.database import open_database
        from accredit.identity.authority import AuthorityKeyError, LocalAuthority, RefreshGrant
        from accredit.identity.directory import NotInDirectoryError, find_identity
    try:
        authority = LocalAuthority(settings.home)
        with open_database(settings) as url:
            found = find_identity(url, partner_id=partner, application_id=application, upn=user, app_only=app_only)
    except (AuthorityKeyError, OSError) as error:
        exits.fail(exits.FAILED, str(error))
    except NotInDirectoryError as error:
        exits.fail(exits.NOT_FOUND, str(error))
    audience = audience or settings.audiences[0]
    base_url = _base_url(settings)
    if found.user is None:
        made = authority.issue_app_only(
            partner_id=found.partner_id,
            application_id=found.application_id,
            audience=audience,
            base_url=base_url,
        ).text
    elif refresh_token:
        made = authority.issue_refresh_token(
            RefreshGrant(
                partner_id=found.partner_id,
                user_id=found.user.id,
                application_id=found.application_id,
                mfa=not no_mfa,
            )
        )
    else:
        made = authority.issue_app_user(
            found.user,
            partner_id=found.partner_id,
            application_id=found.application_id,
            audience=audience,
            base_url=base_url,
            mfa=not no_mfa,
        ).text
    typer.echo(made)


def _base_url(settings: "Settings") -> str:
    """Where the service is: as ``accredit serve`` noted it in the home, else as the settings have it."""
    import msgspec

    class Service(msgspec.Struct):
        url: str

    try:
        return msgspec.json.decode(Path(settings.home, "service.json").read_bytes(), type=Service).url
    except (OSError, msgspec.DecodeError):
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        return f"http://{host}:{settings.port}"
