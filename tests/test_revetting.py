"""Vetting again what was approved: the rule, and what it does over a database of its own."""

import asyncio
import contextlib
import functools
import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.database.idempotency import WriteKey
from accredit.database.pool import Connection, Pool, transact
from accredit.partners import seed
from accredit.qualifications.models import Qualification, QualificationUpdate
from accredit.qualifications.rules import DENIAL_REASONS
from accredit.qualifications.store import QualificationStore, Submission
from accredit.settings import Settings
from accredit.vetting import changes, queue, schedule
from accredit.vetting.evidence import Gatherer
from accredit.vetting.models import Case, Decision, Evidence, Found, Outcome
from accredit.vetting.queue import CaseReference
from accredit.vetting.revetting import Approval, reconsider
from accredit.vetting.review import store as review
from accredit.vetting.review.models import CaseFile, CaseFilter
from accredit.vetting.store import DECIDED_CHANNEL, REVIEW_CHANNEL
from accredit.vetting.worker import Vetting
from accredit.wire.answers import Answer
from tests.conftest import Service
from tests.test_worker import Office, ask, opened, own_database

SETTINGS = Settings()
NO_LONGER = "No longer an Education Customer"
ACADEMIC, PLAIN, FREE_MAIL = "{}.k12.or.us", "{}.example.com", "{}.gmail.com"

VETTED = [Qualification.EDUCATION, Qualification.GOVERNMENT_COMMUNITY_CLOUD]
RULES = st.sampled_from(["a.rule", "another.rule", "a.third"])
SUBJECTS = st.sampled_from([{"domains": ["contoso.edu"]}, {"domains": []}])
APPROVALS = st.builds(
    Approval,
    st.sampled_from(["a.rule", "another.rule", "review.approved"]),
    st.none() | RULES,
    st.none() | SUBJECTS,
)
DECISIONS = st.builds(Decision, st.sampled_from(Outcome), RULES, st.just("Why."), st.just("Not an Academic Domain"))


@given(st.sampled_from(VETTED), APPROVALS, DECISIONS, SUBJECTS, st.booleans())
def test_what_becomes_of_an_approval(
    qualification: Qualification, approval: Approval, decision: Decision, subject: dict[str, Any], complete: bool
) -> None:
    after = reconsider(qualification, approval, decision, subject=subject, complete=complete)
    by_a_person, as_it_was = approval.rule == "review.approved", approval.subject in (None, subject)
    vouched = by_a_person and as_it_was
    if decision.outcome is Outcome.APPROVED:
        assert after == decision
    elif not complete:
        assert after is None, "nothing is taken away, and nobody is asked, because a source does not answer"
    else:
        assert after is not None
        if vouched and decision.rule == approval.settled:
            assert (after.outcome, after.rule, after.reason) == (Outcome.APPROVED, "review.approved", None)
        elif decision.outcome is Outcome.REFER:
            assert after == decision
        elif vouched:
            assert (after.outcome, after.rule, after.reason) == (Outcome.REFER, decision.rule, None)
        else:
            assert (after.outcome, after.rule) == (Outcome.DENIED, decision.rule)
            assert after.reason in DENIAL_REASONS[qualification]
            assert qualification is not Qualification.EDUCATION or after.reason == NO_LONGER


@given(st.sampled_from(VETTED), APPROVALS, DECISIONS, SUBJECTS)
def test_what_a_person_approved_the_policy_alone_does_not_deny(
    qualification: Qualification, approval: Approval, decision: Decision, subject: dict[str, Any]
) -> None:
    vouched = Approval("review.approved", approval.settled, subject)
    after = reconsider(qualification, vouched, decision, subject=subject, complete=True)
    assert after is not None and after.outcome is not Outcome.DENIED


@pytest.fixture(scope="module")
def database(service: Service) -> Iterator[str]:
    with own_database(service) as url:
        yield url


@pytest.fixture
def office(database: str) -> Office:
    """A partner of the test's own; the queue is empty, and nothing of other tests is due."""
    office = Office(database, uuid4())
    office.forget_jobs()
    with office.connect() as connection:
        connection.execute("DELETE FROM customers")
        connection.execute("DELETE FROM evidence_changes")
    return office


