"""``accredit domain``: an operator's hand on customers' verified domains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from accredit.cli import exits
from accredit.cli.options import DatabaseUrl, Home, server_extra, settings_from_flags

if TYPE_CHECKING:
    from accredit.database.pool import Connection

app = typer.Typer(name="domain", help="Customers' verified domains.", no_args_is_help=True)


@app.callback()
def _domain() -> None:
    """Customers' verified domains."""


@app.command()
def remove(
    customer: Annotated[UUID, typer.Argument(help="The customer's ID.")],
    domain: Annotated[str, typer.Argument(help="The domain, in Unicode or as A-labels.")],
    home: Home = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Remove a domain that a customer no longer controls. What rests on it is vetted again."""
    import asyncio
    import getpass

    settings = settings_from_flags(home=home, database_url=database_url)
    with server_extra():
        import psycopg

        from accredit.cli.database import explained, open_database
        from accredit.customers import store
        from accredit.customers.domains import domain_name
        from accredit.vetting.changes import customer_changed
    try:
        name = domain_name(domain)
    except ValueError as error:
        exits.fail(exits.USAGE, str(error))

    async def work(connection: Connection) -> bool:
        async with connection.transaction():
            removed = await store.remove_domain(connection, customer, name, removed_by=getpass.getuser())
            if removed:
                await customer_changed(connection, customer)
            return removed

    async def run(url: str) -> bool:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            return await work(connection)

    with explained(settings), open_database(settings) as url:
        removed = asyncio.run(run(url))
    if not removed:
        exits.fail(exits.NOT_FOUND, f"there is no customer {customer} with the domain {name}")
    typer.echo(f"removed the domain {name} from the customer {customer}")
