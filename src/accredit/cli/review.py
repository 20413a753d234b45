"""``accredit review``: what the policy referred to a person, decided by one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from uuid import UUID

import typer

from accredit.cli import exits
from accredit.cli.options import DatabaseUrl, Home, server_extra, settings_from_flags

if TYPE_CHECKING:
    from rich.console import Console

    from accredit.database.pool import Connection
    from accredit.settings import Settings
    from accredit.vetting.review.models import CaseFile

app = typer.Typer(name="review", help="Decide the cases that the policy referred to a person.", no_args_is_help=True)

R = TypeVar("R")
Case = Annotated[UUID, typer.Argument(help="The case's ID, as `accredit review list` shows it.")]
Note = Annotated[str | None, typer.Option(help="A note, kept with the decision.")]
Reviewer = Annotated[str | None, typer.Option(help="Who reviews. Absent: the user of this machine.")]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]


class Kind(StrEnum):
    """What a person is asked: to decide a request, or whether what is Approved still holds."""

    REQUEST = "request"
    REVETTING = "revetting"


class VettedQualification(StrEnum):
    """The qualifications that are vetted."""

    EDUCATION = "Education"
    GOVERNMENT_COMMUNITY_CLOUD = "GovernmentCommunityCloud"


@app.command("list")
def list_cases(
    qualification: Annotated[VettedQualification | None, typer.Option(help="Only of this qualification.")] = None,
    kind: Annotated[Kind | None, typer.Option(help="Only requests, or only re-vettings.")] = None,
    partner: Annotated[UUID | None, typer.Option(help="Only of this partner's customers.")] = None,
    customer: Annotated[UUID | None, typer.Option(help="Only of this customer.")] = None,
    country: Annotated[str | None, typer.Option(help="Only of customers in this country, such as US.")] = None,
    rule: Annotated[str | None, typer.Option(help="Only those that this rule referred.")] = None,
    claimed_by: Annotated[str | None, typer.Option(help="Only those that this reviewer has claimed.")] = None,
    claimed: Annotated[
        bool | None, typer.Option("--claimed/--unclaimed", help="Only those that somebody, or nobody, has claimed.")
    ] = None,
    overdue: Annotated[
        bool | None, typer.Option("--overdue/--in-time", help="Only those past their deadline, or within it.")
    ] = None,
    newest_first: Annotated[bool, typer.Option("--newest-first", help="The latest first.")] = False,
    most: Annotated[int, typer.Option(min=1, help="Show no more than this many.")] = 100,
    as_json: Json = False,
    home: Home = None,
    database_url: DatabaseUrl = None,
) -> None:
    """The open cases, the longest waiting first."""
    with server_extra():
        from accredit.qualifications.models import Qualification
        from accredit.vetting.review import store
        from accredit.vetting.review.models import CaseFilter
    from rich.table import Table

    wanted = CaseFilter(
        qualification=Qualification(qualification) if qualification else None,
        kind=kind,
        partner_id=partner,
        customer_id=customer,
        country=country,
        rule=rule,
        claimed_by=claimed_by,
        claimed=claimed,
        overdue=overdue,
    )
    settings = settings_from_flags(home=home, database_url=database_url)
    cases = _run(
        settings, lambda connection: store.open_cases(connection, wanted, most=most, newest_first=newest_first)
    )
    if as_json:
        _print_json(cases)
        return
    table = Table("Case", "Company", "Qualification", "Request", "Waiting", "Due", "Claimed by", "Why it is here")
    now = datetime.now(UTC)
    for case in cases:
        table.add_row(
            str(case.id),
            case.company_name,
            case.qualification,
            "re-vetting" if case.kind == Kind.REVETTING else str(case.request_number),
            str(now - case.waiting_since).partition(".")[0],
            f"{case.due_at:%Y-%m-%d %H:%M}" + (" overdue" if case.due_at < now else ""),
            case.claim.by if case.claim else "",
            case.explanation,
        )
    # Not cut to a terminal's width: a case's ID is there to be copied.
    _console(wide=True).print(table)


@app.command()
def show(case: Case, as_json: Json = False, home: Home = None, database_url: DatabaseUrl = None) -> None:
    """A case: the request, the customer's profile, what is suggested, and every decision with its evidence."""
    with server_extra():
        from accredit.vetting.review import store
    settings = settings_from_flags(home=home, database_url=database_url)
    found = _run(settings, lambda connection: store.case_file(connection, case))
    if as_json:
        _print_json(found)
    else:
        _print_case(found)


