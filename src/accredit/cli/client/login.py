"""``accredit login``, ``logout`` and ``whoami``."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from accredit.cli import exits
from accredit.cli.client import output
from accredit.cli.client.options import Output, Profile
from accredit.cli.client.output import Format
from accredit.cli.options import Home, settings_from_flags

if TYPE_CHECKING:
    from accredit.cli.client.config import EntraLogin, LocalLogin


def login(
    endpoint: Annotated[
        str | None, typer.Option(help="The endpoint: global, china (21Vianet), or a URL. Absent: the profile's.")
    ] = None,
    profile: Profile = None,
    client_id: Annotated[
        UUID | None, typer.Option(help="Your application in Entra ID, registered for Partner Center's API.")
    ] = None,
    tenant: Annotated[str, typer.Option(help="Your tenant, by ID or domain.")] = "organizations",
    device_code: Annotated[
        bool, typer.Option("--device-code", help="Log in on another device, by a code, instead of in a browser here.")
    ] = False,
    authority: Annotated[
        str | None, typer.Option(help="Entra ID's URL without the tenant, for clouds other than the endpoint's.")
    ] = None,
    unencrypted: Annotated[
        bool, typer.Option("--unencrypted", help="Where there is no keyring, keep the tokens in a file of mode 0600.")
    ] = False,
    local: Annotated[
        bool, typer.Option("--local", help="Log in at the local authority of a service on this machine.")
    ] = False,
    home: Home = None,
    partner: Annotated[UUID | None, typer.Option(help="With --local: the partner. Absent: the first.")] = None,
    user: Annotated[
        str | None, typer.Option(help="With --local: the user, by UPN. Absent: the first with a writer's role.")
    ] = None,
) -> None:
    """Log in, and remember it as a profile.

    The profile is the one of --profile, else `local` with --local, else the current one or, where there is none yet,
    `default`. It becomes the current one.
    """
    if local and (client_id or device_code or authority or unencrypted):
        exits.fail(exits.USAGE, "--local goes without --client-id, --device-code, --authority and --unencrypted")
    if not local and (partner or user or home):
        exits.fail(exits.USAGE, "--home, --partner and --user go with --local")
    from dataclasses import replace

    from accredit.cli.client import config
    from accredit.cli.client.config import ConfigError

    try:
        settings = config.load()
        name = profile or ("local" if local else settings.current or "default")
        before = settings.profiles.get(name)
        done: LocalLogin | EntraLogin
        if local:
            url, done = _log_in_locally(endpoint, home, partner, user)
        else:
            url = config.endpoint(endpoint or (before.endpoint if before else "global"))
            if client_id is None and before is not None and before.login is not None and before.login.kind == "entra":
                client_id = UUID(before.login.client_id)
            done = _log_in_with_entra(url, client_id, tenant, authority, device_code, unencrypted)
        config.save(replace(settings.with_profile(name, config.Profile(url, done)), current=name))
    except ConfigError as error:
        exits.fail(exits.USAGE, str(error))
    typer.echo(f"logged in at {url} as {done.user}; profile {name}", err=True)


def _log_in_locally(
    endpoint: str | None, home: Any, partner: UUID | None, user: str | None
) -> "tuple[str, LocalLogin]":
    from accredit.cli.client import config
    from accredit.cli.local import authority_and_identity, service_url

    settings = settings_from_flags(home=home)
    if not settings.audiences:
        exits.fail(exits.USAGE, "ACCREDIT_AUDIENCES names no audience")
    _, found = authority_and_identity(settings, partner=partner, user=user, application=None, app_only=False)
    if found.user is None:
        exits.fail(exits.NOT_FOUND, f"partner {found.partner_id} has no user")
    return config.endpoint(endpoint or service_url(settings)), config.LocalLogin(
        home=str(settings.home.resolve()),
        partner_id=str(found.partner_id),
        application_id=str(found.application_id),
        user_id=str(found.user.id),
        user=found.user.upn,
        roles=tuple(found.user.roles),
        audience=settings.audiences[0],
    )


def _log_in_with_entra(
    url: str, client_id: UUID | None, tenant: str, authority: str | None, device_code: bool, unencrypted: bool
) -> "EntraLogin":
    if client_id is None:
        exits.fail(
            exits.USAGE,
            "give --client-id: the ID of an application of yours in Entra ID that may use Partner Center's API "
            "(a public client, with http://localhost as redirect URI)",
        )
    from accredit.cli.client import credentials
    from accredit.cli.client.config import EntraLogin
    from accredit.cli.client.connection import explained
    from accredit.client._settings import Endpoint

    where = f"{(authority or credentials.default_authority(url)).rstrip('/')}/{tenant}"
    with explained():
        app = credentials.application(str(client_id), where, unencrypted=unencrypted)
        account = credentials.log_in(
            app, Endpoint.of(url).default_scope, device_code=device_code, say=lambda text: typer.echo(text, err=True)
        )
    return EntraLogin(str(client_id), where, account["home_account_id"], account["username"], unencrypted)


def logout(profile: Profile = None) -> None:
    """Forget a profile's login, its tokens too. The profile's endpoint stays."""
    from dataclasses import replace

    from accredit.cli.client import config, credentials
    from accredit.cli.client.connection import chosen_profile, explained

    try:
        name, chosen = chosen_profile(profile)
        if name is None or chosen is None or chosen.login is None:
            exits.fail(exits.NOT_SIGNED_IN, "nobody is logged in" + (f" in profile {name}" if name else ""))
        if isinstance(chosen.login, config.EntraLogin):
            with explained():
                credentials.log_out(chosen.login)
        config.save(config.load().with_profile(name, replace(chosen, login=None)))
    except config.ConfigError as error:
        exits.fail(exits.USAGE, str(error))
    typer.echo(f"logged out of {chosen.endpoint}; profile {name} is kept", err=True)


def whoami(profile: Profile = None, shape: Output = Format.TABLE) -> None:
    """Show the endpoint, and what the token says: tenant, user, application, roles, expiry. The token is not shown."""
    from accredit.cli.client.connection import connect, explained
    from accredit.cli.client.credentials import claims
    from accredit.client._settings import Endpoint

    connection = connect(profile)
    with explained():
        token = connection.credential.get_token(Endpoint.of(connection.endpoint).default_scope).token
    said = claims(token)
    if not said:
        exits.fail(exits.NOT_SIGNED_IN, "the token is no JWT: it says nothing of whom it is for")
    record = {
        "profile": connection.profile,
        "endpoint": connection.endpoint,
        "tenant": said.get("tid"),
        "user": said.get("upn") or said.get("preferred_username") or said.get("unique_name"),
        "application": said.get("appid") or said.get("azp"),
        "kind": "App+User" if said.get("scp") else "app-only",
        "roles": said.get("roles") or [],
        "mfa": "mfa" in (said.get("amr") or []),
        "audience": said.get("aud"),
        "expires": datetime.fromtimestamp(said["exp"], UTC).isoformat() if "exp" in said else None,
    }
    output.write_one(record, shape)
