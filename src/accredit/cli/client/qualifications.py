"""``accredit qualifications``, ``update`` and ``watch``: customers' qualifications, asked for and awaited."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from accredit.cli import exits
from accredit.cli.client import output
from accredit.cli.client.options import Customer, Debug, Output, Profile
from accredit.cli.client.output import Format

if TYPE_CHECKING:
    from accredit.cli.bulk.rows import Update
    from accredit.client import CustomerQualification, PartnerCenterClient

app = typer.Typer(name="qualifications", help="Look customers' qualifications up.", no_args_is_help=True)

COLUMNS = ("customer", "qualification", "vettingStatus", "vettingReason", "vettingCreatedDate")
MOST_CONCURRENT = 100
UPDATE_EXAMPLES = """Examples:

\b
  accredit update 5f1e9b3c-2d47-4b8a-9e61-7c0a3d5f8b01 Education --segment K12 --wait
  accredit update 5f1e9b3c-2d47-4b8a-9e61-7c0a3d5f8b03 GovernmentCommunityCloud --code 12345
  accredit update --file customers.csv --wait

A file has a line for each update under a first line that names the columns: customer,qualification and, where wanted,
segment,website,code. It is checked whole before anything is sent. Ctrl-C finishes what is in flight; the same command
goes on where it stopped. The outcome is left in customers.result.csv.
"""
WATCH_EXAMPLE = "Example:  accredit watch 5f1e9b3c-2d47-4b8a-9e61-7c0a3d5f8b01 && echo approved"

Timeout = Annotated[
    float | None, typer.Option(min=0, help="Seconds to wait for decisions. Absent: as long as it takes.")
]


@app.command("list", epilog="Example:  accredit qualifications list 5f1e9b3c-2d47-4b8a-9e61-7c0a3d5f8b01 -o csv")
def list_qualifications(
    customer: Customer, profile: Profile = None, shape: Output = Format.TABLE, debug: Debug = False
) -> None:
    """A customer's qualifications, the oldest first."""
    from accredit.cli.client.connection import client

    with client(profile, debug=debug) as partner_center:
        found = partner_center.qualifications.list(customer)
    output.write((record(customer, state) for state in found), COLUMNS, shape)


def update(
    customer: Annotated[UUID | None, typer.Argument(help="The customer's ID.", show_default=False)] = None,
    qualification: Annotated[
        str | None,
        typer.Argument(help="Education, GovernmentCommunityCloud or StateOwnedEntity.", show_default=False),
    ] = None,
    segment: Annotated[str | None, typer.Option(help="With Education: K12 or HigherEducation.")] = None,
    website: Annotated[str | None, typer.Option(help="The institution's website.")] = None,
    code: Annotated[str | None, typer.Option(help="With GovernmentCommunityCloud: the validation code.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="A CSV of many updates, instead of one.", dir_okay=False)
    ] = None,
    concurrency: Annotated[
        int, typer.Option(min=1, max=MOST_CONCURRENT, help="With --file: how many requests at once.")
    ] = 64,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="With --file: send again what failed in the runs before.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it is decided.")] = False,
    timeout: Timeout = None,
    profile: Profile = None,
    shape: Output = Format.TABLE,
    debug: Debug = False,
) -> None:
    """Ask for a customer's qualification; or, with --file, for those of many customers."""
    if file is not None:
        if customer or segment or website or code:
            exits.fail(exits.USAGE, "--file says all about the updates: give it alone")
        if timeout is not None:
            exits.fail(
                exits.USAGE, "--timeout goes without --file: Ctrl-C stops a run, the same command goes on with it"
            )
        _update_file(file, profile, shape, debug, concurrency=concurrency, wait=wait, retry_failed=retry_failed)
        return
    if customer is None or qualification is None:
        exits.fail(exits.USAGE, "give a customer and a qualification, or --file")
    if retry_failed:
        exits.fail(exits.USAGE, "--retry-failed goes with --file")
    _update_one(
        _update_of(customer, qualification, segment, website, code), profile, shape, debug, wait=wait, timeout=timeout
    )


