"""The command line. Importing it is quick: what a command needs is imported when the command runs."""

from typing import Annotated

import typer

from accredit import __version__
from accredit.cli import domain, registry, review, seed, token, vet
from accredit.cli.client import codes, customers, login, profiles, qualifications
from accredit.cli.options import (
    Audiences,
    DatabaseUrl,
    Home,
    Host,
    Issuers,
    LogFormat,
    Port,
    RequireMfa,
    server_extra,
    settings_from_flags,
)

app = typer.Typer(
    name="accredit",
    help="Customer qualifications, vetted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # it may print what variables hold
    rich_markup_mode=None,  # rich would take half the time that help takes, for its frames
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command()(login.login)
app.command()(login.logout)
app.command()(login.whoami)
app.add_typer(profiles.app)
app.add_typer(customers.app)
app.add_typer(qualifications.app)
app.command(epilog=qualifications.UPDATE_EXAMPLES)(qualifications.update)
app.command(epilog=qualifications.WATCH_EXAMPLE)(qualifications.watch)
app.add_typer(codes.app)
app.command()(token.token)
app.command()(seed.seed)
app.command()(vet.vet)
app.add_typer(review.app)
app.add_typer(registry.app)
app.add_typer(domain.app)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"accredit {__version__}")
        raise typer.Exit


@app.callback()
def _accredit(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def serve(
    home: Home = None,
    database_url: DatabaseUrl = None,
    host: Host = None,
    port: Port = None,
    log_format: LogFormat = None,
    issuers: Issuers = None,
    audiences: Audiences = None,
    require_mfa: RequireMfa = None,
    demo: Annotated[bool, typer.Option("--demo", help="Register the demo data.")] = False,
    api_processes: Annotated[int, typer.Option(min=1, help="How many API processes to run.")] = 1,
) -> None:
    """Run the whole service: database, API and worker."""
    settings = settings_from_flags(
        home=home,
        database_url=database_url,
        host=host,
        port=port,
        log_format=log_format,
        issuers=issuers,
        audiences=audiences,
        require_mfa=require_mfa,
    )
    with server_extra():
        from accredit.cli import serve as parts
    parts.serve(settings, demo=demo, api_processes=api_processes)


@app.command()
def api(
    home: Home = None,
    database_url: DatabaseUrl = None,
    host: Host = None,
    port: Port = None,
    log_format: LogFormat = None,
    issuers: Issuers = None,
    audiences: Audiences = None,
    require_mfa: RequireMfa = None,
    fd: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run one API process. Any number may run over one database."""
    settings = settings_from_flags(
        home=home,
        database_url=database_url,
        host=host,
        port=port,
        log_format=log_format,
        issuers=issuers,
        audiences=audiences,
        require_mfa=require_mfa,
    )
    with server_extra():
        from accredit.cli import serve as parts
    parts.api(settings, fd=fd)


@app.command()
def worker(home: Home = None, database_url: DatabaseUrl = None, log_format: LogFormat = None) -> None:
    """Run one vetting worker. Any number may run over one database."""
    settings = settings_from_flags(home=home, database_url=database_url, log_format=log_format)
    with server_extra():
        from accredit.cli import serve as parts
    parts.worker(settings)


@app.command()
def migrate(home: Home = None, database_url: DatabaseUrl = None, log_format: LogFormat = None) -> None:
    """Bring the database to this version's schema."""
    settings = settings_from_flags(home=home, database_url=database_url, log_format=log_format)
    with server_extra():
        from accredit.cli import serve as parts
    parts.migrate_command(settings)


def main() -> None:
    """The entry point of ``accredit``."""
    app()
