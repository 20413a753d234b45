"""``accredit review``: a person sees the cases that the policy referred, and decides them."""

import asyncio
import getpass
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from accredit.cli import exits
from accredit.qualifications.models import Qualification
from accredit.qualifications.rules import DENIAL_REASONS
from accredit.vetting import review
from tests.conftest import DEADLINE, Partner, Service, run_cli

Qualify = Callable[..., httpx.Response]
Run = Callable[..., subprocess.CompletedProcess[str]]
GCC = "GovernmentCommunityCloud"


@pytest.fixture
def run(service: Service, tmp_path: Path) -> Run:
    """``accredit review …`` over the service's database, by its URL alone."""

    def command(*arguments: object) -> subprocess.CompletedProcess[str]:
        options = ("--database-url", service.database_url)
        done = run_cli("review", *map(str, arguments), *options, home=tmp_path)
        assert "Traceback" not in done.stderr
        return done

    return command


def case_of(service: Service, customer: UUID, *, referred: bool = False) -> UUID:
    """The customer's case; once the policy looked at it, if wanted."""
    query = """
        SELECT id FROM qualifications AS asked
        WHERE customer_id = %s AND (%s OR EXISTS (SELECT FROM decisions WHERE qualification_id = asked.id))
    """
    deadline = time.monotonic() + DEADLINE
    with service.database() as connection:
        while time.monotonic() < deadline:
            row = connection.execute(query, (customer, not referred)).fetchone()
            if row:
                return row[0]
    raise TimeoutError(f"no case of {customer}")


def status(partner: Partner, customer: UUID) -> tuple[str, str | None]:
    with partner.client() as client:
        (one,) = client.get(f"/v1/customers/{customer}/qualifications").json()
    return one["vettingStatus"], one.get("vettingReason")


def ask(partner: Partner, qualify: Qualify, *arguments: Any, **options: Any) -> None:
    with partner.client() as client:
        assert qualify(client, *arguments, **options).status_code == 201


def test_the_list_has_the_referred_cases_oldest_first(
    service: Service, partner: Partner, qualify: Qualify, run: Run
) -> None:
    name = "Contoso [/b] [red]:smile:"
    customer = partner.customer("{}.example.com", name=name)
    later = partner.customer(name="Later")
    decided = partner.customer("{}.k12.or.us", name="Decided")
    ask(partner, qualify, customer)
    ask(partner, qualify, later)
    ask(partner, qualify, decided)
    case, second = case_of(service, customer, referred=True), case_of(service, later, referred=True)
    case_of(service, decided, referred=True)
    listing = run("list", "--json", "--most", 1_000_000)
    assert (listing.returncode, listing.stderr) == (0, "")
    cases = json.loads(listing.stdout)
    by_id = {one["id"]: one for one in cases}
    assert by_id[str(case)] | {"requested_at": ""} == {
        "id": str(case),
        "qualification": "Education",
        "request_number": 1,
        "requested_at": "",
        "customer_id": str(customer),
        "company_name": name,
        "rule": "education.unknown-domain",
        "explanation": f"Not known to be academic: d{customer.hex}.example.com.",
    }
    assert by_id[str(second)]["rule"] == "education.no-domain"
    assert list(by_id).index(str(case)) < list(by_id).index(str(second))
    assert [one["requested_at"] for one in cases] == sorted(one["requested_at"] for one in cases)
    assert str(decided) not in {one["customer_id"] for one in cases}
    table = run("list", "--most", 1_000_000)
    assert (table.returncode, table.stderr) == (0, "")
    (line,) = [line for line in table.stdout.splitlines() if str(case) in line]
    for text in (name, "Education", "Not known to be academic"):
        assert text in line
    assert len(json.loads(run("list", "--json", "--most", 1).stdout)) == 1


def test_a_case_is_shown_whole(service: Service, partner: Partner, qualify: Qualify, run: Run) -> None:
    customer = partner.customer("{}.example.com", name="Contoso [/b]")
    ask(partner, qualify, customer, website="www.contoso.example", educationSegment="K12")
    case = case_of(service, customer, referred=True)
    shown = run("show", case, "--json")
    assert (shown.returncode, shown.stderr) == (0, "")
    file = json.loads(shown.stdout)
    (made,) = file.pop("decisions")
    assert file | {"requested_at": ""} == {
        "id": str(case),
        "qualification": "Education",
        "vetting_status": "InReview",
        "vetting_reason": None,
        "request_number": 1,
        "requested_at": "",
        "requested_by": partner.user.upn,
        "education_segment": "K12",
        "website": "www.contoso.example",
        "validation_id": None,
        "partner_id": str(partner.id),
        "partner_name": "Test Partner",
        "customer_id": str(customer),
        "company_name": "Contoso [/b]",
        "domain": f"c{customer.hex}.onmicrosoft.com",
        "address": {"country": "US"},
        "verified_domains": [f"d{customer.hex}.example.com"],
    }
    assert (made["outcome"], made["rule"], made["decided_by"]) == ("Refer", "education.unknown-domain", "policy")
    by_source = {one["source"]: one for one in made["evidence"]}
    assert by_source["website"]["facts"]["host"] == "www.contoso.example"
    table = run("show", case)
    assert (table.returncode, table.stderr) == (0, "")
    for text in (str(case), "Contoso [/b]", "InReview", "K12", "www.contoso.example", "Request 1: Refer", made["rule"]):
        assert text in table.stdout


