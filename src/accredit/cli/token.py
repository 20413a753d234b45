"""``accredit token``: a token of the local authority, for development and tests."""

from typing import Annotated
from uuid import UUID

import typer

from accredit.cli import exits
from accredit.cli.local import authority_and_identity, service_url
from accredit.cli.options import DatabaseUrl, Home, server_extra, settings_from_flags


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
    if audience is None and not settings.audiences:
        exits.fail(exits.USAGE, "give --audience: ACCREDIT_AUDIENCES names none")
    authority, found = authority_and_identity(
        settings, partner=partner, user=user, application=application, app_only=app_only
    )
    with server_extra():
        from accredit.identity.authority import RefreshGrant
    audience = audience or settings.audiences[0]
    base_url = service_url(settings)
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
