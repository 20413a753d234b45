"""``accredit customers``: the partner's customers."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from accredit.cli import exits
from accredit.cli.client import output
from accredit.cli.client.options import Customer, Debug, Output, Profile
from accredit.cli.client.output import Format

if TYPE_CHECKING:
    from accredit import client

app = typer.Typer(name="customers", help="Look customers up.", no_args_is_help=True)

_COLUMNS = ("id", "companyName", "domain", "relationship")
_EXAMPLES = """Examples:

\b
  accredit customers list
  accredit customers list --filter-name contoso -o csv > contoso.csv
"""


@app.command("list", epilog=_EXAMPLES)
def list_customers(
    filter_name: Annotated[str | None, typer.Option(help="Only those whose company name starts so.")] = None,
    filter_domain: Annotated[str | None, typer.Option(help="Only those whose domain starts so.")] = None,
    profile: Profile = None,
    shape: Output = Format.TABLE,
    debug: Debug = False,
) -> None:
    """The customers, a line each."""
    if filter_name is not None and filter_domain is not None:
        exits.fail(exits.USAGE, "give --filter-name or --filter-domain, not both")
    from accredit.cli.client.connection import client
    from accredit.client.models import CustomerFilter

    chosen = None
    if filter_name is not None:
        chosen = CustomerFilter.company_name(filter_name)
    elif filter_domain is not None:
        chosen = CustomerFilter.domain(filter_domain)
    with client(profile, debug=debug) as partner_center:
        output.write(map(_record, partner_center.customers.list(filter=chosen)), _COLUMNS, shape)


@app.command(epilog="Example:  accredit customers show 5f1e9b3c-2d47-4b8a-9e61-7c0a3d5f8b01 -o json")
def show(customer: Customer, profile: Profile = None, shape: Output = Format.TABLE, debug: Debug = False) -> None:
    """One customer, whole."""
    from accredit.cli.client.connection import client

    with client(profile, debug=debug) as partner_center:
        found = partner_center.customers.get(customer).to_wire()
    found.pop("links", None)
    found.pop("attributes", None)
    output.write_one(found, shape)


def _record(customer: "client.Customer") -> dict[str, Any]:
    company = customer.company_profile
    return {
        "id": customer.id,
        "companyName": company.company_name if company else None,
        "domain": company.domain if company else None,
        "relationship": customer.relationship_to_partner,
    }
