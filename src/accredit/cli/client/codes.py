"""``accredit codes``: the partner's validation codes."""

import typer

from accredit.cli.client import output
from accredit.cli.client.options import Debug, Output, Profile
from accredit.cli.client.output import Format

app = typer.Typer(name="codes", help="Validation codes, which GovernmentCommunityCloud needs.", no_args_is_help=True)

_COLUMNS = ("validationId", "organizationName", "maxCreates", "remainingCreates")


@app.command("list")
def list_codes(profile: Profile = None, shape: Output = Format.TABLE, debug: Debug = False) -> None:
    """The validation codes and what is left of them; empty creates: no limit."""
    from accredit.cli.client.connection import client

    with client(profile, debug=debug) as partner_center:
        codes = partner_center.validation_codes.list()
    output.write((code.to_wire() for code in codes), _COLUMNS, shape)
