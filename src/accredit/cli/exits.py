"""Exit codes of the command line, documented in docs/cli.md."""

from typing import NoReturn

import typer

FAILED = 1
USAGE = 2
PORT_TAKEN = 3
DATABASE_UNREACHABLE = 4
SCHEMA_NEWER = 5
INPUT_REFUSED = 6
NOT_FOUND = 7
REFUSED = 8
NOT_SIGNED_IN = 9
UNREACHABLE = 10
DENIED = 11
SOME_FAILED = 12
STILL_IN_REVIEW = 13
INTERRUPTED = 130  # as shells have it: 128 and the number of SIGINT


def fail(code: int, message: str) -> NoReturn:
    """Say ``message`` on stderr and leave with ``code``."""
    typer.echo(f"accredit: {message}", err=True)
    raise typer.Exit(code)
