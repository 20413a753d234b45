"""``accredit review``: a person sees the cases that the policy referred, and decides them."""

import asyncio
import getpass
import json
import subprocess
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from alembic import command
from alembic.config import Config
from psycopg.conninfo import make_conninfo
from sqlalchemy import create_engine

from accredit.cli import exits
from accredit.database import migrate
from accredit.qualifications.models import Qualification
from accredit.qualifications.rules import DENIAL_REASONS
from accredit.vetting.review import store as review
from accredit.vetting.review.models import CaseFile, CaseFilter, ReviewCase
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


def case_of(service: Service, customer: UUID, *, referred: bool = False, request: int = 1) -> UUID:
    """The customer's case; once the policy looked at the request of this number, if wanted."""
    query = """
        SELECT id FROM qualifications AS asked
        WHERE customer_id = %s AND (%s OR EXISTS (
            SELECT FROM decisions WHERE qualification_id = asked.id AND request_number = %s))
    """
    deadline = time.monotonic() + DEADLINE
    with service.database() as connection:
        while time.monotonic() < deadline:
            row = connection.execute(query, (customer, not referred, request)).fetchone()
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
    shown = dict(by_id[str(case)])
    times = ("requested_at", "waiting_since", "due_at", "changed_at")
    requested, since, due, changed = (datetime.fromisoformat(shown.pop(name)) for name in times)
    assert (requested, due - since, changed > since) == (since, timedelta(hours=48), True)
    assert shown == {
        "id": str(case),
        "kind": "request",
        "qualification": "Education",
        "request_number": 1,
        "escalated_at": None,
        "partner_id": str(partner.id),
        "partner_name": "Test Partner",
        "customer_id": str(customer),
        "company_name": name,
        "country": "US",
        "rule": "education.unknown-domain",
        "explanation": f"Not known to be academic: d{customer.hex}.example.com.",
        "claim": None,
    }
    assert by_id[str(second)]["rule"] == "education.no-domain"
    assert list(by_id).index(str(case)) < list(by_id).index(str(second))
    assert [one["waiting_since"] for one in cases] == sorted(one["waiting_since"] for one in cases)
    assert str(decided) not in {one["customer_id"] for one in cases}
    table = run("list", "--most", 1_000_000)
    assert (table.returncode, table.stderr) == (0, "")
    (line,) = [line for line in table.stdout.splitlines() if str(case) in line]
    for text in (name, "Education", "Not known to be academic"):
        assert text in line
    assert len(json.loads(run("list", "--json", "--most", 1).stdout)) == 1
    newest = json.loads(run("list", "--json", "--newest-first", "--partner", partner.id).stdout)
    assert [one["id"] for one in newest] == [str(second), str(case)]


def test_the_list_is_filtered(service: Service, partner: Partner, qualify: Qualify, run: Run) -> None:
    known, unknown = partner.customer("{}.example.com"), partner.customer()
    government = partner.customer()
    ask(partner, qualify, known)
    ask(partner, qualify, unknown)
    ask(partner, qualify, government, GCC, code=partner.code())
    cases = {
        name: case_of(service, one, referred=True)
        for name, one in zip("kug", (known, unknown, government), strict=True)
    }
    assert run("claim", cases["k"], "--reviewer", "Judy").returncode == 0
    with service.database() as connection:
        late = "UPDATE review_cases SET due_at = now() - interval '1 minute' WHERE qualification_id = %s"
        connection.execute(late, (cases["u"],))
        abroad = 'UPDATE customers SET address = \'{"country": "br"}\' WHERE id = %s'
        connection.execute(abroad, (government,))
    for options, expected in (
        ((), "gku"),
        (("--qualification", "Education"), "ku"),
        (("--kind", "request"), "gku"),
        (("--kind", "revetting"), ""),
        (("--customer", unknown), "u"),
        (("--country", "BR"), "g"),
        (("--rule", "education.no-domain"), "u"),
        (("--claimed-by", "judy"), "k"),
        (("--claimed",), "k"),
        (("--unclaimed", "--qualification", "Education"), "u"),
        (("--overdue",), "u"),
        (("--in-time",), "gk"),
    ):
        listed = json.loads(run("list", "--json", "--partner", partner.id, *options).stdout)
        found = {name for name, case in cases.items() if str(case) in {one["id"] for one in listed}}
        assert (found, len(listed)) == (set(expected), len(expected)), options


def test_a_claim_keeps_others_out_until_it_is_given_back_or_over(
    service: Service, partner: Partner, qualify: Qualify, run: Run
) -> None:
    customer = partner.customer()
    ask(partner, qualify, customer)
    case = case_of(service, customer, referred=True)
    claimed = run("claim", case, "--reviewer", "judy@example.com")
    assert claimed.stdout.startswith(f"judy@example.com has claimed the case {case}, until ")
    for action in ("claim", "release", "approve"):
        refused = run(action, case, "--reviewer", "eve@example.com")
        assert (refused.returncode, refused.stdout) == (exits.REFUSED, "")
        assert "the case is claimed by judy@example.com" in refused.stderr
    assert status(partner, customer) == ("InReview", None)

    def claim() -> dict[str, str] | None:
        found: dict[str, str] | None = json.loads(run("show", case, "--json").stdout)["claim"]
        return found

    first = claim()
    assert run("claim", case, "--reviewer", "Judy@Example.com").returncode == 0, "whose it is may claim it for longer"
    second = claim()
    assert first and second and (first["since"], True) == (second["since"], first["until"] < second["until"])
    assert run("release", case, "--reviewer", "judy@example.com").returncode == 0
    assert claim() is None
    assert run("release", case, "--reviewer", "eve@example.com").returncode == 0
    assert run("claim", case, "--reviewer", "eve@example.com").returncode == 0
    with service.database() as connection:
        over = "UPDATE review_cases SET claim_expires_at = now() WHERE qualification_id = %s"
        connection.execute(over, (case,))
    assert run("approve", case, "--reviewer", "judy@example.com").returncode == 0
    assert status(partner, customer) == ("Approved", None)
    refused = run("claim", case)
    assert (refused.returncode, "Approved" in refused.stderr) == (exits.REFUSED, True)


