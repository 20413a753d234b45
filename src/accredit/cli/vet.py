"""``accredit vet --dry-run``: what the policy makes of the rows of a file."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, TextIO

import typer

from accredit.cli import exits
from accredit.cli.options import DatabaseUrl, Home, server_extra, settings_from_flags

if TYPE_CHECKING:
    from accredit.settings import Settings
    from accredit.vetting.dry_run import Confusion, Reader


def vet(
    file: Annotated[Path, typer.Argument(help="The CSV file; see docs/vetting.md for its columns.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Decide, and store nothing.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write to this file instead of stdout.")] = None,
    home: Home = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Decide the rows of a CSV file as the service would decide them, and write them with what was decided."""
    import asyncio

    if not dry_run:
        exits.fail(exits.USAGE, "give --dry-run: rows of a file are decided, but no customer's qualification is")
    settings = settings_from_flags(home=home, database_url=database_url)
    with server_extra():
        from accredit.cli.database import explained, open_database
        from accredit.operations import logs
        from accredit.vetting.dry_run import Confusion, Reader, RowError, text_lines
    logs.configure(settings)
    confusion = Confusion()
    try:
        with _input(file) as source:
            # All of it is read before any of it is decided: a file that is refused leaves nothing half-done.
            count = sum(1 for _ in Reader(text_lines(source)))
            source.seek(0)
            with explained(settings), open_database(settings) as url, _output(out) as output:
                asyncio.run(_vet(settings, url, Reader(text_lines(source)), count, output, confusion))
    except RowError as error:
        exits.fail(exits.INPUT_REFUSED, f"{file}: {error}. Nothing was written.")
    except OSError as error:
        exits.fail(exits.INPUT_REFUSED, f"{error.filename or file}: {error.strerror or error}. Nothing was written.")
    if confusion.counts:
        typer.echo("\n".join(confusion.lines()), err=True)


async def _vet(
    settings: "Settings", url: str, reader: "Reader", count: int, output: TextIO, confusion: "Confusion"
) -> None:
    from accredit.database.pool import create_pool
    from accredit.registries.store import Lookup
    from accredit.vetting import dry_run
    from accredit.vetting.evidence import Gatherer
    from accredit.vetting.findings import Thresholds

    timeout = settings.database_timeout
    async with create_pool(url, most=2, timeout=timeout, name="accredit-vet") as pool:
        gather = Gatherer.of(Lookup(pool, most=settings.registry_cache, timeout=timeout), settings)
        writer = dry_run.Writer(output, reader.header)
        with _progress(count) as advance:
            async for row, decision in dry_run.decide(reader, gather, Thresholds.of(settings)):
                writer.write(row, decision)
                if row.expected is not None:
                    confusion.add(row.expected, decision.outcome)
                advance()


@contextmanager
def _input(file: Path) -> Iterator[BinaryIO]:
    """The file, so that it can be read twice; ``-`` is standard input."""
    import shutil
    import tempfile

    with ExitStack() as stack:
        source: BinaryIO = sys.stdin.buffer if str(file) == "-" else stack.enter_context(file.open("rb"))
        if not source.seekable():
            copy = stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(source, copy)
            copy.seek(0)
            source = copy
        yield source


@contextmanager
def _output(out: Path | None) -> Iterator[TextIO]:
    """Where the rows go: stdout, or a new file that takes the place of ``out`` once all of it is written."""
    if out is None:
        yield sys.stdout
        return
    import tempfile

    handle, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
    new = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(handle)
        new.chmod(0o666 & ~_umask())
        new.replace(out)
    except BaseException:
        new.unlink()
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def _progress(count: int) -> Iterator[Callable[[], object]]:
    """What to call for each row; shown on stderr, where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("Vetting", total=count)
        yield lambda: progress.advance(task)
