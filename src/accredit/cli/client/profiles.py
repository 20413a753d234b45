"""``accredit profiles``: the endpoints that one works with, by name."""

from typing import TYPE_CHECKING, Annotated

import typer

from accredit.cli import exits
from accredit.cli.client import output
from accredit.cli.client.options import Output
from accredit.cli.client.output import Format

if TYPE_CHECKING:
    from collections.abc import Callable

    from accredit.cli.client.config import Config

app = typer.Typer(name="profiles", help="Endpoints that you work with, by name.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The profile's name.", show_default=False)]


@app.command("list")
def list_profiles(shape: Output = Format.TABLE) -> None:
    """The profiles, and which is the current one."""
    from accredit.cli.client import config

    try:
        settings = config.load()
    except config.ConfigError as error:
        exits.fail(exits.USAGE, str(error))
    records = [
        {
            "name": name,
            "current": name == settings.current,
            "endpoint": profile.endpoint,
            "login": profile.login.kind if profile.login else None,
            "user": profile.login.user if profile.login else None,
        }
        for name, profile in settings.profiles.items()
    ]
    output.write(records, ("name", "current", "endpoint", "login", "user"), shape)


@app.command()
def add(
    name: Name,
    endpoint: Annotated[str, typer.Argument(help="global, china (21Vianet), or a URL.", show_default=False)],
) -> None:
    """Add a profile. Log in with `accredit login --profile NAME`."""
    from accredit.cli.client import config

    def added(settings: "Config") -> "Config":
        if name in settings.profiles:
            raise config.ConfigError(f"there is a profile {name} already: remove it first")
        return settings.with_profile(name, config.Profile(config.endpoint(endpoint)))

    _change(added)


@app.command()
def use(name: Name) -> None:
    """Make a profile the current one."""
    from dataclasses import replace

    def used(settings: "Config") -> "Config":
        settings.profile(name)
        return replace(settings, current=name)

    _change(used)


@app.command()
def remove(name: Name) -> None:
    """Remove a profile. Log out of it first: its tokens are not touched here."""
    from accredit.cli.client import config

    def removed(settings: "Config") -> "Config":
        login = settings.profile(name).login
        if login is not None and login.kind == "entra":
            raise config.ConfigError(f"{login.user} is logged in there: `accredit logout --profile {name}` first")
        return settings.without_profile(name)

    _change(removed)


def _change(change: "Callable[[Config], Config]") -> None:
    from accredit.cli.client import config

    try:
        config.save(change(config.load()))
    except config.ConfigError as error:
        exits.fail(exits.USAGE, str(error))