def run(scenario: Callable[[Pool], Awaitable[None]], office: Office) -> None:
    """Run a scenario over a pool of connections."""

    async def with_pool() -> None:
        async with opened(office) as pool:
            await scenario(pool)

    asyncio.run(with_pool())


async def approved(pool: Pool, office: Office, *customers: UUID) -> list[CaseReference]:
    """Ask for Education and have it decided; all must be Approved. Return the cases."""
    references = await ask(pool, office, *customers)
    office.forget_jobs()
    await Vetting(pool, SETTINGS).vet(references)
    assert set(office.statuses(*customers)) == {"Approved"}
    return references


async def change(pool: Pool, customer: UUID, *statements: str) -> None:
    """Change a customer as the customers feature does: the change and its notice are one transaction."""

    async def work(connection: Connection) -> None:
        await connection.execute("SELECT FROM customers WHERE id = %s FOR NO KEY UPDATE", (customer,))
        for statement in statements:
            await connection.execute(statement, {"customer": customer})  # type: ignore[arg-type]
        await changes.customer_changed(connection, customer)

    await transact(pool, work, timeout=5)


REMOVE = "DELETE FROM customer_domains WHERE customer_id = %(customer)s"


def add(domain: str) -> str:
    return f"INSERT INTO customer_domains VALUES ('{uuid4().hex}.{domain}', %(customer)s, now())"


async def in_transaction(pool: Pool, work: Callable[[Connection], Awaitable[Any]]) -> Any:
    return await transact(pool, work, timeout=5)


async def case_file(pool: Pool, case: UUID) -> CaseFile:
    return await in_transaction(pool, functools.partial(review.case_file, case_id=case))


async def decide(pool: Pool, case: UUID, reason: str | None = None, reviewer: str = "judy") -> None:
    await in_transaction(
        pool, functools.partial(review.decide, case_id=case, reason=reason, note=None, reviewer=reviewer)
    )


async def work_off(pool: Pool, office: Office) -> int:
    """Do the jobs that are queued; return how many there were."""
    vetting, jobs = Vetting(pool, SETTINGS), office.rows("SELECT entrypoint, payload FROM pgqueuer ORDER BY id")
    office.forget_jobs()
    for entrypoint, payload in jobs:
        await {queue.VET: vetting.vet, queue.REVET: vetting.revet}[entrypoint](queue.decode(payload))
    return len(jobs)


def test_what_still_holds_leaves_no_trace_but_its_date(office: Office) -> None:
    (customer,) = office.customers(ACADEMIC)

    async def scenario(pool: Pool) -> None:
        ((case, number),) = await approved(pool, office, customer)
        before = office.rows("SELECT vetted_at FROM qualifications WHERE id = %s", case)
        for _ in range(3):
            await Vetting(pool, SETTINGS).revet([(case, number)])
        assert office.rows("SELECT vetted_at FROM qualifications WHERE id = %s", case) > before
        assert office.decisions((case, number)) == [("Approved", "policy")]
        assert office.audit_records(customer) == 2

    run(scenario, office)
    assert office.statuses(customer) == ["Approved"]


def test_a_domain_that_is_gone_is_a_person_s_question_and_the_qualification_stands_meanwhile(office: Office) -> None:
    (customer,) = office.customers(ACADEMIC)

    async def scenario(pool: Pool) -> None:
        ((case, number),) = await approved(pool, office, customer)
        await change(pool, customer, REMOVE)
        assert office.rows("SELECT entrypoint, priority FROM pgqueuer") == [(queue.REVET, 0)]
        await work_off(pool, office)
        assert office.statuses(customer) == ["Approved"]
        assert office.audit_records(customer) == 2, "its state has not changed"
        file = await case_file(pool, case)
        assert (file.open, file.kind, file.vetting_status) == (True, "revetting", "Approved")
        assert file.suggestion and (file.suggestion.outcome, file.suggestion.reason) == ("Denied", NO_LONGER)
        (listed,) = await in_transaction(pool, functools.partial(review.open_cases, wanted=CaseFilter(), most=10))
        assert (listed.id, listed.kind, listed.rule) == (case, "revetting", "education.no-domain")
        await Vetting(pool, SETTINGS).revet([(case, number)])
        assert office.decisions((case, number)) == [("Approved", "policy"), ("Refer", "policy")], "it is asked once"

        await decide(pool, case, NO_LONGER)
        assert office.statuses(customer) == ["Denied"]
        assert office.audit_records(customer) == 3
        assert (await case_file(pool, case)).open is False

    run(scenario, office)
    assert office.rows("SELECT vetting_reason FROM qualifications WHERE customer_id = %s", customer) == [(NO_LONGER,)]


