"""``accredit seed``: registers partners, customers and validation codes from a file."""

from pathlib import Path
from typing import Annotated

import typer

from accredit.cli import exits
from accredit.cli.options import DatabaseUrl, Home, server_extra, settings_from_flags


def seed(
    file: Annotated[Path | None, typer.Argument(help="The seed file, JSON; `-` for standard input.")] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Register the demo data that comes with accredit.")] = False,
    home: Home = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Register partners and all that is theirs: everything in the file, or nothing. Doing it again is harmless."""
    if (file is None) == (not demo):
        exits.fail(exits.USAGE, "give either a seed file or --demo")
    settings = settings_from_flags(home=home, database_url=database_url)
    with server_extra():
        from accredit.cli.database import explained, open_database
        from accredit.partners import seed as seeding
    try:
        content = seeding.demo() if file is None else _read(file)
        parsed = seeding.parse(content)
        with explained(settings), open_database(settings) as url:
            registered = seeding.register(url, parsed)
    except seeding.SeedError as error:
        exits.fail(exits.INPUT_REFUSED, f"{file or 'demo'}: {error}. Nothing was registered.")
    typer.echo(
        f"registered {registered.partners} partners, {registered.customers} customers, "
        f"{registered.validation_codes} validation codes"
    )


def _read(file: Path) -> bytes:
    try:
        return typer.get_binary_stream("stdin").read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        exits.fail(exits.INPUT_REFUSED, f"{file}: {error.strerror}")