def test_a_case_is_shown_whole(service: Service, partner: Partner, qualify: Qualify, run: Run) -> None:
    customer = partner.customer("{}.example.com", name="Contoso [/b]")
    ask(partner, qualify, customer, website="www.contoso.example", educationSegment="K12")
    case = case_of(service, customer, referred=True)
    shown = run("show", case, "--json")
    assert (shown.returncode, shown.stderr) == (0, "")
    file = json.loads(shown.stdout)
    (made,) = file.pop("decisions")
    made_of = {
        name: file.pop(name) for name in ("requests", "evidence", "suggestion", "waiting_since", "due_at", "changed_at")
    }
    assert file | {"requested_at": ""} == {
        "id": str(case),
        "kind": "request",
        "open": True,
        "escalated_at": None,
        "claim": None,
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
    assert made["subject"]["domains"] == [f"d{customer.hex}.example.com"]
    assert [one["requested_by"] for one in made_of["requests"]] == [partner.user.upn]
    assert made_of["evidence"] == made["evidence"]
    suggested = {"outcome": "Refer", "reason": None, "rule": made["rule"], "explanation": made["explanation"]}
    assert made_of["suggestion"] == suggested
    by_source = {one["source"]: one for one in made["evidence"]}
    assert by_source["website"]["facts"]["host"] == "www.contoso.example"
    table = run("show", case)
    assert (table.returncode, table.stderr) == (0, "")
    texts = (str(case), "Contoso [/b]", "InReview", "K12", "www.contoso.example", "Request 1: Refer", made["rule"])
    for text in (*texts, "Suggested", "Due", "Request 1 of 3", partner.user.upn):
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
    case = case_of(service, customer, referred=True)
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
    case_of(service, customer, referred=True, request=2)
    file = json.loads(run("show", case, "--json").stdout)
    assert [one["outcome"] for one in file["decisions"]] == ["Refer", "Denied", "Refer"], "it comes with its history"
    assert len(file["requests"]) == 2
    assert (file["suggestion"]["outcome"], file["suggestion"]["reason"]) == ("Denied", "Not an eligible Library")
    assert file["suggestion"]["explanation"].startswith("judy@example.com denied it before on the same ground.")
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


def test_what_was_referred_before_the_upgrade_is_a_case_after_it(service: Service) -> None:
    name = f"test_{uuid4().hex}"
    with service.database() as connection:
        connection.execute(f"CREATE DATABASE {name}")
    url = make_conninfo(service.database_url, dbname=name)
    migrate_to("0002", url)
    partner, customer, asked, approved = (uuid4() for _ in range(4))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("INSERT INTO partners (id, name) VALUES (%s, 'Fabrikam')", (partner,))
        for id, qualification_id, status in ((customer, asked, "InReview"), (uuid4(), approved, "Approved")):
            connection.execute(
                "INSERT INTO customers (id, partner_id, company_name, domain) VALUES (%s, %s, 'Contoso', %s)",
                (id, partner, f"{id.hex}.onmicrosoft.com"),
            )
            connection.execute(
                "INSERT INTO qualifications (id, customer_id, qualification, vetting_status, request_number,"
                " requested_at) VALUES (%s, %s, 'Education', %s, 1, now() - interval '1 day')",
                (qualification_id, id, status),
            )
            connection.execute(
                "INSERT INTO decisions (id, qualification_id, request_number, outcome, rule, explanation, evidence,"
                " policy_version, decided_by, decided_at) VALUES (%s, %s, 1, %s, 'a.rule', 'Why.', '[]', '1', 'policy',"
                " now())",
                (uuid4(), qualification_id, "Refer" if status == "InReview" else "Approved"),
            )
    migrate.migrate(url)

    async def after() -> tuple[list[ReviewCase], CaseFile]:
        async with await psycopg.AsyncConnection.connect(url) as connection:
            return await review.open_cases(connection, CaseFilter(), most=10), await review.case_file(connection, asked)

    (case,), file = asyncio.run(after())
    assert (case.id, case.kind, case.rule, case.waiting_since) == (asked, "request", "a.rule", file.requested_at)
    assert [(made.cause, made.subject) for made in file.decisions] == [("request", None)]
    with psycopg.connect(url, autocommit=True) as connection:
        vetted = "SELECT id FROM qualifications WHERE vetted_at IS NOT NULL ORDER BY id"
        assert connection.execute(vetted).fetchall() == sorted([(asked,), (approved,)])
    with service.database() as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def migrate_to(revision: str, url: str) -> None:
    """Migrate an empty database to an earlier revision than this program's."""
    config = Config()
    config.set_main_option("script_location", str(files("accredit.database") / "migrations"))
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.commit()
    engine.dispose()
