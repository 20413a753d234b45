"""The options that the client's commands share."""

from typing import Annotated
from uuid import UUID

import typer

from accredit.cli.client.output import Format

Profile = Annotated[
    str | None,
    typer.Option(
        "--profile",
        "-p",
        envvar="ACCREDIT_PROFILE",
        show_envvar=False,
        help="The profile to use. Absent: the current one. (env ACCREDIT_PROFILE)",
    ),
]
Output = Annotated[Format, typer.Option("--output", "-o", help="The shape of what is printed.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show on stderr what is sent and what comes back, but the token.")]
Customer = Annotated[UUID, typer.Argument(help="The customer's ID.", show_default=False)]
