"""``accredit review``: what the policy referred to a person, decided by one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from uuid import UUID

import typer

from accredit.cli import exits
from accredit.cli.options import DatabaseUrl, Home, server_extra, settings_from_flags

if TYPE_CHECKING:
    from rich.console import Console

    from accredit.database.pool import Connection
    from accredit.vetting.review import CaseFile

app = typer.Typer(name="review", help="Decide the cases that the policy referred to a person.", no_args_is_help=True)

R = TypeVar("R")
Case = Annotated[UUID, typer.Argument(help="The case's ID, as `accredit review list` shows it.")]
Note = Annotated[str | None, typer.Option(help="A note, kept with the decision.")]
Reviewer = Annotated[str | None, typer.Option(help="Who decides. Absent: the user of this machine.")]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]


@app.command("list")
def list_cases(
    most: Annotated[int, typer.Option(min=1, help="Show no more than this many.")] = 100,
    as_json: Json = False,
    home: Home = None,
    database_url: DatabaseUrl = None,
) -> None:
    """The cases in review, the longest waiting first."""
    with server_extra():
        from accredit.vetting import review
    from rich.table import Table

    cases = _run(home, database_url, lambda connection: review.open_cases(connection, most=most))
    if as_json:
        _print_json(cases)
        return
    table = Table("Case", "Company", "Qualification", "Request", "Waiting", "Why it is here")
    for case in cases:
        waiting = str(datetime.now(UTC) - case.requested_at).partition(".")[0]
        why = case.explanation or "not vetted yet"
        table.add_row(str(case.id), case.company_name, case.qualification, str(case.request_number), waiting, why)
    # Not cut to a terminal's width: a case's ID is there to be copied.
    _console(wide=True).print(table)


@app.command()
def show(case: Case, as_json: Json = False, home: Home = None, database_url: DatabaseUrl = None) -> None:
    """A case: the request, the customer's profile, and every decision with its evidence."""
    with server_extra():
        from accredit.vetting import review
    found = _run(home, database_url, lambda connection: review.case_file(connection, case))
    if as_json:
        _print_json(found)
    else:
        _print_case(found)


@app.command()
def approve(
    case: Case,
    note: Note = None,
    reviewer: Reviewer = None,
    home: Home = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Approve a case."""
    _decide(case, None, note, reviewer, home, database_url)


@app.command()
def deny(
    case: Case,
    reason: Annotated[str, typer.Option(help="One of the contract's reasons, such as `Not an Academic Domain`.")],
    note: Note = None,
    reviewer: Reviewer = None,
    home: Home = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Deny a case. From a customer's second request on, the reason given reads `… - After Review`."""
    _decide(case, reason, note, reviewer, home, database_url)


def _decide(
    case: UUID, reason: str | None, note: str | None, reviewer: str | None, home: Any, database_url: str | None
) -> None:
    import getpass

    with server_extra():
        from accredit.vetting import review
    state = _run(
        home,
        database_url,
        lambda connection: review.decide(
            connection, case, reason=reason, note=note, reviewer=reviewer or getpass.getuser()
        ),
    )
    why = f": {state.vetting_reason}" if state.vetting_reason else ""
    typer.echo(f"{state.qualification} of customer {state.customer_id} is {state.vetting_status}{why}")


def _run(home: Any, database_url: str | None, work: Callable[[Connection], Awaitable[R]]) -> R:
    """Run ``work`` in one transaction on the database."""
    settings = settings_from_flags(home=home, database_url=database_url)
    import asyncio

    with server_extra():
        import psycopg

        from accredit.cli.database import explained, open_database
        from accredit.vetting.review import CaseClosedError, NoSuchCaseError

    async def in_transaction(url: str) -> R:
        async with await psycopg.AsyncConnection.connect(url) as connection:
            return await work(connection)

    try:
        with explained(settings), open_database(settings) as url:
            return asyncio.run(in_transaction(url))
    except NoSuchCaseError as error:
        exits.fail(exits.NOT_FOUND, str(error))
    except (CaseClosedError, ValueError) as error:
        exits.fail(exits.REFUSED, str(error))


def _console(*, wide: bool = False) -> Console:
    """A console that prints what it is given: a company may be called ``[/b]`` or ``:smile:``.

    ``wide``: off a terminal, wider than one.
    """
    from rich.console import Console

    console = Console(markup=False, emoji=False)
    return console if console.is_terminal or not wide else Console(markup=False, emoji=False, width=240)


def _print_json(value: Any) -> None:
    import msgspec

    typer.echo(msgspec.json.format(msgspec.json.encode(value)).decode())


def _print_case(case: CaseFile) -> None:
    import msgspec
    from rich.table import Table

    console = _console()
    table = Table(show_header=False, box=None)
    for name, value in (
        ("Case", case.id),
        ("Qualification", case.qualification),
        ("Status", case.vetting_status),
        ("Reason", case.vetting_reason),
        ("Request", f"{case.request_number} of 3, {case.requested_at:%Y-%m-%d %H:%M} by {case.requested_by}"),
        ("Segment", case.education_segment),
        ("Website (a claim)", case.website),
        ("Validation code", case.validation_id),
        ("Partner", f"{case.partner_name} ({case.partner_id})"),
        ("Customer", f"{case.company_name} ({case.customer_id})"),
        ("Default domain", case.domain),
        ("Verified domains", ", ".join(case.verified_domains) or "none"),
        ("Address", ", ".join(str(part) for part in case.address.values())),
    ):
        if value is not None:
            table.add_row(name, str(value))
    console.print(table)
    for made in case.decisions:
        console.rule(f"Request {made.request_number}: {made.outcome}", align="left")
        console.print(f"{made.explanation}\nRule {made.rule}, by {made.decided_by}, {made.decided_at:%Y-%m-%d %H:%M}")
        if made.note:
            console.print(f"Note: {made.note}")
        console.print_json(msgspec.json.encode(made.evidence).decode())