def test_what_holds_again_needs_no_person_any_more(office: Office) -> None:
    (customer,) = office.customers(ACADEMIC)

    async def scenario(pool: Pool) -> None:
        ((case, number),) = await approved(pool, office, customer)
        await change(pool, customer, REMOVE)
        await work_off(pool, office)
        assert (await case_file(pool, case)).open
        await change(pool, customer, add("k12.or.us"))
        await work_off(pool, office)
        assert not (await case_file(pool, case)).open
        assert [outcome for outcome, _ in office.decisions((case, number))] == ["Approved", "Refer", "Approved"]
        assert office.audit_records(customer) == 2

    run(scenario, office)
    assert office.statuses(customer) == ["Approved"]


def test_where_a_rule_says_so_it_is_denied(office: Office) -> None:
    (customer,) = office.customers(ACADEMIC)

    async def scenario(pool: Pool) -> None:
        ((case, number),) = await approved(pool, office, customer)
        await change(pool, customer, REMOVE, add("gmail.com"))
        async with await psycopg.AsyncConnection.connect(office.url, autocommit=True) as listening:
            await listening.execute(f"LISTEN {DECIDED_CHANNEL}")  # type: ignore[arg-type]
            await work_off(pool, office)
            (notice,) = [one async for one in listening.notifies(timeout=10, stop_after=1)]
        assert notice.payload == f"{customer} Education Denied"
        await Vetting(pool, SETTINGS).revet([(case, number)])
        assert office.decisions((case, number)) == [("Approved", "policy"), ("Denied", "policy")]
        assert office.audit_records(customer) == 3

        # Asked for again it is a request like any other: the second, and so its denial is one after review.
        await ask(pool, office, customer)
        await work_off(pool, office)

    run(scenario, office)
    query = "SELECT request_number, cause, reason FROM decisions WHERE outcome = 'Denied' ORDER BY decided_at"
    assert office.rows(query) == [
        (1, "revetting", NO_LONGER),
        (2, "request", "Not an Education Customer - After Review"),
    ]


@pytest.mark.parametrize("by_a_person", [True, False])
def test_a_denial_of_what_was_approved_keeps_its_reason_also_where_it_is_the_second(
    office: Office, by_a_person: bool
) -> None:
    (customer,) = office.customers(PLAIN)

    async def scenario(pool: Pool) -> None:
        ((case, _),) = await ask(pool, office, customer)
        await work_off(pool, office)
        await decide(pool, case, "Not an eligible Museum")
        await ask(pool, office, customer)
        await change(pool, customer, add("k12.or.us"))
        await work_off(pool, office)
        assert office.statuses(customer) == ["Approved"]
        await change(pool, customer, REMOVE, *([] if by_a_person else [add("gmail.com")]))
        await work_off(pool, office)
        if by_a_person:
            await decide(pool, case, NO_LONGER)
        state = "SELECT vetting_status, vetting_reason, request_number FROM qualifications WHERE id = %s"
        assert office.rows(state, case) == [("Denied", NO_LONGER, 2)]

    run(scenario, office)


def test_what_a_person_settled_is_not_asked_again_until_the_customer_changes(office: Office) -> None:
    (customer,) = office.customers(PLAIN)

    async def scenario(pool: Pool) -> None:
        ((case, number),) = await ask(pool, office, customer)
        await work_off(pool, office)
        await decide(pool, case)
        await Vetting(pool, SETTINGS).revet([(case, number)])
        assert office.decisions((case, number)) == [("Refer", "policy"), ("Approved", "judy")]
        await change(pool, customer, "UPDATE customers SET company_name = 'Another' WHERE id = %(customer)s")
        await work_off(pool, office)
        assert (await case_file(pool, case)).open
        await decide(pool, case)
        audit = "SELECT operation_type, operation_status FROM audit_records WHERE customer_id = %s ORDER BY id"
        assert office.rows(audit, customer)[1:] == [
            ("update_customer_qualification", "progress"),
            ("update_customer_qualification", "succeeded"),
            ("confirm_customer_qualification", "succeeded"),
        ]
        await Vetting(pool, SETTINGS).revet([(case, number)])
        assert not (await case_file(pool, case)).open
        assert office.statuses(customer) == ["Approved"]

    run(scenario, office)