@app.command()
def claim(case: Case, reviewer: Reviewer = None, home: Home = None, database_url: DatabaseUrl = None) -> None:
    """Claim a case: other reviewers cannot decide it until the claim runs out. Again: for longer."""
    with server_extra():
        from accredit.vetting.review import store
    settings = settings_from_flags(home=home, database_url=database_url)
    name, duration = _name(reviewer), timedelta(minutes=settings.review_claim)
    file = _run(settings, lambda connection: store.claim(connection, case, reviewer=name, duration=duration))
    if file.claim:
        typer.echo(f"{file.claim.by} has claimed the case {case}, until {file.claim.until:%Y-%m-%d %H:%M} UTC")


@app.command()
def release(case: Case, reviewer: Reviewer = None, home: Home = None, database_url: DatabaseUrl = None) -> None:
    """Give back a case that you have claimed."""
    with server_extra():
        from accredit.vetting.review import store
    settings = settings_from_flags(home=home, database_url=database_url)
    name = _name(reviewer)
    _run(settings, lambda connection: store.release(connection, case, reviewer=name))
    typer.echo(f"nobody has claimed the case {case}")


@app.command()
def approve(
    case: Case,
    note: Note = None,
    reviewer: Reviewer = None,
    home: Home = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Approve a case; one of a re-vetting stays Approved."""
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
    with server_extra():
        from accredit.vetting.review import store
    settings = settings_from_flags(home=home, database_url=database_url)
    name = _name(reviewer)
    state = _run(
        settings,
        lambda connection: store.decide(connection, case, reason=reason, note=note, reviewer=name),
    )
    why = f": {state.vetting_reason}" if state.vetting_reason else ""
    typer.echo(f"{state.qualification} of customer {state.customer_id} is {state.vetting_status}{why}")


def _name(reviewer: str | None) -> str:
    """Who reviews: the one named, or the user of this machine."""
    import getpass

    return reviewer or getpass.getuser()


def _run(settings: Settings, work: Callable[[Connection], Awaitable[R]]) -> R:
    """Run ``work`` in one transaction on the database."""
    import asyncio

    with server_extra():
        import psycopg

        from accredit.cli.database import explained, open_database
        from accredit.vetting.review import rules

    async def in_transaction(url: str) -> R:
        async with await psycopg.AsyncConnection.connect(url) as connection:
            return await work(connection)

    try:
        with explained(settings), open_database(settings) as url:
            return asyncio.run(in_transaction(url))
    except rules.NoSuchCaseError as error:
        exits.fail(exits.NOT_FOUND, str(error))
    except (rules.CaseClosedError, rules.CaseClaimedError, rules.NotAReasonError) as error:
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
    again = "Re-vetting of what is Approved" if case.kind == Kind.REVETTING else f"Request {case.request_number} of 3"
    suggestion = case.suggestion
    for name, value in (
        ("Case", case.id),
        ("Qualification", case.qualification),
        ("Status", case.vetting_status),
        ("Reason", case.vetting_reason),
        ("Asked", again if case.open else "nothing: the case is closed"),
        ("Requested", f"{case.requested_at:%Y-%m-%d %H:%M} by {case.requested_by}"),
        ("Open since", case.waiting_since and f"{case.waiting_since:%Y-%m-%d %H:%M}"),
        ("Due", case.due_at and f"{case.due_at:%Y-%m-%d %H:%M}" + (", escalated" if case.escalated_at else "")),
        ("Claimed", case.claim and f"by {case.claim.by}, until {case.claim.until:%Y-%m-%d %H:%M}"),
        ("Segment", case.education_segment),
        ("Website (a claim)", case.website),
        ("Validation code", case.validation_id),
        ("Partner", f"{case.partner_name} ({case.partner_id})"),
        ("Customer", f"{case.company_name} ({case.customer_id})"),
        ("Default domain", case.domain),
        ("Verified domains", ", ".join(case.verified_domains) or "none"),
        ("Address", ", ".join(str(part) for part in case.address.values())),
        ("Suggested", suggestion and ": ".join(filter(None, (suggestion.outcome, suggestion.reason)))),
        ("Why", suggestion and suggestion.explanation),
    ):
        if value is not None:
            table.add_row(name, str(value))
    console.print(table)
    for number, asked in enumerate(case.requests, 1):
        console.print(f"Asked for, {number}: {asked.requested_at:%Y-%m-%d %H:%M} by {asked.requested_by}")
    for made in case.decisions:
        what = "Re-vetting" if made.cause == Kind.REVETTING else f"Request {made.request_number}"
        console.rule(f"{what}: {made.outcome}" + (f", {made.reason}" if made.reason else ""), align="left")
        console.print(f"{made.explanation}\nRule {made.rule}, by {made.decided_by}, {made.decided_at:%Y-%m-%d %H:%M}")
        if made.note:
            console.print(f"Note: {made.note}")
        console.print_json(msgspec.json.encode(made.evidence).decode())
