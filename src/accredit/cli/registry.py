"""``accredit registry``: the lists of institutions that vetting looks domains up in."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from accredit.cli import exits
from accredit.cli.options import DatabaseUrl, Home, server_extra, settings_from_flags

if TYPE_CHECKING:
    from accredit.registries.models import Format

app = typer.Typer(name="registry", help="Import, list and remove registries of institutions.", no_args_is_help=True)

# The names that people know the formats by, besides the names of the formats.
_ALIASES = {
    "hipo": "universities",
    "world-universities": "universities",
    "university-domains-list": "universities",
    "jetbrains-swot": "swot",
    "cisa": "dotgov",
    "gov": "dotgov",
}
_SHOWN = 5
_EVERY = 1000


@app.command("import")
def import_(
    kind: Annotated[str, typer.Argument(help="universities, swot, dotgov, ror or csv; see docs/registries.md.")],
    source: Annotated[str, typer.Argument(metavar="FILE-OR-URL", help="A file, for swot also a folder, or a URL.")],
    name: Annotated[str | None, typer.Option(help="The registry's name. Absent: its kind.")] = None,
    home: Home = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Import a registry, in place of what one of this name held: all of it or nothing. Doing it again is harmless."""
    settings = settings_from_flags(home=home, database_url=database_url)
    with server_extra():
        from accredit.cli.database import explained, open_database
        from accredit.registries import importing
        from accredit.registries.formats import FormatError
        from accredit.registries.store import NothingImportedError
    format = _format(kind)
    name = name or format
    if not name.isprintable() or not name.strip():
        exits.fail(exits.USAGE, "--name: a registry's name is printable text")
    limits = importing.Limits.of(settings)
    try:
        with explained(settings), open_database(settings) as url, _progress(name) as progress:
            imported = importing.import_registry(url, name, format, source, limits, progress)
    except (FormatError, NothingImportedError, importing.FetchError) as error:
        exits.fail(exits.INPUT_REFUSED, f"{source}: {error}. Nothing was imported.")
    except OSError as error:
        exits.fail(exits.INPUT_REFUSED, f"{source}: {error.strerror or error}. Nothing was imported.")
    for skipped in imported.skipped[:_SHOWN]:
        typer.echo(f"accredit: left out: {skipped}", err=True)
    if len(imported.skipped) > _SHOWN:
        typer.echo(f"accredit: left out: {len(imported.skipped) - _SHOWN} more", err=True)
    if imported.entries is None:
        typer.echo(f"the registry {name} holds this already: nothing changed")
    else:
        typer.echo(f"imported {imported.entries} domains into the registry {name}")


@app.command("list")
def list_registries(
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
    home: Home = None,
    database_url: DatabaseUrl = None,
) -> None:
    """The registries that are imported."""
    settings = settings_from_flags(home=home, database_url=database_url)
    with server_extra():
        import msgspec
        import psycopg

        from accredit.cli.database import explained, open_database
        from accredit.registries import store
    with explained(settings), open_database(settings) as url, psycopg.connect(url) as connection:
        found = store.registries(connection)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("Name", "Kind", "Domains", "Imported", "Version", "Source")
    for one in found:
        imported_at = f"{one.imported_at:%Y-%m-%d %H:%M}"
        table.add_row(one.name, one.format, f"{one.entries:,}", imported_at, one.version[:12], one.source)
    Console(width=None if Console().is_terminal else 240, markup=False, emoji=False).print(table)


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="The registry's name, as `accredit registry list` shows it.")],
    home: Home = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Remove a registry. What was decided with it is looked at again."""
    settings = settings_from_flags(home=home, database_url=database_url)
    with server_extra():
        import psycopg

        from accredit.cli.database import explained, open_database
        from accredit.registries import store
    with explained(settings), open_database(settings) as url, psycopg.connect(url) as connection:
        removed = store.remove(connection, name)
    if not removed:
        exits.fail(exits.NOT_FOUND, f"there is no registry {name}")
    typer.echo(f"removed the registry {name}")


def _format(kind: str) -> "Format":
    with server_extra():
        from accredit.registries.models import Format
    try:
        return Format(_ALIASES.get(kind.lower(), kind.lower()))
    except ValueError:
        exits.fail(exits.USAGE, f"there is no kind “{kind}” of registry; the kinds are {', '.join(Format)}")


@contextmanager
def _progress(name: str) -> Iterator[Callable[[int], object]]:
    """What to tell the count of domains; shown on stderr, where that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.completed:,.0f} domains"))
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        task = progress.add_task(f"Importing {name}", total=None)

        def update(count: int) -> None:
            if count % _EVERY == 0:
                progress.update(task, completed=count)

        yield update