def test_a_re_vetting_that_denies_government_gives_the_create_back(office: Office) -> None:
    (customer,) = office.customers("{}.gov")
    code = {"validationId": "12345", "organizationName": "Contoso", "maxCreates": 2}
    partner = {"id": str(office.partner), "name": "Fabrikam", "validationCodes": [code]}
    seed.register(office.url, seed.parse(json.dumps({"partners": [partner]}).encode()))
    remaining = "SELECT remaining_creates FROM validation_codes WHERE partner_id = %s"

    async def scenario(pool: Pool) -> None:
        store = QualificationStore(pool, most=1, timeout=5)
        update = QualificationUpdate(Qualification.GOVERNMENT_COMMUNITY_CLOUD, validation_id="12345")
        key = WriteKey(office.partner, uuid4(), "")
        await store.submit(Submission(key, customer, update, lambda _: Answer(201), None, None, {}))
        await work_off(pool, office)
        assert office.statuses(customer) == ["Approved"]
        assert office.rows(remaining, office.partner) == [(1,)]
        await change(pool, customer, REMOVE)
        await work_off(pool, office)
        ((case,),) = office.rows("SELECT id FROM qualifications WHERE customer_id = %s", customer)
        await decide(pool, case, "Not a Government Customer")

    run(scenario, office)
    assert office.statuses(customer) == ["Denied"]
    assert office.rows(remaining, office.partner) == [(2,)]