def watch(
    customers: Annotated[list[UUID], typer.Argument(help="The customers' IDs.", show_default=False)],
    timeout: Timeout = None,
    profile: Profile = None,
    shape: Output = Format.TABLE,
    debug: Debug = False,
) -> None:
    """Wait until all qualifications of the customers are decided, and show them; the exit code tells of a denial.

    JSON lines and CSV show each customer as soon as it is decided.
    """
    from accredit.cli.client.connection import connect, connected

    statuses: list[str | None] = []
    connection = connect(profile)

    def decided() -> Iterator[dict[str, Any]]:
        with connected(connection, debug=debug) as partner_center:
            for one in _decided(partner_center, connection.endpoint, customers, timeout):
                statuses.append(one.get("vettingStatus"))
                yield one

    output.write(decided(), COLUMNS, shape)
    _leave_by_status(statuses)


def record(customer: UUID | str, state: "CustomerQualification") -> dict[str, Any]:
    """A qualification as it is printed."""
    return {"customer": str(customer), **state.to_wire()}


def _update_of(
    customer: UUID, qualification: str, segment: str | None, website: str | None, code: str | None
) -> "Update":
    from accredit.cli.bulk.rows import RowError, parse

    given = {
        "customer": str(customer),
        "qualification": qualification,
        "segment": segment,
        "website": website,
        "code": code,
    }
    try:
        return parse({name: value for name, value in given.items() if value is not None})
    except RowError as error:
        exits.fail(exits.USAGE, str(error))


def _update_one(
    asked: "Update", profile: str | None, shape: Format, debug: bool, *, wait: bool, timeout: float | None
) -> None:
    from accredit.cli.client.connection import client

    with client(profile, debug=debug) as partner_center:
        poller = partner_center.qualifications.begin_update(
            asked.customer,
            asked.qualification,
            education_segment=asked.segment,
            website=asked.website,
            validation_code=asked.code,
        )
        if wait and not poller.done():
            typer.echo(f"{asked.qualification} is in review; `accredit watch {asked.customer}` waits, too", err=True)
        state = poller.result(timeout if wait else 0)
    output.write([record(asked.customer, state)], COLUMNS, shape)
    if wait:
        _leave_by_status([state.vetting_status])


def _update_file(
    file: Path, profile: str | None, shape: Format, debug: bool, *, concurrency: int, wait: bool, retry_failed: bool
) -> None:
    from accredit.cli.bulk.run import update_file
    from accredit.cli.client.connection import connect, show_exchange

    if debug:
        show_exchange()
    summary, code = update_file(connect(profile), file, concurrency=concurrency, wait=wait, retry_failed=retry_failed)
    output.write_one(summary.record(), shape)
    if code:
        raise typer.Exit(code)


def _decided(
    partner_center: "PartnerCenterClient", endpoint: str, customers: Sequence[UUID], timeout: float | None
) -> Iterator[dict[str, Any]]:
    """The customers' qualifications, each customer's once none of them is in review any more, or the time is up."""
    from accredit.cli.client.politeness import polling_intervals
    from accredit.client import VettingStatus

    waiting = list(dict.fromkeys(customers))
    until = None if timeout is None else time.monotonic() + timeout
    pauses = polling_intervals(endpoint)
    while waiting:
        time_is_up = until is not None and time.monotonic() >= until
        for customer in list(waiting):
            states = partner_center.qualifications.list(customer)
            if time_is_up or all(state.vetting_status != VettingStatus.IN_REVIEW for state in states):
                waiting.remove(customer)
                yield from (record(customer, state) for state in states)
        if waiting:
            pause = next(pauses)
            time.sleep(pause if until is None else max(0.0, min(pause, until - time.monotonic())))


def _leave_by_status(statuses: Sequence[str | None]) -> None:
    """Leave with the code for a denial, or for one that is still in review; or go on where all is well."""
    if "InReview" in statuses:
        exits.fail(exits.STILL_IN_REVIEW, "still in review")
    if "Denied" in statuses:
        raise typer.Exit(exits.DENIED)