def test_an_approval_takes_effect_and_closes_the_case(
    service: Service, partner: Partner, qualify: Qualify, run: Run
) -> None:
    customer = partner.customer()
    code = partner.code(creates=1)
    ask(partner, qualify, customer, GCC, code=code)
    case = case_of(service, customer, referred=True)
    approved = run("approve", case)
    assert (approved.returncode, approved.stderr) == (0, "")
    assert approved.stdout == f"{GCC} of customer {customer} is Approved\n"
    assert status(partner, customer) == ("Approved", None)
    refused = run("deny", case, "--reason", "Not a Government Customer")
    assert (refused.returncode, refused.stdout) == (exits.REFUSED, "")
    assert "Approved" in refused.stderr
    assert status(partner, customer) == ("Approved", None)
    referral, verdict = json.loads(run("show", case, "--json").stdout)["decisions"]
    assert (verdict["outcome"], verdict["rule"], verdict["note"]) == ("Approved", "review.approved", None)
    assert verdict["decided_by"] == getpass.getuser()
    assert verdict["evidence"] == referral["evidence"]
    assert referral["rule"] in verdict["explanation"]


def test_a_denial_with_a_note_and_then_another(service: Service, partner: Partner, qualify: Qualify, run: Run) -> None:
    customer = partner.customer()
    ask(partner, qualify, customer)
    case = case_of(service, customer)
    note = "Called [them]; it is a :book: shop."
    options = ("--note", note, "--reviewer", "judy@example.com")
    denied = run("deny", case, "--reason", "Not an eligible Library", *options)
    assert (denied.returncode, denied.stderr) == (0, "")
    assert denied.stdout == f"Education of customer {customer} is Denied: Not an eligible Library\n"
    assert status(partner, customer) == ("Denied", "Not an eligible Library")
    with service.database() as connection:
        (data, old, new, user), *more = connection.execute(
            """
            SELECT customized_data, resource_old_value::json ->> 'vettingStatus',
                   resource_new_value::json ->> 'vettingReason', user_principal_name
            FROM audit_records WHERE customer_id = %s AND operation_status = 'failed'
            """,
            (customer,),
        ).fetchall()
    assert more == []
    assert (old, new, user) == ("InReview", "Not an eligible Library", None)
    details = {one["key"]: one["value"] for one in data}
    assert (details["DecidedBy"], details["Note"], details["Rule"]) == ("judy@example.com", note, "review.denied")

    ask(partner, qualify, customer)
    again = run("deny", case, "--reason", "Not an eligible Museum")
    after_review = "Not an Education Customer - After Review"
    assert again.stdout == f"Education of customer {customer} is Denied: {after_review}\n"
    assert status(partner, customer) == ("Denied", after_review)
    with service.database() as connection:
        query = """
            SELECT request_number, reason, decided_by, note FROM decisions
            WHERE qualification_id = %s AND outcome = 'Denied' ORDER BY decided_at
        """
        assert connection.execute(query, (case,)).fetchall() == [
            (1, "Not an eligible Library", "judy@example.com", note),
            (2, after_review, getpass.getuser(), None),
        ]
    shown = run("show", case).stdout
    assert shown.index("Request 1: Denied") < shown.index(f"Note: {note}") < shown.index("Request 2: Denied")


@pytest.mark.parametrize("reason", ["not an academic domain", "Not a Government Customer"])
def test_a_reason_that_is_not_the_contract_s_is_refused(
    service: Service, partner: Partner, qualify: Qualify, run: Run, reason: str
) -> None:
    customer = partner.customer()
    ask(partner, qualify, customer)
    refused = run("deny", case_of(service, customer), "--reason", reason)
    assert (refused.returncode, refused.stdout) == (exits.REFUSED, "")
    for allowed in DENIAL_REASONS[Qualification.EDUCATION]:
        assert allowed in refused.stderr
    assert status(partner, customer) == ("InReview", None)


@pytest.mark.parametrize("command", ["show", "approve"])
def test_a_case_that_is_not_there(run: Run, command: str) -> None:
    missing = uuid4()
    unknown = run(command, missing)
    assert (unknown.returncode, unknown.stdout) == (exits.NOT_FOUND, "")
    assert str(missing) in unknown.stderr


def test_a_case_that_has_no_vetting_is_refused(service: Service, partner: Partner, qualify: Qualify, run: Run) -> None:
    customer = partner.customer()
    ask(partner, qualify, customer, "StateOwnedEntity")
    refused = run("approve", case_of(service, customer))
    assert (refused.returncode, refused.stdout) == (exits.REFUSED, "")


def test_a_case_id_that_is_no_guid(run: Run) -> None:
    assert run("show", "not-a-guid").returncode == exits.USAGE


def test_of_two_people_one_decides(service: Service, partner: Partner, qualify: Qualify) -> None:
    customer = partner.customer()
    ask(partner, qualify, customer)
    case = case_of(service, customer, referred=True)

    async def decide(number: int) -> bool:
        async with await psycopg.AsyncConnection.connect(service.database_url) as connection:
            try:
                reason = "Not an eligible Museum" if number % 2 else None
                await review.decide(connection, case, reason=reason, note=None, reviewer=str(number))
            except review.CaseClosedError:
                return False
            return True

    async def all_at_once() -> list[bool]:
        return await asyncio.gather(*map(decide, range(6)))

    won = asyncio.run(all_at_once())
    assert won.count(True) == 1
    with service.database() as connection:
        query = "SELECT decided_by FROM decisions WHERE qualification_id = %s AND outcome <> 'Refer'"
        assert connection.execute(query, (case,)).fetchall() == [(str(won.index(True)),)]
    assert status(partner, customer)[0] == ("Denied" if won.index(True) % 2 else "Approved")