def test_a_source_that_is_unavailable_takes_nothing_away(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    (customer,) = office.customers(ACADEMIC)

    async def silent(gatherer: Gatherer, case: Case) -> dict[str, Evidence]:
        return await gather(gatherer, case) | {"domains": Evidence("domains", Found.UNAVAILABLE, {"error": "none"})}

    gather = Gatherer.__call__

    async def scenario(pool: Pool) -> None:
        ((case, number),) = await approved(pool, office, customer)
        monkeypatch.setattr(Gatherer, "__call__", silent)
        vetted = office.rows("SELECT vetted_at FROM qualifications WHERE id = %s", case)
        await Vetting(pool, SETTINGS).revet([(case, number)])
        assert office.rows("SELECT vetted_at FROM qualifications WHERE id = %s", case) == vetted, "it is still due"
        assert office.decisions((case, number)) == [("Approved", "policy")]

    run(scenario, office)
    assert office.statuses(customer) == ["Approved"]


@pytest.mark.parametrize("status", ["InReview", "Approved"])
def test_a_decision_on_facts_that_are_no_more_takes_no_effect(
    office: Office, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    (customer,) = office.customers(ACADEMIC)
    gather = Gatherer.__call__

    async def meanwhile(gatherer: Gatherer, case: Case) -> dict[str, Evidence]:
        # While the evidence of the case with the domain is gathered, the domain is removed.
        if case.domains:
            monkeypatch.setattr(Gatherer, "__call__", gather)
            with office.connect() as connection:
                connection.execute(REMOVE, {"customer": customer})  # type: ignore[arg-type]
                connection.execute("UPDATE qualifications SET facts_version = facts_version + 1")
        return await gather(gatherer, case)

    async def scenario(pool: Pool) -> None:
        if status == "InReview":
            references = await ask(pool, office, customer)
        else:
            references = await approved(pool, office, customer)
        before = office.decisions(*references)
        monkeypatch.setattr(Gatherer, "__call__", meanwhile)
        await Vetting(pool, SETTINGS).revet(references)
        assert (office.statuses(customer), office.decisions(*references)) == ([status], before)
        await Vetting(pool, SETTINGS).revet(references)
        assert office.decisions(*references) == [*before, ("Refer", "policy")]

    run(scenario, office)
    assert office.statuses(customer) == [status]


def test_a_pending_case_is_looked_at_again_when_the_customer_changes(office: Office) -> None:
    (customer,) = office.customers(PLAIN)

    async def scenario(pool: Pool) -> None:
        ((case, number),) = await ask(pool, office, customer)
        await work_off(pool, office)
        seen = (await case_file(pool, case)).changed_at
        await change(pool, customer, add("example.org"))
        assert (await case_file(pool, case)).changed_at > seen, "who saw the case before must look again"
        await work_off(pool, office)
        file = await case_file(pool, case)
        assert [made.outcome for made in file.decisions] == ["Refer", "Refer"]
        assert file.suggestion and "example.org" in file.suggestion.explanation
        await change(pool, customer, add("k12.or.us"))
        await work_off(pool, office)
        assert office.decisions((case, number))[2:] == [("Approved", "policy")]
        assert not (await case_file(pool, case)).open

    run(scenario, office)
    assert office.statuses(customer) == ["Approved"]


def age(office: Office, days: int, *customers: UUID) -> None:
    with office.connect() as connection:
        connection.execute(
            "UPDATE qualifications SET vetted_at = vetted_at - make_interval(days => %s) WHERE customer_id = ANY (%s)",
            (days, list(customers)),
        )


def test_what_is_old_enough_is_queued_once_the_oldest_first_behind_new_requests(office: Office) -> None:
    customers = office.customers(*[ACADEMIC] * 4)
    (in_review,) = office.customers(PLAIN)

    async def scenario(pool: Pool) -> None:
        await ask(pool, office, in_review)
        await work_off(pool, office)
        age(office, 1000, in_review)
        references = await approved(pool, office, *customers)
        due = functools.partial(schedule.queue_due, days=180, most=2)
        assert await in_transaction(pool, due) == 0
        for number, customer in enumerate(customers[:3]):
            age(office, 181 + number, customer)
        assert await in_transaction(pool, functools.partial(schedule.queue_due, days=0, most=2)) == 0
        assert await in_transaction(pool, due) == 2
        assert office.jobs() == [[references[2], references[1]]]
        ((priority,),) = office.rows("SELECT priority FROM pgqueuer")
        assert priority < 0
        assert await in_transaction(pool, due) == 0, "the last batch comes first"
        office.forget_jobs()
        assert await in_transaction(pool, due) == 1, "what was queued is not queued again at once"
        await work_off(pool, office)
        with office.connect() as connection:
            connection.execute("UPDATE qualifications SET revetting_queued_at = now() - interval '2 hours'")
        assert await in_transaction(pool, due) == 2, "its job was lost"
        await work_off(pool, office)
        assert await in_transaction(pool, due) == 0

    run(scenario, office)


def test_a_changed_registry_has_all_looked_at_again(office: Office) -> None:
    standing, in_review, new = office.customers(ACADEMIC, PLAIN, ACADEMIC)

    async def scenario(pool: Pool) -> None:
        references = await approved(pool, office, standing)
        references += await ask(pool, office, in_review)
        await work_off(pool, office)
        await ask(pool, office, new)
        office.forget_jobs()
        due = functools.partial(schedule.queue_due, days=180, most=100)
        async with pool.connection() as importing, importing.transaction():
            await changes.registries_changed(importing)
            assert await in_transaction(pool, due) == 0, "it is not committed yet"
        assert await in_transaction(pool, due) == 2
        ((*queued,),) = office.jobs()
        assert sorted(queued) == sorted(references), "what was never looked at has its own job"
        await work_off(pool, office)
        assert await in_transaction(pool, due) == 0
        assert office.rows("SELECT count(*) FROM evidence_changes") == [(1,)]

    run(scenario, office)


def test_a_decision_that_was_under_way_during_an_import_is_looked_at_again(office: Office) -> None:
    (customer,) = office.customers(ACADEMIC)

    async def scenario(pool: Pool) -> None:
        due = functools.partial(schedule.queue_due, days=180, most=100)
        async with pool.connection() as importing, importing.transaction():
            await changes.registries_changed(importing)
            await approved(pool, office, customer)
        assert await in_transaction(pool, due) == 1

    run(scenario, office)


def test_of_many_schedulers_one_queues(office: Office) -> None:
    customers = office.customers(*[ACADEMIC] * 120)

    async def scenario(pool: Pool) -> None:
        await approved(pool, office, *customers)
        age(office, 200, *customers)
        due = functools.partial(schedule.queue_due, days=180, most=1000)
        counts = await asyncio.gather(*(in_transaction(pool, due) for _ in range(4)))
        assert sum(counts) == 120
        queued = [case for job in office.jobs() for case in job]
        assert len(queued) == len(set(queued)) == 120
        assert max(map(len, office.jobs())) == schedule.CASES_A_JOB

    run(scenario, office)


def test_an_overdue_case_is_escalated_once(office: Office) -> None:
    late, in_time = office.customers(PLAIN, PLAIN)

    async def scenario(pool: Pool) -> None:
        ((case, _), (other, _)) = await ask(pool, office, late, in_time)
        await work_off(pool, office)
        await in_transaction(
            pool, functools.partial(review.claim, case_id=case, reviewer="judy", duration=timedelta(hours=1))
        )
        seen = (await case_file(pool, case)).changed_at
        with office.connect() as connection:
            connection.execute("UPDATE review_cases SET due_at = now() WHERE qualification_id = %s", (case,))
        async with await psycopg.AsyncConnection.connect(office.url, autocommit=True) as listening:
            await listening.execute(f"LISTEN {REVIEW_CHANNEL}")  # type: ignore[arg-type]
            found = await asyncio.gather(*(in_transaction(pool, schedule.escalate_overdue) for _ in range(4)))
            (notice,) = [one async for one in listening.notifies(timeout=10, stop_after=1)]
        assert sorted(found) == [[], [], [], [case]]
        assert notice.payload == f"{case} escalated"
        assert await in_transaction(pool, schedule.escalate_overdue) == []
        query = "SELECT customer_id, resource_type FROM audit_records WHERE operation_type = 'escalate_review_case'"
        assert office.rows(query) == [(late, "review_case")]
        file = await case_file(pool, case)
        assert (file.escalated_at is not None, file.changed_at) == (True, seen)
        assert (await case_file(pool, other)).escalated_at is None
        (state,) = await in_transaction(pool, review.queue_state)
        assert (state.qualification, state.kind, state.cases) == ("Education", "request", 2)
        assert (state.claimed, state.overdue, state.escalated) == (1, 1, 1)
        assert state.oldest_seconds >= state.median_seconds >= 0

        # Denied, asked for again and late again it is escalated anew.
        await decide(pool, case, "Not an eligible Museum")
        await ask(pool, office, late)
        await work_off(pool, office)
        file = await case_file(pool, case)
        assert (file.escalated_at, file.claim, file.open) == (None, None, True)
        with office.connect() as connection:
            connection.execute("UPDATE review_cases SET due_at = now() WHERE qualification_id = %s", (case,))
        assert await in_transaction(pool, schedule.escalate_overdue) == [case]

    run(scenario, office)


def test_what_the_policy_cannot_decide_is_handed_to_a_person(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    failing, waiting = office.customers(ACADEMIC, ACADEMIC)

    async def broken(gatherer: Gatherer, case: Case) -> dict[str, Evidence]:
        raise RuntimeError("the gathering is broken")

    async def scenario(pool: Pool) -> None:
        ((case, number), _) = await ask(pool, office, failing, waiting)
        with office.connect() as connection:
            hours = "UPDATE qualifications SET requested_at = requested_at - interval '2 hours' WHERE id = %s"
            connection.execute(hours, (case,))
            connection.execute("UPDATE pgqueuer SET created = created - interval '2 hours'")
        monkeypatch.setattr(Gatherer, "__call__", broken)
        vetting = Vetting(pool, SETTINGS)
        await vetting.escalate()
        assert office.decisions((case, number)) == [], "the queue has not come to it yet"
        office.forget_jobs()
        await vetting.escalate()
        await vetting.escalate()
        assert office.decisions((case, number)) == [("Refer", "policy")]
        cases = await in_transaction(pool, functools.partial(review.open_cases, wanted=CaseFilter(), most=10))
        assert [(one.id, one.rule) for one in cases] == [(case, "vetting.undecided")]

    run(scenario, office)


def test_a_person_and_a_re_vetting_at_once_decide_once(office: Office) -> None:
    customers = office.customers(*[ACADEMIC] * 8)

    async def scenario(pool: Pool) -> None:
        references = await approved(pool, office, *customers)
        for customer in customers:
            await change(pool, customer, REMOVE)
        await work_off(pool, office)
        for customer in customers:
            await change(pool, customer, add("gmail.com"))
        office.forget_jobs()

        async def person(case: UUID) -> bool:
            try:
                await decide(pool, case, NO_LONGER)
            except review.CaseClosedError:
                return False
            return True

        vetting = Vetting(pool, SETTINGS)
        won, *_ = await asyncio.gather(
            asyncio.gather(*(person(case) for case, _ in references)),
            *(vetting.revet([reference]) for reference in references),
        )
        assert office.statuses(*customers) == ["Denied"] * 8
        for reference, customer, by_a_person in zip(references, customers, won, strict=True):
            denials = [by for outcome, by in office.decisions(reference) if outcome == "Denied"]
            assert denials == ["judy" if by_a_person else "policy"]
            assert office.audit_records(customer) == 3

    run(scenario, office)


def test_a_person_the_policy_and_a_new_request_at_once(office: Office) -> None:
    customers = office.customers(*[PLAIN] * 6)

    async def scenario(pool: Pool) -> None:
        references = await ask(pool, office, *customers)
        await work_off(pool, office)
        for customer in customers:
            await change(pool, customer, add("k12.or.us"))
        office.forget_jobs()
        store = QualificationStore(pool, most=1, timeout=5)
        vetting = Vetting(pool, SETTINGS)

        async def ask_again(customer: UUID) -> None:
            for _ in range(20):
                key = WriteKey(office.partner, uuid4(), "")
                update = QualificationUpdate(Qualification.EDUCATION)
                await store.submit(Submission(key, customer, update, lambda _: Answer(201), None, None, {}))

        async def deny(case: UUID) -> None:
            with contextlib.suppress(review.CaseClosedError):
                await decide(pool, case, "Not an eligible Museum")

        await asyncio.gather(
            *(ask_again(customer) for customer in customers),
            *(deny(case) for case, _ in references),
            *(vetting.vet([reference]) for reference in references),
        )
        while await work_off(pool, office):
            pass
        for (case, _), customer in zip(references, customers, strict=True):
            verdicts = office.rows(
                "SELECT request_number, outcome FROM decisions WHERE qualification_id = %s AND outcome <> 'Refer' "
                "ORDER BY request_number",
                case,
            )
            ((requests,),) = office.rows("SELECT request_number FROM qualifications WHERE id = %s", case)
            assert verdicts in ([(1, "Approved")], [(1, "Denied"), (2, "Approved")]), "each request has one verdict"
            assert requests == len(verdicts)
            assert office.audit_records(customer) == 2 * len(verdicts)
        assert office.rows("SELECT count(*) FROM review_cases WHERE closed_at IS NULL") == [(0,)]

    run(scenario, office)
    assert set(office.statuses(*customers)) == {"Approved"}


def test_places_in_the_list_are_stable(office: Office) -> None:
    customers = office.customers(*[PLAIN] * 7)

    async def scenario(pool: Pool) -> None:
        await ask(pool, office, *customers)
        await work_off(pool, office)

        async def pages(newest_first: bool) -> list[tuple[datetime, UUID]]:
            found: list[tuple[datetime, UUID]] = []
            after = None
            while True:
                page = functools.partial(
                    review.open_cases, wanted=CaseFilter(), most=3, after=after, newest_first=newest_first
                )
                cases = await in_transaction(pool, page)
                if not cases:
                    return found
                found += [(case.waiting_since, case.id) for case in cases]
                after = cases[-1].place

        oldest = await pages(False)
        assert (len(oldest), oldest) == (7, sorted(oldest))
        assert await pages(True) == oldest[::-1]
        assert await in_transaction(pool, functools.partial(review.count, wanted=CaseFilter())) == 7

    run(scenario, office)
